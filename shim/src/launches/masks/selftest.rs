//! The self-test of masks: launches under them run on the SMs that they leave and on no others, before a launch of the
//! program's carries one.
//!
//! A small kernel writes down where its blocks run, without a mask and under a few. Under MPS the numbers of SMs begin anew
//! for each mask, so what counts is how many different ones there are. More than the mask leaves switches masks off; fewer
//! may be due to other work, so then it looks again, a few times at once and later.

use super::announced;
use super::scratch::{Relaxed, Scratch, Trouble};
use super::state::{self, Off};
use super::subscription;
use super::tpcs::{End, Sms, Tpcs};
use crate::base::lock::Lock;
use crate::base::log::debug;
use crate::driver::capture;
use abi::cuda::CUDA_SUCCESS;
use abi::qmd::TpcMask;
use region::{GPUS, monotonic_nanos};
use std::collections::BTreeSet;
use units::Nanos;

/// Launches of one trial at most.
const LOOKS: u32 = 16;
/// Tries before masks are off because the GPU's SMs were never all seen.
const TRIES: u32 = 8;
/// The time after a try that told nothing in which there is no other; twice as long after each more.
const PAUSE: Nanos = Nanos::from_millis(100);

/// The tries on a GPU.
struct Tries {
    /// The number that told nothing.
    in_vain: u32,
    /// There is none before this time.
    not_before: Nanos,
    scratch: Option<Scratch>,
}

/// The tries on each GPU, by the region's index.
static TRIES_ON: [Lock<Tries>; GPUS] =
    [const { Lock::new(Tries { in_vain: 0, not_before: Nanos::ZERO, scratch: None }) }; GPUS];

/// A finding of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// As many SMs as there should be.
    All,
    /// Fewer, which says nothing.
    Some,
    /// More than there should be.
    TooMany,
}

fn judge(seen: u32, promised: Sms) -> Seen {
    match seen.cmp(&promised.0) {
        std::cmp::Ordering::Equal => Seen::All,
        std::cmp::Ordering::Less => Seen::Some,
        std::cmp::Ordering::Greater => Seen::TooMany,
    }
}

/// The masks that are tried: none, one TPC taken away, a half from everywhere, a whole side, all but one TPC.
fn trials(tpcs: &Tpcs) -> impl Iterator<Item = Option<TpcMask>> {
    let Sms(all) = tpcs.sms(tpcs.all());
    let masks = [
        Some(tpcs.beside(Sms(1))),
        Some(tpcs.beside(Sms(all / 2))),
        tpcs.of_side(0),
        tpcs.of_side(1),
        Some(tpcs.at_most(Sms(1), End::First)),
    ];
    std::iter::once(None).chain(masks.into_iter().flatten().map(Some))
}

/// Makes masks ready for launches on the current context's GPU, which has this index of the region and these TPCs; whether
/// they are. Takes some milliseconds the first time, and no more than a look once they are.
///
/// To be called in a hook, on the program's thread, and the first time before the first launch in a context: the driver may
/// load the kernel only once the program's own have ended.
pub(crate) fn prove(gpu: usize, tpcs: &Tpcs) -> bool {
    if state::is_ready(gpu) || state::is_off() {
        return state::is_ready(gpu);
    }
    // One thread tries at a time; the others launch without a mask meanwhile.
    let Some(mut tries) = TRIES_ON.get(gpu).and_then(Lock::try_lock) else { return false };
    let now = Nanos::new(monotonic_nanos());
    // What the test does would be lost on a capture in the process, or end it.
    if now < tries.not_before || capture::any() {
        return false;
    }
    match subscription::subscribe().map_err(Trouble::Wrong).and_then(|()| try_all(&mut tries.scratch, tpcs)) {
        Ok(()) => {
            debug!("SM masks passed their self-test");
            state::proven(gpu);
        }
        Err(Trouble::Wrong(off)) => state::switch_off(off),
        Err(Trouble::NotNow(what)) => {
            debug!("the self-test of SM masks has to wait: {what}");
            match pause_after(tries.in_vain) {
                Some(pause) => tries.not_before = now + pause,
                None => state::switch_off(Off::NotAllSeen),
            }
            tries.in_vain += 1;
        }
    }
    state::is_ready(gpu)
}

