//! Coarse turns: one of several best-effort tenants runs, the others stand still.

use region::SLOTS;
use units::Nanos;

/// The turns on an engine: the tenants that take them, and the one that has its turn.
///
/// Start-time fair queueing (Goyal, Vin and Cheng 1996) with turns for packets: each tenant's time is counted over its
/// weight, and the one with the least has the next turn. A tenant that comes, or comes back, starts where the turns are, so
/// that none saves up time, and none that comes and goes keeps those that stay from theirs.
#[derive(Clone, Debug)]
pub struct Turns {
    length: Nanos,
    turn: Option<Turn>,
    /// The turns' place in time: the most that any turn began or ended at. In the unit of `spent`.
    virtual_time: u64,
    /// By slot: nanoseconds of turns, times 2^14 over the weight; and whether the tenant takes turns now.
    spent: [u64; SLOTS],
    takes: [bool; SLOTS],
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    /// `None` once its tenant is gone.
    slot: Option<usize>,
    weight: u32,
    since: Nanos,
}

impl Turns {
    /// Turns of this length.
    pub fn new(length: Nanos) -> Self {
        Turns { length, turn: None, virtual_time: 0, spent: [0; SLOTS], takes: [false; SLOTS] }
    }

    /// The tenant whose turn it is at `now` among `takers` (slot and weight); `None` where fewer than two want turns.
    pub fn at(&mut self, takers: &[(usize, u32)], now: Nanos) -> Option<usize> {
        if let Some(turn) = self.turn {
            let wants = turn.slot.filter(|&slot| takers.iter().any(|&(taker, _)| taker == slot));
            let over = now.saturating_sub(turn.since) >= self.length;
            if wants.is_some() && !over && takers.len() > 1 {
                self.welcome(takers);
                return wants;
            }
            self.end(turn, now);
        }
        self.welcome(takers);
        if takers.len() < 2 {
            return None;
        }
        let &(slot, weight) = takers.iter().min_by_key(|&&(slot, _)| (self.spent[slot], slot))?;
        self.virtual_time = self.virtual_time.max(self.spent[slot]);
        self.turn = Some(Turn { slot: Some(slot), weight, since: now });
        Some(slot)
    }

    /// Takes in the tenants that want turns now.
    fn welcome(&mut self, takers: &[(usize, u32)]) {
        let before = std::mem::replace(&mut self.takes, [false; SLOTS]);
        for &(slot, _) in takers {
            self.takes[slot] = true;
            if !before[slot] {
                self.spent[slot] = self.spent[slot].max(self.virtual_time);
            }
        }
    }

    /// Charges a turn to its tenant. Where that is gone the others are as much further all the same.
    fn end(&mut self, turn: Turn, now: Nanos) {
        self.turn = None;
        let time = now.saturating_sub(turn.since).get().min(self.length.get() * 4);
        let charge = (time << 14) / u64::from(turn.weight.max(1));
        match turn.slot {
            Some(slot) => self.spent[slot] = self.spent[slot].saturating_add(charge),
            None => self.virtual_time = self.virtual_time.saturating_add(charge),
        }
    }

    /// Forgets a tenant that is gone.
    pub fn forget(&mut self, slot: usize) {
        if let Some(turn) = &mut self.turn {
            turn.slot = turn.slot.filter(|&of| of != slot);
        }
        (self.spent[slot], self.takes[slot]) = (0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TICK: Nanos = Nanos::from_millis(5);
    const LENGTH: Nanos = Nanos::from_millis(30);

    /// The number of ticks, of so many, in which each slot had its turn.
    fn ticks(turns: &mut Turns, takers: &[(usize, u32)], from: u64, count: u64) -> Vec<u64> {
        let mut had = vec![0; SLOTS];
        for tick in from..from + count {
            let slot = turns.at(takers, Nanos::new(tick * TICK.get())).expect("a turn");
            had[slot] += 1;
        }
        had
    }

    #[test]
    fn fewer_than_two_take_no_turns() {
        let mut turns = Turns::new(LENGTH);
        assert_eq!(turns.at(&[], TICK), None);
        assert_eq!(turns.at(&[(3, 1)], TICK), None);
        assert_eq!(turns.at(&[(3, 1), (4, 1)], TICK), Some(3));
        assert_eq!(turns.at(&[(4, 1)], TICK + TICK), None, "the other is gone");
    }

    #[test]
    fn who_comes_back_has_saved_nothing_up() {
        let mut turns = Turns::new(LENGTH);
        ticks(&mut turns, &[(0, 1), (1, 1)], 0, 1000);
        ticks(&mut turns, &[(0, 1), (2, 1)], 1000, 1000);
        let had = ticks(&mut turns, &[(0, 1), (1, 1)], 2000, 100);
        assert!((40..=60).contains(&had[1]), "{had:?}");
    }

    #[test]
    fn who_stays_has_turns_however_many_come_and_die() {
        let mut turns = Turns::new(LENGTH);
        let mut had = 0;
        for tick in 0..10_000u64 {
            let fresh = 1 + (tick % 8) as usize;
            turns.forget(fresh);
            let takers: Vec<_> = (0..9).map(|slot| (slot, 500)).collect();
            had += u64::from(turns.at(&takers, Nanos::new(tick * TICK.get())) == Some(0));
        }
        assert!(had > 10_000 / 9 / 4, "{had} of 10000 ticks, a ninth of which are its share");
    }

    proptest! {
        #[test]
        fn time_goes_by_weight_and_nobody_starves(weights in prop::collection::vec(1u32..=100, 2..6)) {
            let takers: Vec<_> = weights.iter().copied().enumerate().collect();
            let sum: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
            let mut turns = Turns::new(LENGTH);
            // Long enough for the lightest to have a hundred turns.
            let least = u64::from(*weights.iter().min().expect("some"));
            let count = 600 * sum / least;
            let had = ticks(&mut turns, &takers, 0, count);
            for &(slot, weight) in &takers {
                let wished = count as f64 * f64::from(weight) / sum as f64;
                prop_assert!((had[slot] as f64 / wished - 1.0).abs() < 0.05, "{takers:?}: {had:?}");
            }
        }

        #[test]
        fn a_turn_lasts_its_time_while_its_tenant_wants_it(weights in prop::collection::vec(1u32..=100, 2..6)) {
            let takers: Vec<_> = weights.iter().copied().enumerate().collect();
            let mut turns = Turns::new(LENGTH);
            let mut changes = 0;
            let mut last = None;
            for tick in 0..600 {
                let slot = turns.at(&takers, Nanos::new(tick * TICK.get()));
                changes += u64::from(slot != last);
                last = slot;
            }
            prop_assert!(changes <= 600 * TICK.get() / LENGTH.get() + 1, "{changes} changes");
        }
    }
}
