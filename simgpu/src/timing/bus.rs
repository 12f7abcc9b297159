//! A copy engine: serves whole commands, one after the other, in the order in which streams ask.
//!
//! Only the head of a stream asks, so several streams are served round robin, as the hardware does it. The engine is
//! one number, the time at which its last reservation ends. A process that dies leaves at most one reservation for
//! each of its streams, and those lapse by themselves as time passes.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use units::{Bytes, Nanos};

/// A reservation further ahead than this is left over from before a restart of the host's clock.
const LONGEST_QUEUE: Nanos = Nanos::from_millis(60_000);

/// One direction of the bus.
#[repr(C)]
pub(crate) struct Engine {
    /// When the last reservation ends, in nanoseconds of `CLOCK_MONOTONIC`; 0 when nothing was ever reserved. No
    /// other memory depends on its value, so every access is relaxed.
    free_at: AtomicU64,
}

impl Engine {
    /// Reserves the engine for `duration`, from `ready` or the end of the queue on; returns when the command ends.
    pub(crate) fn reserve(&self, ready: Nanos, now: Nanos, duration: Nanos) -> Nanos {
        let end = |free_at: u64| {
            let queue = if free_at > (now + LONGEST_QUEUE).get() { Nanos::ZERO } else { Nanos::new(free_at) };
            ready.max(queue) + duration
        };
        let previous = self.free_at.fetch_update(Relaxed, Relaxed, |free_at| Some(end(free_at).get()));
        // The closure never declines, so both arms carry the value that was replaced.
        end(previous.unwrap_or_else(|free_at| free_at))
    }

    /// Notes that a command really ended at `time`, where moving its data took the host longer than the bus would.
    pub(crate) fn late(&self, time: Nanos) {
        self.free_at.fetch_max(time.get(), Relaxed);
    }
}

/// How long the engine is busy with one command.
pub(crate) fn duration(bytes: Bytes, gbps: f64, latency_us: f64) -> Nanos {
    let transfer = if gbps > 0.0 { bytes.get() as f64 / gbps } else { 0.0 };
    Nanos::new((latency_us * 1e3 + transfer) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_served_in_turn() {
        let engine = Engine { free_at: AtomicU64::new(0) };
        let (now, ten) = (Nanos::new(1000), Nanos::new(10));
        assert_eq!(engine.reserve(now, now, ten), Nanos::new(1010));
        assert_eq!(engine.reserve(now, now, ten), Nanos::new(1020), "the second waits for the first");
        assert_eq!(engine.reserve(Nanos::new(2000), now, ten), Nanos::new(2010), "an idle engine serves at once");
    }

    #[test]
    fn a_reservation_from_another_boot_is_ignored() {
        let engine = Engine { free_at: AtomicU64::new(u64::MAX) };
        assert_eq!(engine.reserve(Nanos::new(5), Nanos::new(5), Nanos::new(1)), Nanos::new(6));
    }

    #[test]
    fn duration_is_latency_and_transfer() {
        assert_eq!(duration(Bytes::new(50_000), 50.0, 2.0), Nanos::new(3_000));
    }
}
