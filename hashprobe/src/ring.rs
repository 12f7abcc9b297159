//! Which slices share units, and what that tells about slices that look alike.
//!
//! On an H200 a 1 KiB unit alternates between two slices, and each slice shares units with exactly two others: drawn
//! as a graph, the 47 slices of a side are one ring. Two slices may be so placed on the chip that no SM sees a
//! difference (there, 2 pairs a side). As a cluster they have twice as many lines and twice as many partners as
//! others, so they show. Which partner belongs to which of the two is told by how far apart the units of one slice lie:
//! some gaps are common for all other slices and some never come (on an H200, two units in the same 16 KiB). Of the
//! three ways to deal four partners out, the one with the likelier gaps is taken.
//!
//! That a ring closes does not confirm the choice: on the recorded H200 the second best choice for all four closes into
//! rings of 47 as well, and only a mixture leaves 41 and 6. The odds say how sure it is.

use std::collections::{BTreeMap, BTreeSet};

/// How many times as many units as others a cluster must have to be taken for two slices.
const TWICE: f64 = 1.5;
/// The share of the median count below which a pair is taken for a mistake.
const REAL_PAIR: f64 = 0.25;
/// A unit of two slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Its address over its size.
    pub(crate) number: u64,
    /// Its slices.
    pub(crate) slices: [u32; 2],
}

impl Unit {
    fn partner(&self, slice: u32) -> Option<u32> {
        match self.slices {
            [a, b] if a == b => None,
            [a, b] if a == slice => Some(b),
            [a, b] if b == slice => Some(a),
            _ => None,
        }
    }
}

/// How many units two different slices share, the lower first, without what is so rare that it is a mistake.
pub(crate) fn pairs(units: &[Unit]) -> BTreeMap<(u32, u32), usize> {
    let mut pairs = BTreeMap::new();
    for [a, b] in units.iter().map(|unit| unit.slices).filter(|[a, b]| a != b) {
        *pairs.entry((a.min(b), a.max(b))).or_insert(0) += 1;
    }
    // Most units are right, so the median is taken over units.
    let mut counts: Vec<usize> = pairs.values().flat_map(|&count| [count].repeat(count)).collect();
    counts.sort_unstable();
    let median = counts.get(counts.len() / 2).copied().unwrap_or(0);
    pairs.retain(|_, count| *count as f64 >= REAL_PAIR * median as f64);
    pairs
}

/// The partners of each slice.
pub(crate) fn partners(pairs: &BTreeMap<(u32, u32), usize>) -> BTreeMap<u32, BTreeSet<u32>> {
    let mut partners: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for &(a, b) in pairs.keys() {
        partners.entry(a).or_default().insert(b);
        partners.entry(b).or_default().insert(a);
    }
    partners
}

/// Gives clusters that are two slices a second number, from `count` on: how many there were, and the logarithm of the
/// odds of the least certain one (infinite where all are certain).
pub(crate) fn split(units: &mut [Unit], count: usize) -> (usize, f64) {
    let (mut splits, mut least) = (0, f64::INFINITY);
    while let Some((slice, moved, odds)) = next_split(units) {
        least = least.min(odds);
        let new = (count + splits) as u32;
        for unit in units.iter_mut() {
            if unit.partner(slice).is_some_and(|partner| moved.contains(&partner)) {
                let at = usize::from(unit.slices[1] == slice);
                unit.slices[at] = new;
            }
        }
        splits += 1;
    }
    (splits, least)
}

/// A cluster that is two slices, the partners of the second, and the logarithm of the odds for that.
fn next_split(units: &[Unit]) -> Option<(u32, [u32; 2], f64)> {
    let partners = partners(&pairs(units));
    let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
    units.iter().flat_map(|unit| unit.slices).for_each(|slice| *sizes.entry(slice).or_insert(0) += 1);
    let mut sorted: Vec<usize> = sizes.values().copied().collect();
    sorted.sort_unstable();
    let usual_size = *sorted.get(sorted.len() / 2)? as f64;
    let mut degrees: Vec<usize> = partners.values().map(BTreeSet::len).collect();
    degrees.sort_unstable();
    let usual = *degrees.get(degrees.len() / 2)?;
    let double = |slice: u32, of: &BTreeSet<u32>| of.len() == 2 * usual && sizes[&slice] as f64 >= TWICE * usual_size;
    let doubles: Vec<u32> =
        partners.iter().filter(|&(&slice, of)| double(slice, of)).map(|(&slice, _)| slice).collect();
    let &slice = doubles.first()?;
    let of: Vec<u32> = partners[&slice].iter().copied().collect();
    match (usual, &of[..]) {
        (1, &[_, b]) => Some((slice, [b, b], f64::INFINITY)),
        (2, &[a, b, c, d]) => {
            let usual = Gaps::of(units, &doubles);
            let ways = [([a, b], [c, d]), ([a, c], [b, d]), ([a, d], [b, c])];
            let mut ways = ways.map(|(first, second)| {
                let strangeness = |half: &[u32]| usual.strangeness(&numbers(units, slice, half));
                (strangeness(&first) + strangeness(&second), second)
            });
            ways.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            Some((slice, ways[0].1, ways[1].0 - ways[0].0))
        }
        _ => None,
    }
}

