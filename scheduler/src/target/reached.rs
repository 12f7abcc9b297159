//! The last requests beside best-effort work, each as a multiple of its kind's p99 alone.

use crate::times::REACHED;
use std::collections::VecDeque;
use units::Nanos;

/// Requests that are kept: those of 10 s at 200 requests a second, 32 KiB.
const KEPT: usize = 2_048;
/// Requests of which the longest tells how near the limit is: two of them are beyond it where it is just kept.
const NEAR: usize = 200;
/// Requests from which a p99 of them is shown.
const SHOWN: usize = 20;

/// The ratios of the last requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Ratios {
    kept: VecDeque<(Nanos, f64)>,
}

impl Ratios {
    /// Takes in a request that ended at `ended`.
    pub(super) fn add(&mut self, ended: Nanos, ratio: f64) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((ended, ratio));
    }

    /// The longest of the last few hundred, 1 where there are none.
    pub(super) fn longest(&self) -> f64 {
        self.kept.iter().rev().take(NEAR).map(|&(_, ratio)| ratio).fold(1.0, f64::max)
    }

    /// The p99 over the last 10 s; `None` while there are few.
    pub(super) fn p99(&self, now: Nanos) -> Option<f64> {
        let is_late = |&&(ended, _): &&(Nanos, f64)| now.saturating_sub(ended) <= REACHED;
        let mut late: Vec<_> = self.kept.iter().filter(is_late).map(|&(_, ratio)| ratio).collect();
        if late.len() < SHOWN {
            return None;
        }
        let rank = (late.len() * 99).div_ceil(100) - 1;
        let (_, p99, _) = late.select_nth_unstable_by(rank, f64::total_cmp);
        Some(*p99)
    }

    /// Forgets all: what they were multiples of holds no longer.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(100_000 + ms)
    }

    #[test]
    fn the_p99_is_of_the_last_ten_seconds() {
        let mut ratios = Ratios::default();
        (0..100).for_each(|n| ratios.add(at(n), 9.0));
        (0..1_000).for_each(|n| ratios.add(at(15_000 + n), 1.0 + n as f64 / 1e4));
        assert_eq!(ratios.p99(at(16_000)), Some(1.0989));
        assert_eq!(ratios.p99(at(5_000)), Some(9.0), "a clock that goes back forgets none");
    }

    #[test]
    fn of_few_there_is_no_p99() {
        let mut ratios = Ratios::default();
        (0..19).for_each(|n| ratios.add(at(n), 1.0));
        assert_eq!(ratios.p99(at(100)), None);
    }

    #[test]
    fn the_longest_is_of_the_last_few_hundred() {
        let mut ratios = Ratios::default();
        ratios.add(at(0), 5.0);
        assert_eq!(ratios.longest(), 5.0);
        (0..5_000).for_each(|n| ratios.add(at(n), 1.1));
        assert_eq!(ratios.longest(), 1.1);
        assert_eq!(ratios.kept.len(), KEPT);
    }
}