/// The pause after a try that told nothing, with so many before it; `None` after the last.
fn pause_after(before: u32) -> Option<Nanos> {
    (before + 1 < TRIES).then(|| Nanos::new(PAUSE.get() << before))
}

fn try_all(kept: &mut Option<Scratch>, tpcs: &Tpcs) -> Result<(), Trouble> {
    let _relaxed = Relaxed::begin();
    let all = tpcs.sms(tpcs.all());
    let scratch = match kept {
        Some(scratch) if scratch.is_of_here() => scratch,
        Some(_) => return Err(Trouble::NotNow("another context is current")),
        None => kept.insert(Scratch::new(all)?),
    };
    for mask in trials(tpcs) {
        try_one(scratch, mask, mask.map_or(all, |mask| tpcs.sms_left_by(mask)))?;
    }
    Ok(())
}

fn try_one(scratch: &mut Scratch, mask: Option<TpcMask>, promised: Sms) -> Result<(), Trouble> {
    let mut seen = BTreeSet::new();
    for _ in 0..LOOKS {
        match mask {
            None => scratch.launch(promised)?,
            Some(mask) => {
                let mut launched = Ok(());
                let (_, written) = announced::with(mask, || {
                    launched = scratch.launch(promised);
                    CUDA_SUCCESS
                });
                launched?;
                match written.off {
                    Some(off) => return Err(Trouble::Wrong(off)),
                    None if written.bare > 0 => return Err(Trouble::NotNow("the context has other SMs of its own")),
                    None if written.masked == 0 => return Err(Trouble::Wrong(Off::NotAnnounced)),
                    None => {}
                }
            }
        }
        scratch.wait(mask.is_some())?;
        seen.extend(scratch.sms()?);
        match judge(seen.len() as u32, promised) {
            Seen::All => return Ok(()),
            Seen::Some => {}
            Seen::TooMany => {
                return Err(Trouble::Wrong(Off::NotKept { seen: seen.len() as u32, promised: promised.0 }));
            }
        }
    }
    Err(Trouble::NotNow("other work has SMs"))
}

#[cfg(test)]
mod tests {
    use super::super::tpcs::TpcSet;
    use super::*;

    #[test]
    fn only_as_many_sms_as_were_promised_pass() {
        assert_eq!(judge(66, Sms(66)), Seen::All);
        assert_eq!(judge(65, Sms(66)), Seen::Some, "another tenant may have the last one");
        assert_eq!(judge(67, Sms(66)), Seen::TooMany);
    }

    #[test]
    fn every_trial_leaves_a_tpc_and_the_first_has_no_mask() {
        let gpu = |sides: [u128; 2]| Tpcs::new(sides.map(TpcSet::of_bits), 2).expect("a GPU");
        for tpcs in [gpu([0b11, 0]), gpu([0xFF, 0xFF00]), gpu([0xFFFF_FFFF, 1 << 80])] {
            let trials: Vec<_> = trials(&tpcs).collect();
            assert_eq!(trials[0], None);
            assert!(trials[1..].iter().all(|mask| mask.is_some_and(|mask| tpcs.sms_left_by(mask) >= Sms(2))));
            assert!(trials.len() >= 5);
        }
    }

    #[test]
    fn tries_that_tell_nothing_come_less_and_less_often_and_end() {
        let pauses: Vec<_> = (0..).map_while(pause_after).collect();
        assert_eq!(pauses.len() as u32, TRIES - 1);
        assert!(pauses.windows(2).all(|two| two[1] > two[0]));
    }
}
