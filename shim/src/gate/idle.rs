//! Whether what is put into a stream runs at once.

use crate::{captures, real};
use abi::cuda::*;
use std::ffi::c_uint;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// cuda.h: `CU_STREAM_NON_BLOCKING`.
const CU_STREAM_NON_BLOCKING: c_uint = 1;

/// For so long a stream is waited for that may only just have been given an event to record, which takes a few microseconds.
const MOMENT: Duration = Duration::from_micros(10);
/// After such a wait in vain, as many copies go without one.
const SKIPPED: u8 = 15;

/// Whether what is put into the stream now runs at once: it is idle, and so is the legacy default stream, if it is one of
/// those that wait for that.
pub(crate) fn is_next_to_run(stream: CUstream) -> bool {
    // Nor is asked while any stream is captured: that may end the capture.
    if captures::any() {
        return false;
    }
    let legacy = CU_STREAM_LEGACY as CUstream;
    // SAFETY: the caller found that the stream is not being captured, and for the other that is asked first.
    let is_idle = |stream| real::cuStreamQuery.get().is_some_and(|query| unsafe { query(stream) } == CUDA_SUCCESS);
    if !is_idle(stream) {
        return false;
    }
    let mut flags = 0;
    // SAFETY: the function writes the flags of a stream that lives.
    let told = real::cuStreamGetFlags.get().is_some_and(|ask| unsafe { ask(stream, &mut flags) } == CUDA_SUCCESS);
    stream == legacy
        || (told && flags & CU_STREAM_NON_BLOCKING != 0)
        || (!captures::may_go_on(legacy) && is_idle(legacy))
}

/// The same in a moment, for which is waited; but not where that was in vain of late, of which `skips` keeps count. It is
/// worth that to a latency-sensitive copy to be announced by the host and not by its stream.
pub(super) fn is_about_to_run(stream: CUstream, skips: &AtomicU8) -> bool {
    in_a_moment(|| is_next_to_run(stream), skips)
}

fn in_a_moment(mut is: impl FnMut() -> bool, skips: &AtomicU8) -> bool {
    if is() {
        return true;
    }
    if let left @ 1.. = skips.load(Ordering::Relaxed) {
        skips.store(left - 1, Ordering::Relaxed);
        return false;
    }
    let begun = Instant::now();
    while begun.elapsed() < MOMENT {
        if is() {
            return true;
        }
        std::hint::spin_loop();
    }
    skips.store(SKIPPED, Ordering::Relaxed);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it was so in a moment, and how often was looked, for something that is so at this look.
    fn looks(at: u32, skips: &AtomicU8) -> (bool, u32) {
        let mut looks = 0;
        let was = in_a_moment(
            || {
                looks += 1;
                looks >= at
            },
            skips,
        );
        (was, looks)
    }

    #[test]
    fn a_stream_that_is_idle_in_a_moment_is_waited_for() {
        assert_eq!(looks(1, &AtomicU8::new(0)), (true, 1));
        // A busy machine may let the moment pass between two looks.
        assert!((0..100).any(|_| looks(3, &AtomicU8::new(0)) == (true, 3)));
    }

    #[test]
    fn after_waiting_in_vain_some_copies_go_without() {
        let skips = AtomicU8::new(0);
        assert!(!looks(u32::MAX, &skips).0);
        for _ in 0..SKIPPED {
            assert_eq!(looks(2, &skips), (false, 1));
        }
        assert_eq!(skips.load(Ordering::Relaxed), 0, "then it is tried again");
    }
}