/// The units of a slice with one of some partners, in order.
fn numbers(units: &[Unit], slice: u32, partners: &[u32]) -> Vec<u64> {
    let of_slice = units.iter().filter(|unit| unit.partner(slice).is_some_and(|partner| partners.contains(&partner)));
    let mut numbers: Vec<u64> = of_slice.map(|unit| unit.number).collect();
    numbers.sort_unstable();
    numbers
}

/// How far apart the units of a slice lie.
struct Gaps {
    /// How often each gap comes, in units from one of a slice to its next.
    counts: BTreeMap<u64, usize>,
    total: usize,
}

impl Gaps {
    /// The gaps of all slices but `doubles`.
    fn of(units: &[Unit], doubles: &[u32]) -> Gaps {
        let mut by_slice: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for unit in units {
            for slice in unit.slices.into_iter().filter(|slice| !doubles.contains(slice)) {
                by_slice.entry(slice).or_default().push(unit.number);
            }
        }
        let mut gaps = Gaps { counts: BTreeMap::new(), total: 0 };
        for numbers in by_slice.values_mut() {
            numbers.sort_unstable();
            for gap in numbers.windows(2).map(|pair| pair[1] - pair[0]) {
                *gaps.counts.entry(gap).or_insert(0) += 1;
                gaps.total += 1;
            }
        }
        gaps
    }

    /// How unlike the usual ones the gaps of one slice are: minus the logarithm of their probability.
    fn strangeness(&self, numbers: &[u64]) -> f64 {
        let share = |gap| (*self.counts.get(&gap).unwrap_or(&0) as f64 + 0.5) / (self.total as f64 + 0.5);
        numbers.windows(2).map(|pair| -share(pair[1] - pair[0]).ln()).sum()
    }
}

/// The connected sets of slices, each in ascending order.
pub(crate) fn components(partners: &BTreeMap<u32, BTreeSet<u32>>) -> Vec<Vec<u32>> {
    let mut seen = BTreeSet::new();
    let mut components = Vec::new();
    for &start in partners.keys() {
        let (mut component, mut open) = (Vec::new(), vec![start]);
        while let Some(slice) = open.pop() {
            if seen.insert(slice) {
                component.push(slice);
                open.extend(&partners[&slice]);
            }
        }
        if !component.is_empty() {
            component.sort_unstable();
            components.push(component);
        }
    }
    components
}

/// The slices of a connected set in the order of its ring, from its lowest on; `None` where it is none.
pub(crate) fn ring(component: &[u32], partners: &BTreeMap<u32, BTreeSet<u32>>) -> Option<Vec<u32>> {
    if component.len() < 3 || component.iter().any(|slice| partners[slice].len() != 2) {
        return None;
    }
    let mut ring = vec![component[0]];
    let mut at = *partners[&component[0]].first()?;
    while at != ring[0] {
        let before = ring[ring.len() - 1];
        ring.push(at);
        at = *partners[&at].iter().find(|&&next| next != before)?;
    }
    Some(ring)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Units of a ring of 12 slices, whose places on it follow from the address.
    fn ringed() -> Vec<Unit> {
        let place = |unit: u64| (5 * unit + unit / 12) % 12;
        (0..600)
            .map(|number| Unit { number, slices: [0, 1].map(|next| ((place(number) + next) % 12) as u32) })
            .collect()
    }

    #[test]
    fn slices_that_look_alike_are_told_apart_by_their_partners() {
        let mut units = ringed();
        units.iter_mut().flat_map(|unit| &mut unit.slices).filter(|slice| **slice == 7).for_each(|slice| *slice = 2);
        assert_eq!(partners(&pairs(&units))[&2].len(), 4);
        let (splits, odds) = split(&mut units, 12);
        assert!(splits == 1 && odds > 5.0, "{splits} {odds}");
        // Which of the two keeps the number is open.
        let of = |slice: u32| partners(&pairs(&units))[&slice].iter().copied().collect::<Vec<u32>>();
        let mut found = [of(2), of(12)];
        found.sort_unstable();
        assert_eq!(found, [[1, 3], [6, 8]]);
    }

    #[test]
    fn a_ring_without_twins_stays_as_it_is() {
        let mut units = ringed();
        assert_eq!(split(&mut units, 12), (0, f64::INFINITY));
        assert_eq!(units, ringed());
        let partners = partners(&pairs(&units));
        assert_eq!(ring(&components(&partners)[0], &partners).unwrap(), (0..12).collect::<Vec<u32>>());
    }
}
