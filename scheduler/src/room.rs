//! Whether the engine may be wanted by a latency-sensitive tenant: for a copy, or for what comes behind one in its stream.
//!
//! The copy engine stays with a channel that always has work for its whole time slice of about a millisecond, and looks at no
//! other. What waits may be no more than a word: a stream that asks for its copy (the arbiter sees only that it was
//! submitted), or one that records an event behind a copy that is done, which the same channel has to do. So while that may
//! be, pieces leave the engine a gap to look for it in (docs/decisions/025).

use units::Nanos;

/// For so long after a latency-sensitive copy something may come behind it: its host has to submit that first, and two calls
/// took a Python server up to 200 us on a slow host.
const LINGERS: Nanos = Nanos::from_micros(300);

/// What is known of one direction of a bus.
#[derive(Default)]
pub(crate) struct Room {
    last: Option<Nanos>,
}

impl Room {
    /// A latency-sensitive copy is submitted and not done.
    pub(crate) fn is_wanted(&mut self, now: Nanos) {
        self.last = Some(now);
    }

    /// Whether pieces are to leave gaps.
    pub(crate) fn is_needed(&self, now: Nanos) -> bool {
        self.last.is_some_and(|last| now.saturating_sub(last) < LINGERS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_needed_for_a_while_after_the_last_copy() {
        let mut room = Room::default();
        let at = Nanos::from_micros;
        assert!(!room.is_needed(at(1000)));
        room.is_wanted(at(1000));
        room.is_wanted(at(2000));
        assert_eq!([2000, 2299, 2300].map(|now| room.is_needed(at(now))), [true, true, false]);
    }
}
