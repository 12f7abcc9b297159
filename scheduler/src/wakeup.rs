//! The pauses between the arbiter's looks at the region: never on the way of a copy or a launch, and not at all while nobody submits any.

use crate::recent::Last;
use crate::times::{AIM_LOOK, FIGURES_LOOK, IDLE_LOOK, LOOK, TURN_LOOK, WARM};
use std::time::Duration;
use units::Nanos;

/// The pause until the next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Rest for this long, or until somebody comes or goes.
    Nap(Duration),
    /// Sleep for this long, or until anybody does anything.
    Sleep(Duration),
}

/// Findings of a turn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Activity {
    /// Somebody submitted work.
    pub(crate) used: bool,
    /// Several best-effort tenants may have to take turns beside latency-sensitive ones.
    pub(crate) contested: bool,
    /// A tenant has a target.
    pub(crate) aims: bool,
    /// A bus shows as busy, which has to fade.
    pub(crate) shows_busy: bool,
    /// There are tenants.
    pub(crate) has_tenants: bool,
}

/// Chooses the pauses between turns.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wakeup {
    used: Last,
}

impl Wakeup {
    /// The pause after a turn that found this.
    pub(crate) fn after(&mut self, found: Activity, now: Nanos) -> Pause {
        if found.used {
            self.used.note(now);
        }
        match self.used.is_within(WARM, now) {
            true if found.contested => Pause::Nap(TURN_LOOK.into()),
            true if found.aims => Pause::Nap(AIM_LOOK.into()),
            true => Pause::Nap(FIGURES_LOOK.into()),
            false if found.has_tenants || found.shows_busy => Pause::Sleep(LOOK.into()),
            false => Pause::Sleep(IDLE_LOOK.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_often_only_while_turns_are_taken() {
        let mut wakeup = Wakeup::default();
        let mut at = |ms: u64, found| wakeup.after(found, Nanos::from_millis(5000 + ms));
        let there = Activity { has_tenants: true, ..Activity::default() };
        assert_eq!(at(0, Activity::default()), Pause::Sleep(Duration::from_secs(60)));
        assert_eq!(at(0, there), Pause::Sleep(Duration::from_secs(1)));
        assert_eq!(at(0, Activity { used: true, ..there }), Pause::Nap(FIGURES_LOOK.into()));
        assert_eq!(at(0, Activity { used: true, aims: true, ..there }), Pause::Nap(AIM_LOOK.into()));
        assert_eq!(at(999, Activity { contested: true, ..there }), Pause::Nap(TURN_LOOK.into()));
        assert_eq!(at(1000, Activity { contested: true, ..there }), Pause::Sleep(Duration::from_secs(1)));
    }
}
