//! The last time that something happened, and whether that is within a window: the one meaning that "of late" has here.

use units::Nanos;

/// The last time that something happened, if it ever did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Last(Option<Nanos>);

impl Last {
    /// It happens at `now`.
    pub(crate) fn note(&mut self, now: Nanos) {
        self.0 = Some(now);
    }

    /// Whether it happened less than `window` before `now`. A clock that went back says that it just did.
    pub(crate) fn is_within(self, window: Nanos, now: Nanos) -> bool {
        self.0.is_some_and(|last| now.saturating_sub(last) < window)
    }

    /// Has it happen at `now` unless it did within `window`. True if it happens.
    pub(crate) fn renew(&mut self, window: Nanos, now: Nanos) -> bool {
        let due = !self.is_within(window, now);
        if due {
            self.note(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Nanos = Nanos::from_millis(100);

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(1_000 + ms)
    }

    #[test]
    fn what_happened_is_of_late_until_the_window_is_over() {
        let mut last = Last::default();
        assert!(!last.is_within(WINDOW, at(0)), "it never happened");
        last.note(at(0));
        assert!(last.is_within(WINDOW, at(99)) && !last.is_within(WINDOW, at(100)));
    }

    #[test]
    fn what_is_due_once_a_window_is_done_once_a_window() {
        let mut last = Last::default();
        let done: Vec<_> = [0, 50, 100, 150, 199, 200].into_iter().filter(|&ms| last.renew(WINDOW, at(ms))).collect();
        assert_eq!(done, [0, 100, 200]);
    }
}
