//! The time that a kernel gets on the GPU: all of it, or what somebody else measures.

use units::Nanos;

/// A measure of the time that a kernel had.
pub(crate) trait Pace {
    /// Time that it had until `now`.
    fn had(&mut self, now: Nanos) -> Nanos;

    /// The time by which it has had so much, if that is before `limit` or thereabouts.
    fn when(&mut self, had: Nanos, limit: Nanos) -> Option<Nanos>;

    /// Notes that the kernel ended.
    fn leave(&mut self, end: Nanos);
}

/// All the time from a moment on.
pub(crate) struct Always {
    /// That moment.
    pub(crate) since: Nanos,
}

impl Pace for Always {
    fn had(&mut self, now: Nanos) -> Nanos {
        now.saturating_sub(self.since)
    }

    fn when(&mut self, had: Nanos, _limit: Nanos) -> Option<Nanos> {
        Some(self.since + had)
    }

    fn leave(&mut self, _end: Nanos) {}
}
