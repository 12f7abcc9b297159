//! Pairs of lines that differ in one address bit, or in two.

use super::Sample;
use crate::gf2::Span;
use rustc_hash::FxHashMap;

/// The lines of one group of classes, for looking up: the class of each address.
#[derive(Default)]
pub(super) struct Group(FxHashMap<u64, u32>);

impl FromIterator<Sample> for Group {
    fn from_iter<I: IntoIterator<Item = Sample>>(samples: I) -> Self {
        Group(samples.into_iter().map(|sample| (sample.at.get(), sample.class)).collect())
    }
}

/// Two lines of a group that differ in the bits of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    /// The address of the one in which the direction's highest bit is 0.
    pub(super) at: u64,
    /// The group.
    pub(super) group: usize,
    /// Its class.
    pub(super) from: u32,
    /// The class of the other.
    pub(super) to: u32,
}

/// All pairs that differ in the same bits.
pub(super) struct Direction {
    /// Those bits.
    pub(super) bits: u64,
    pub(super) pairs: Vec<Pair>,
}

impl Direction {
    fn of(groups: &[Group], bits: u64) -> Direction {
        let highest = 1 << bits.ilog2();
        let mut pairs = Vec::new();
        for (number, Group(lines)) in groups.iter().enumerate() {
            let without = lines.iter().filter(|&(at, _)| at & highest == 0);
            pairs
                .extend(without.filter_map(|(&at, &from)| {
                    lines.get(&(at ^ bits)).map(|&to| Pair { at, group: number, from, to })
                }));
        }
        pairs.sort_unstable();
        Direction { bits, pairs }
    }

    /// Whether the addresses are of all sorts that the samples have, of dimension `rank`.
    pub(super) fn spans(&self, rank: usize) -> bool {
        let Some(&Pair { at: first, .. }) = self.pairs.first() else { return false };
        self.pairs.iter().map(|pair| pair.at ^ first).collect::<Span>().rank() + 1 >= rank
    }
}

fn bits_of(varying: u64) -> impl Iterator<Item = u64> + Clone {
    (0..64).map(|bit| 1 << bit).filter(move |bit| varying & bit != 0)
}

/// The directions of one bit.
pub(super) fn single(groups: &[Group], varying: u64) -> Vec<Direction> {
    bits_of(varying).map(|bit| Direction::of(groups, bit)).collect()
}

/// The directions of two bits of which there are pairs.
pub(super) fn combined(groups: &[Group], varying: u64) -> Vec<Direction> {
    let both = bits_of(varying)
        .flat_map(|high| bits_of(varying).take_while(move |&low| low < high).map(move |low| high | low));
    both.map(|bits| Direction::of(groups, bits)).filter(|direction| !direction.pairs.is_empty()).collect()
}
