//! Keeping the work that a best-effort tenant has queued short, without a call that waits for the GPU.
//!
//! The launching thread waits in the host until its launch is about to be needed ([`super::queue`]). Streams are told apart:
//! a launch waits for work of its own stream only, which is in order anyway, and for a bounded time, so that a kernel that
//! waits for another stream, for the host or for another process is not kept from what it waits for.

use super::estimates::{Estimates, Kind};
use super::markers::{self, Words};
use super::queue::{LONGEST, Next, Queue};
use crate::base::lock::Lock;
use crate::base::log::warning;
use crate::driver::streams::{LANES, Lane};
use abi::cuda::CUstream;
use region::monotonic_nanos;
use std::hint;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use units::Nanos;

/// The longest by which a sleep of late was longer than it was asked to be, in nanoseconds. It begins with what a timer and
/// a wake-up take on an idle Linux machine. Longer ones are to be expected in sandboxes and virtual machines, where what was
/// lost beside a sleeping thread came to 0.3 to 0.5 ms a launch (docs/measurements/2026-12-01-launches.md).
static OVERSLEPT: AtomicU64 = AtomicU64::new(100_000);

/// The most of it that is believed, in nanoseconds: what is longer was another program's doing.
const MOST_OVERSLEPT: u64 = 1_000_000;

static ESTIMATES: Estimates = Estimates::new();

static QUEUES: [Lock<Option<Box<Followed>>>; LANES] = [const { Lock::new(None) }; LANES];

/// Whether markers failed, so that nothing is known of what is ahead.
static OFF: AtomicBool = AtomicBool::new(false);

/// A stream that is followed.
struct Followed {
    queue: Queue,
    words: Words,
    /// The stream's generation of its lane: another stream may have had the lane before.
    generation: u32,
}

/// A launch that is about to be given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Launch {
    pub(super) lane: &'static Lane,
    pub(super) stream: CUstream,
    pub(super) kind: Kind,
}

fn now() -> Nanos {
    Nanos::new(monotonic_nanos())
}

impl Launch {
    /// The time that it takes, where that was seen.
    #[inline]
    pub(super) fn predicted(self) -> Option<Nanos> {
        ESTIMATES.of(self.kind)
    }

    /// Waits until it is about to be needed.
    pub(super) fn wait(self, ahead: Nanos) {
        if OFF.load(Ordering::Relaxed) {
            return;
        }
        let (begun, predicted) = (now(), self.predicted());
        let mut at = begun;
        loop {
            let next = self.look(at, predicted, ahead, at.saturating_sub(begun));
            match next {
                Next::Launch => return,
                Next::Wait(left) => rest(left),
                Next::Look => hint::spin_loop(),
            }
            at = now();
        }
    }

    fn look(self, at: Nanos, predicted: Option<Nanos>, ahead: Nanos, waited: Nanos) -> Next {
        let mut place = QUEUES[self.lane.index].lock();
        let Some(followed) = place.as_mut().filter(|followed| followed.generation == self.lane.generation()) else {
            return Next::Launch;
        };
        let queue = &mut followed.queue;
        queue.seen(followed.words.newest(self.lane.index), at, &ESTIMATES);
        let next = queue.next(at, predicted, self.kind.is_graph(), ahead);
        if next != Next::Launch && waited > LONGEST {
            queue.waited_in_vain(at, &ESTIMATES);
            return Next::Launch;
        }
        next
    }

    /// It was given.
    pub(super) fn given(self, predicted: Option<Nanos>) {
        if OFF.load(Ordering::Relaxed) {
            return;
        }
        let mut place = QUEUES[self.lane.index].lock();
        let generation = self.lane.generation();
        if place.as_ref().is_none_or(|followed| followed.generation != generation) {
            let Some(words) = markers::words() else { return };
            words.begin(self.lane.index, 0);
            *place = Some(Box::new(Followed { queue: Queue::new(), words, generation }));
        }
        let Some(followed) = place.as_mut() else { return };
        let Some(marker) = followed.queue.launched(now(), self.kind, predicted) else { return };
        match followed.words.put(self.lane.index, self.stream, marker) {
            Ok(()) => followed.queue.marked(now()),
            Err(code) => {
                OFF.store(true, Ordering::Relaxed);
                warning!("the driver writes no markers (error {code}): work ahead is not bounded");
            }
        }
    }
}

/// Sleeps for a part of what is left of a wait, or spins where a sleep might be longer than that.
///
/// Half at a time: a sleep up to the predicted end would not see that the work ended before, and so the prediction would
/// never become shorter.
fn rest(left: Nanos) {
    let oversleeps = OVERSLEPT.load(Ordering::Relaxed);
    let asked = left.get().saturating_sub(2 * oversleeps) / 2;
    if asked < oversleeps / 4 {
        return hint::spin_loop();
    }
    let begun = now();
    std::thread::sleep(Duration::from_nanos(asked));
    let longer = now().saturating_sub(begun).get().saturating_sub(asked);
    // One long sleep in a hundred is remembered for some hundred sleeps.
    OVERSLEPT.store(longer.max(oversleeps - oversleeps / 64).min(MOST_OVERSLEPT), Ordering::Relaxed);
}
