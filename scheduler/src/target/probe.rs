//! Moments in which best-effort (BE) tenants are held, so that requests are alone.
//!
//! They cost BE one hundredth of the time, saved up while none is needed: a tenant that is new, or whose model changed, is
//! known after a second or two of its requests, and one that is known is asked again now and then.

use crate::times::{ALONE_LEAST, ALONE_SAVED};
use units::Nanos;

/// The part of the time in which BE tenants may be held for this.
const PART: f64 = 0.01;

/// The moments of one GPU.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    /// Seconds in which BE may still be held. Below nothing where the arbiter was late to end it.
    saved: f64,
    looked: Option<Nanos>,
    holds: bool,
}

/// The time alone that a tenant needs to have a request in it from beginning to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted(pub(super) Nanos);

impl Probe {
    pub(super) fn new() -> Self {
        Probe { saved: ALONE_SAVED.as_secs_f64(), looked: None, holds: false }
    }

    /// Whether BE tenants are held from `now` on. Each wish is for as long as it is repeated; none costs anything where BE
    /// has no work.
    pub(super) fn at(&mut self, wanted: Option<Wanted>, be_has_work: bool, now: Nanos) -> bool {
        let passed = now.saturating_sub(self.looked.replace(now).unwrap_or(now)).as_secs_f64();
        let spent = if self.holds { passed } else { 0.0 };
        self.saved = (self.saved + passed * PART - spent).min(ALONE_SAVED.as_secs_f64());
        self.holds = match wanted {
            Some(Wanted(_)) if self.holds => self.saved > 0.0,
            Some(Wanted(time)) => be_has_work && self.saved >= time.clamp(ALONE_LEAST, ALONE_SAVED).as_secs_f64(),
            None => false,
        };
        self.holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: u64 = 50;

    /// The ticks, of so many, in which BE is held.
    fn held(probe: &mut Probe, wanted: Option<Wanted>, be_has_work: bool, from: u64, ticks: u64) -> u64 {
        (from..from + ticks).map(|tick| u64::from(probe.at(wanted, be_has_work, Nanos::from_millis(tick * TICK)))).sum()
    }

    #[test]
    fn whatever_is_wanted_costs_a_hundredth_of_the_time() {
        let mut probe = Probe::new();
        let wanted = Some(Wanted(Nanos::ZERO));
        assert!(held(&mut probe, wanted, true, 0, 40) >= 39, "the first two seconds, to begin with");
        let ten_minutes = held(&mut probe, wanted, true, 40, 12_000);
        assert!((100..=130).contains(&ten_minutes), "{ten_minutes} of 12000");
    }

    #[test]
    fn what_is_not_needed_is_saved_up_to_two_seconds() {
        let mut probe = Probe::new();
        held(&mut probe, None, true, 0, 100_000);
        assert!((38..=44).contains(&held(&mut probe, Some(Wanted(Nanos::ZERO)), true, 100_000, 60)));
    }

    #[test]
    fn nobody_is_held_who_has_no_work() {
        assert_eq!(held(&mut Probe::new(), Some(Wanted(Nanos::ZERO)), false, 0, 1000), 0);
    }

    #[test]
    fn a_long_request_is_waited_for_until_there_is_time_for_it() {
        let mut probe = Probe::new();
        let long = Some(Wanted(Nanos::from_millis(1_500)));
        assert!(held(&mut probe, long, true, 0, 60) >= 39, "all that is saved at once");
        assert_eq!(held(&mut probe, long, true, 60, 2_900), 0, "147 s, and 1.47 s saved");
        assert!(held(&mut probe, long, true, 2_960, 200) >= 30, "held for as long at once again");
    }
}
