//! The lengths of launches: an estimate for each kernel and grid, and for each executable graph, from when they were seen
//! to be done.

use abi::cuda::{CUfunction, CUgraphExec};
use std::sync::atomic::{AtomicU64, Ordering};
use units::Nanos;

/// A kernel with a grid, or an executable graph: what takes about as long each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(u64);

/// 2^64 over the golden ratio, by which multiplying spreads small differences over the upper bits.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Set in the kind of a graph.
const GRAPH: u64 = 1;

impl Kind {
    /// No kind.
    pub(crate) const NONE: Kind = Kind(0);

    /// A kernel in a grid of so many blocks.
    #[inline]
    pub(crate) fn kernel(function: CUfunction, grid: [u32; 3]) -> Self {
        let [x, y, z] = grid.map(u64::from);
        let blocks = (x ^ y.rotate_left(24) ^ z.rotate_left(44)).wrapping_mul(SPREAD);
        Kind((function.addr() as u64 ^ blocks.rotate_left(20)).wrapping_mul(SPREAD) & !GRAPH)
    }

    /// An executable graph.
    #[inline]
    pub(crate) fn graph(exec: CUgraphExec) -> Self {
        Kind((exec.addr() as u64).wrapping_mul(SPREAD) | GRAPH)
    }

    /// Whether it is a graph.
    #[inline]
    pub(crate) fn is_graph(self) -> bool {
        self.0 & GRAPH != 0
    }
}

/// Kinds that are remembered: a training step has some hundreds.
const PLACES: usize = 4096;

/// Estimates by kind. A place holds one kind, the last of those that fall there, so a look takes no lock.
pub(crate) struct Estimates([AtomicU64; PLACES]);

/// The longest time that is told from longer ones: 4.3 s.
const LONGEST: u64 = u32::MAX as u64;

impl Estimates {
    pub(crate) const fn new() -> Self {
        Estimates([const { AtomicU64::new(0) }; PLACES])
    }

    fn place(&self, kind: Kind) -> &AtomicU64 {
        &self.0[(kind.0 >> 52) as usize]
    }

    /// The upper half of a place: which kind it is.
    fn mark(kind: Kind) -> u64 {
        kind.0 << 12 >> 32 << 32
    }

    /// The length of launches of a kind, where one was seen.
    #[inline]
    pub(crate) fn of(&self, kind: Kind) -> Option<Nanos> {
        let held = self.place(kind).load(Ordering::Relaxed);
        (held >> 32 == Self::mark(kind) >> 32 && held & LONGEST != 0).then_some(Nanos::new(held & LONGEST))
    }

    /// Launches of a kind take this long.
    pub(crate) fn set(&self, kind: Kind, takes: Nanos) {
        self.place(kind).store(Self::mark(kind) | takes.get().clamp(1, LONGEST), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const F: CUfunction = CUfunction::from_addr(0x7f00_1234_5670);

    #[test]
    fn a_kernel_has_an_estimate_for_each_grid() {
        let estimates = Estimates::new();
        let (small, large) = (Kind::kernel(F, [1, 1, 1]), Kind::kernel(F, [1024, 1, 1]));
        assert_eq!(estimates.of(small), None);
        estimates.set(small, Nanos::from_micros(3));
        estimates.set(large, Nanos::from_micros(300));
        assert_eq!(estimates.of(small), Some(Nanos::from_micros(3)));
        assert_eq!(estimates.of(large), Some(Nanos::from_micros(300)));
    }

    #[test]
    fn the_order_of_a_grids_sides_matters() {
        let kinds = [[8, 4, 2], [2, 4, 8], [4, 8, 2]].map(|grid| Kind::kernel(F, grid));
        assert!(kinds[0] != kinds[1] && kinds[1] != kinds[2] && kinds[0] != kinds[2]);
    }

    #[test]
    fn a_time_beyond_what_can_be_told_is_the_longest() {
        let estimates = Estimates::new();
        let graph = Kind::graph(CUgraphExec::from_addr(0x5550));
        estimates.set(graph, Nanos::from_millis(60_000));
        assert_eq!(estimates.of(graph), Some(Nanos::new(LONGEST)));
    }
}
