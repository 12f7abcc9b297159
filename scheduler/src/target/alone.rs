//! Times that requests of one kind take alone: the quantiles of the last of them, and whether they changed for good.

use std::collections::VecDeque;
use units::Nanos;

/// Requests that are kept: the p99 of so many is within 0.45 % of its rank, and 4 KiB a kind.
const KEPT: usize = 512;
/// Requests from which there is a p99 at all. The second longest of 20 is about the p92: short of the p99, so that the
/// target is the stricter for it, and not beyond it by one stray request.
pub(super) const KNOWN: usize = 20;
/// Latest requests of which a change is told. All of 16 are under the first quartile by chance once in 4^16 times.
const LATEST: usize = 16;
/// The number of the latest beyond the p99 that are a change and not a hiccup of a few in a row.
const CHANGED: u32 = 12;

/// The requests of one kind that were alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Alone {
    kept: VecDeque<Nanos>,
    quantiles: Option<Quantiles>,
    stale: bool,
    /// By request, the latest in the lowest bit: whether it was beyond the p99 and under the first quartile then known.
    beyond: u16,
    under: u16,
}

/// Quantiles of the requests alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quantiles {
    p25: Nanos,
    /// The median.
    pub(super) p50: Nanos,
    /// The 99th percentile.
    pub(super) p99: Nanos,
}

impl Alone {
    /// Takes in a request.
    pub(super) fn add(&mut self, took: Nanos) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(took);
        self.stale = true;
        let Some(known) = self.quantiles else { return };
        self.beyond = self.beyond << 1 | u16::from(took > known.p99);
        self.under = self.under << 1 | u16::from(took < known.p25);
        if self.beyond.count_ones() >= CHANGED || self.under == u16::MAX {
            let old = self.kept.len().saturating_sub(LATEST);
            self.kept.drain(..old);
            (self.quantiles, self.beyond, self.under) = (None, 0, 0);
        }
    }

    /// Brings the quantiles up to the requests taken in.
    pub(super) fn renew(&mut self) {
        if !std::mem::take(&mut self.stale) || self.kept.len() < KNOWN {
            return;
        }
        let mut sorted: Vec<_> = self.kept.iter().copied().collect();
        sorted.sort_unstable();
        let last = sorted.len() - 1;
        let at = |hundredths: usize| sorted[last * hundredths / 100];
        // The rank is rounded down, so that the longest is left out until it is one of many.
        self.quantiles = Some(Quantiles { p25: at(25), p50: at(50), p99: at(99) });
    }

    /// The quantiles; `None` while too few requests are known.
    pub(super) fn quantiles(&self) -> Option<Quantiles> {
        self.quantiles
    }

    /// The number of requests on which the quantiles stand.
    pub(super) fn count(&self) -> usize {
        self.kept.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(n: u64) -> Nanos {
        Nanos::from_micros(n)
    }

    fn taken(requests: impl IntoIterator<Item = u64>) -> Alone {
        let mut alone = Alone::default();
        more(&mut alone, requests);
        alone
    }

    fn more(alone: &mut Alone, requests: impl IntoIterator<Item = u64>) {
        for took in requests {
            alone.add(us(took));
            alone.renew();
        }
    }

    fn p99(alone: &Alone) -> Option<Nanos> {
        alone.quantiles().map(|quantiles| quantiles.p99)
    }

    /// From 1000 to 1099 in an order without a trend.
    fn steady(count: u64) -> impl Iterator<Item = u64> {
        (0..count).map(|n| 1000 + n * 37 % 100)
    }

    #[test]
    fn few_requests_are_no_p99() {
        assert_eq!(p99(&taken(steady(19))), None);
        assert!(p99(&taken(steady(20))).is_some());
    }

    #[test]
    fn one_stray_request_of_few_is_no_p99() {
        assert!(p99(&taken(steady(60).chain([50_000]))).is_some_and(|p99| p99 < us(1100)));
    }

    #[test]
    fn quantiles_are_those_of_the_requests() {
        let known = taken(steady(500)).quantiles().expect("many");
        assert_eq!((known.p50, known.p99), (us(1049), us(1098)));
    }

    #[test]
    fn a_slower_model_is_another_one_after_a_few_requests() {
        let mut alone = taken(steady(500));
        more(&mut alone, steady(16).map(|took| 2 * took));
        assert_eq!(p99(&alone), None, "it is learned anew");
        more(&mut alone, steady(40).map(|took| 2 * took));
        assert!(p99(&alone).is_some_and(|p99| p99 > us(2100)));
    }

    #[test]
    fn a_faster_model_is_another_one_after_a_few_requests() {
        let mut alone = taken(steady(500));
        more(&mut alone, steady(60).map(|took| took / 2));
        assert!(p99(&alone).is_some_and(|p99| p99 < us(550)), "{:?}", p99(&alone));
    }

    #[test]
    fn a_hiccup_of_a_few_in_a_row_is_no_change() {
        let mut alone = taken(steady(500));
        more(&mut alone, [9000; 4]);
        assert!(p99(&alone).is_some_and(|p99| p99 <= us(1099)), "{:?}", p99(&alone));
    }

    #[test]
    fn memory_is_bounded() {
        assert_eq!(taken(steady(5_000)).count(), KEPT);
    }
}
