//! Whether a tenant has work for an engine, told by what it submitted.
//!
//! Nobody outside the GPU sees when work ends, so a tenant is taken to want the engine for as long as its work may last,
//! counted in time in which it could run. A tenant that is wrongly taken for idle is not held back, and one that is wrongly
//! taken for busy wastes a part of one turn.

use crate::recent::Last;
use crate::times::{ACTIVE, COPY_PAUSE, KERNEL_PAUSE, LONGEST_BACKLOG};
use region::Engine;
use units::Nanos;

/// The slowest link that copies are taken to cross, in bytes a nanosecond (GB/s): PCIe 3 x16.
const SLOW_LINK: u64 = 12;

/// Knowledge of one tenant's work for one engine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demand {
    submitted: Option<u64>,
    looked: Nanos,
    /// The time in which it could run so far, and the end of its work in this time at the latest.
    ran: Nanos,
    until: Nanos,
    wanted: Last,
}

impl Demand {
    /// Takes in how much was ever submitted (bytes, or launches) at `now`, and whether the tenant stood still since the
    /// last look. True if it submitted something since.
    pub(crate) fn look(&mut self, engine: Engine, submitted: u64, stood_still: bool, now: Nanos) -> bool {
        if !stood_still {
            self.ran += now.saturating_sub(self.looked);
        }
        self.looked = now;
        let before = self.submitted.replace(submitted).unwrap_or(submitted);
        let more = submitted.wrapping_sub(before);
        if more != 0 {
            let (lasts, pause) = match engine {
                Engine::Copy => (Nanos::new(more / SLOW_LINK), COPY_PAUSE),
                Engine::Graphics => (Nanos::ZERO, KERNEL_PAUSE),
            };
            let backlog = self.until.saturating_sub(self.ran + pause);
            self.until = self.ran + pause + (backlog + lasts.min(LONGEST_BACKLOG)).min(LONGEST_BACKLOG);
        }
        if self.wants() {
            self.wanted.note(now);
        }
        more != 0
    }

    /// Whether it has work, as far as one can tell.
    pub(crate) fn wants(&self) -> bool {
        self.ran < self.until
    }

    /// Whether it had work of late.
    pub(crate) fn is_active(&self) -> bool {
        self.wanted.is_within(ACTIVE, self.looked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(1000 + ms)
    }

    #[test]
    fn a_copy_is_wanted_for_as_long_as_a_slow_link_takes_for_it() {
        let mut demand = Demand::default();
        demand.look(Engine::Copy, 0, false, at(0));
        assert!(!demand.wants());
        demand.look(Engine::Copy, 12 << 20, false, at(10));
        assert!(demand.wants());
        demand.look(Engine::Copy, 12 << 20, false, at(12));
        assert!(demand.wants(), "1 ms for the bytes and 2 ms more");
        demand.look(Engine::Copy, 12 << 20, false, at(14));
        assert!(!demand.wants() && demand.is_active());
        demand.look(Engine::Copy, 12 << 20, false, at(600));
        assert!(!demand.is_active());
    }

    #[test]
    fn time_in_which_it_stands_still_does_not_count() {
        let mut demand = Demand::default();
        demand.look(Engine::Graphics, 0, false, at(0));
        assert!(demand.look(Engine::Graphics, 5, false, at(1)), "it launched");
        for ms in 2..500 {
            demand.look(Engine::Graphics, 5, true, at(ms));
        }
        assert!(demand.wants());
        demand.look(Engine::Graphics, 5, false, at(530));
        assert!(!demand.wants());
    }

    #[test]
    fn a_wild_counter_is_believed_for_a_quarter_of_a_second() {
        let mut demand = Demand::default();
        demand.look(Engine::Copy, 0, false, at(0));
        for ms in 1..20 {
            demand.look(Engine::Copy, u64::MAX / (ms % 7 + 1), false, at(ms));
        }
        demand.look(Engine::Copy, 9, false, at(20));
        demand.look(Engine::Copy, 9, false, at(300));
        assert!(!demand.wants());
    }
}
