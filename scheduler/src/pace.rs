//! When to look at the region again: at once while a piece is about to be done, never while nobody is there.
//!
//! While copies take turns, the next piece is to be let go a few microseconds before the one on the bus is done, and the
//! bus idles for as long as the arbiter is late for that. So it sleeps until shortly before, and then looks without
//! pause, for a bounded time, until it has also seen the piece's end: a part of a core under contention, not the whole.
//! Where it may not spin it sleeps half of the time that is left, and half again (docs/decisions/026).

use crate::bus::Activity;
use std::time::Duration;
use units::Nanos;

/// After this long without use of the bus nobody is expected to use it unannounced.
const WARM: Nanos = Nanos::from_millis(200);

/// Shortly before something is due: what a sleeping thread may wake up late.
const EARLY: Nanos = Nanos::from_micros(12);
/// How often it looks whether somebody is back who copies back to back.
const SOON: Nanos = Nanos::from_micros(20);
/// For how long after anything moved it may look without pause.
const SPIN: Nanos = Nanos::from_micros(100);

/// What to do until the next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Look again at once.
    Spin,
    /// Sleep for this long; nothing wakes.
    Nap(Duration),
    /// Sleep for this long, or until somebody waits for leave.
    Doze(Duration),
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
            let until_due = found.next_due.map_or(Nanos::ZERO, |due| due.saturating_sub(now));
            if until_due > EARLY + EARLY {
                let longest = if found.expects { SOON } else { Nanos::from_micros(200) };
                // Without spinning an end is seen a nap late. Whoever slept until it is due would see none sooner than
                // expected, and from then on expect ends as late as it had seen them.
                let nap = match self.may_spin {
                    true => until_due.saturating_sub(EARLY),
                    false => Nanos::new(until_due.get() / 2),
                };
                let nap = nap.min(longest);
                return Pause::Nap(Duration::from_nanos(nap.get()));
            }
            return match quiet {
                _ if quiet < SPIN && self.may_spin => Pause::Spin,
                _ if quiet < Nanos::from_millis(1) => Pause::Nap(Duration::from_micros(10)),
                _ if quiet < Nanos::from_millis(10) => Pause::Nap(Duration::from_micros(50)),
                _ => Pause::Nap(Duration::from_micros(200)),
            };
        }
        if found.be_outstanding {
            // A stream may come to its copy at any moment, and does not ring.
            return match quiet {
                _ if quiet < SPIN && self.may_spin => Pause::Spin,
                _ if quiet < Nanos::from_millis(1) => Pause::Nap(Duration::from_micros(20)),
                _ if quiet < Nanos::from_millis(1000) => Pause::Doze(Duration::from_micros(200)),
                _ => Pause::Doze(Duration::from_millis(2)),
            };
        }
        if found.last_used.is_some_and(|used| now.saturating_sub(used) < WARM) {
            return match quiet {
                // One who comes beside a latency-sensitive tenant waits for leave with its first copy.
                _ if !found.gated => Pause::Doze(Duration::from_millis(2)),
                // Who copies back to back asks again at once, and would have to wake it.
                _ if quiet < SPIN && self.may_spin => Pause::Spin,
                _ if quiet < Nanos::from_micros(500) => Pause::Nap(Duration::from_micros(20)),
                _ => Pause::Doze(Duration::from_millis(1)),
            };
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
        assert_eq!(at(2000, outstanding, true), Pause::Doze(Duration::from_millis(2)));
        assert_eq!(at(199, used, true), Pause::Doze(Duration::from_millis(2)));
        assert_eq!(at(199, Activity { gated: true, ..used }, true), Pause::Doze(Duration::from_millis(1)));
        assert_eq!(at(200, used, true), Pause::Sleep(Duration::from_secs(1)));
        assert_eq!(at(200, used, false), Pause::Sleep(Duration::from_secs(60)));
    }

    #[test]
    fn it_sleeps_while_nothing_is_due_and_looks_closely_when_the_next_piece_may_leave() {
        let mut pace = Pace::new(16);
        let now = Nanos::from_millis(5000);
        let mut at = |due: u64| {
            let next_due = Some(now + Nanos::from_micros(due));
            pace.after(&Activity { be_waits: true, changed: true, next_due, ..Activity::default() }, true, now)
        };
        assert_eq!(at(60), Pause::Nap(Duration::from_micros(48)));
        assert_eq!(at(10), Pause::Spin);
        assert_eq!(at(0), Pause::Spin);
    }

    #[test]
    fn without_spinning_too_an_end_is_seen_sooner_than_expected_where_it_comes_sooner() {
        // Pieces take 60 us, and naps end 20 us late.
        let (mut pace, mut expected) = (Pace::new(2), 200);
        let at = |micros| Nanos::from_micros(5_000_000 + micros);
        for _ in 0..20 {
            let mut now = 0;
            while now < 60 {
                let next_due = Some(at(expected));
                let found = Activity { be_waits: true, changed: now == 0, next_due, ..Activity::default() };
                let Pause::Nap(nap) = pace.after(&found, true, at(now)) else { panic!("it naps") };
                now += nap.as_micros() as u64 + 20;
            }
            // What was seen to move fastest counts.
            expected = now.min(expected);
        }
        assert!(expected < 100, "{expected}");
    }

    #[test]
    fn it_does_not_spin_for_long() {
        let mut pace = Pace::new(16);
        let waits = Activity { be_waits: true, ..Activity::default() };
        pace.after(&Activity { changed: true, ..waits }, true, Nanos::from_millis(5000));
        let later = pace.after(&waits, true, Nanos::from_millis(5000) + SPIN);
        assert_eq!(later, Pause::Nap(Duration::from_micros(10)));
    }
}
