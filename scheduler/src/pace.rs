//! When to look at the region again: at once while copies wait, never while nobody is there.

use crate::bus::Activity;
use std::time::Duration;
use units::Nanos;

/// After this long without use of the bus nobody is expected to use it unannounced.
const WARM: Nanos = Nanos::from_millis(200);

/// What to do until the next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Look again at once.
    Spin,
    /// Sleep for this long; nothing wakes.
    Nap(Duration),
    /// Sleep until the bell rings, at most this long.
    Sleep(Duration),
}

/// Chooses the pauses between turns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    may_spin: bool,
    changed: Nanos,
}

impl Pace {
    /// On a machine with few cores every spin takes time from the tenants, so there is none.
    pub(crate) fn new(cores: usize) -> Self {
        Pace { may_spin: cores > 2, changed: Nanos::ZERO }
    }

    /// The pause after a turn that found this.
    pub(crate) fn after(&mut self, found: &Activity, has_tenants: bool, now: Nanos) -> Pause {
        if found.changed {
            self.changed = now;
        }
        let quiet = now.saturating_sub(self.changed);
        if found.be_waits {
            return match quiet {
                _ if quiet < Nanos::from_micros(3) && self.may_spin => Pause::Spin,
                _ if quiet < Nanos::from_millis(1) => Pause::Nap(Duration::from_micros(10)),
                _ if quiet < Nanos::from_millis(10) => Pause::Nap(Duration::from_micros(50)),
                _ => Pause::Nap(Duration::from_micros(200)),
            };
        }
        if found.be_outstanding {
            return match quiet {
                _ if quiet < Nanos::from_millis(1) => Pause::Nap(Duration::from_micros(20)),
                _ if quiet < Nanos::from_millis(1000) => Pause::Nap(Duration::from_micros(200)),
                _ => Pause::Nap(Duration::from_millis(2)),
            };
        }
        if found.last_used.is_some_and(|used| now.saturating_sub(used) < WARM) {
            return Pause::Nap(Duration::from_millis(2));
        }
        Pause::Sleep(Duration::from_secs(if has_tenants || found.shows_busy { 1 } else { 60 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_is_to_be_expected_the_sooner_the_next_look() {
        let mut pace = Pace::new(2);
        let mut at = |ms: u64, found: Activity, tenants| pace.after(&found, tenants, Nanos::from_millis(5000 + ms));
        let waits = Activity { be_waits: true, ..Activity::default() };
        let outstanding = Activity { be_outstanding: true, ..Activity::default() };
        let used = Activity { last_used: Some(Nanos::from_millis(5000)), ..Activity::default() };
        assert_eq!(at(0, Activity { changed: true, ..waits }, true), Pause::Nap(Duration::from_micros(10)));
        assert_eq!(at(2, waits, true), Pause::Nap(Duration::from_micros(50)));
        assert_eq!(at(20, waits, true), Pause::Nap(Duration::from_micros(200)));
        assert_eq!(at(2000, outstanding, true), Pause::Nap(Duration::from_millis(2)));
        assert_eq!(at(199, used, true), Pause::Nap(Duration::from_millis(2)));
        assert_eq!(at(200, used, true), Pause::Sleep(Duration::from_secs(1)));
        assert_eq!(at(200, used, false), Pause::Sleep(Duration::from_secs(60)));
    }
}
