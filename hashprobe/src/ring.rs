//! Which slices share units, and what that tells about slices that look alike.
//!
//! On an H200 a 1 KiB unit alternates between two slices, and each slice shares units with exactly two others: drawn
//! as a graph, the 47 slices of a side are one ring. Two slices may be so placed on the chip that no SM sees a
//! difference (there, 2 pairs a side). As a cluster they have twice as many lines and twice as many partners as
//! others, so they show. Which partner belongs to which of the two is told by regularity. Of the three ways to deal four
//! partners out, one gives two rings, or a ring in which a part is turned the other way round. Flipping an address bit
//! steps around the right ring by few numbers of places (see [`crate::solve::ring`]), around a wrong one by many. All
//! ways for all doubles of a ring are tried, and the one with the fewest steps is taken.

use crate::solve::Sample;
use std::collections::{BTreeMap, BTreeSet};
use units::Bytes;

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

/// The units of two slices; the samples of a unit come one after the other.
pub(crate) fn units(samples: &[Sample], unit: Bytes) -> Vec<Unit> {
    let number = |sample: &Sample| sample.at.get() / unit.get();
    let of_two = |of_unit: &[Sample]| match of_unit {
        [a, b] => Some(Unit { number: number(a), slices: [a.class, b.class] }),
        _ => None,
    };
    samples.chunk_by(|a, b| number(a) == number(b)).filter_map(of_two).collect()
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

/// Most clusters of one connected set that are looked into for being two slices: each has three ways to be divided.
const MOST_DOUBLES: usize = 6;

/// Which clusters are two slices.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Split {
    /// The second number of a cluster, with some partners.
    moved: BTreeMap<(u32, u32), u32>,
    /// How many second numbers there are.
    pub(crate) new: usize,
    /// By how much the steps of the least certain ring are fewer than in the second best way (as a ratio; infinite
    /// where all are certain).
    pub(crate) margin: f64,
}

impl Default for Split {
    fn default() -> Self {
        Split { moved: BTreeMap::new(), new: 0, margin: f64::INFINITY }
    }
}

impl Split {
    /// The slices of a unit of two clusters.
    pub(crate) fn slices(&self, [a, b]: [u32; 2]) -> [u32; 2] {
        let number = |slice, partner| self.moved.get(&(slice, partner)).copied().unwrap_or(slice);
        [number(a, b), number(b, a)]
    }

    fn of(&self, units: &[Unit]) -> Vec<Unit> {
        units.iter().map(|unit| Unit { slices: self.slices(unit.slices), ..*unit }).collect()
    }
}

/// Gives clusters that are two slices a second number, from `count` on.
pub(crate) fn split(units: &[Unit], count: usize) -> Split {
    let partners = partners(&pairs(units));
    let doubles = doubles(units, &partners);
    let mut found = Split::default();
    for component in components(&partners) {
        let of_component: Vec<u32> = component.iter().copied().filter(|slice| doubles.contains(slice)).collect();
        if of_component.is_empty() || of_component.len() > MOST_DOUBLES {
            continue;
        }
        let mut ways = vec![Split::default()];
        for (slice, new) in of_component.iter().zip((count + found.new) as u32..) {
            let halves = second_halves(&partners[slice]);
            let longer = |way: &Split, half: &Vec<u32>| {
                let mut way = way.clone();
                way.moved.extend(half.iter().map(|&partner| ((*slice, partner), new)));
                way
            };
            ways =
                ways.iter().flat_map(|way| halves.iter().map(|half| longer(way, half)).collect::<Vec<_>>()).collect();
        }
        let own: Vec<Unit> = units.iter().copied().filter(|unit| component.contains(&unit.slices[0])).collect();
        let mut tried: Vec<(f64, Split)> = ways.into_iter().map(|way| (regularity(&way.of(&own)), way)).collect();
        tried.sort_by(|a, b| b.0.total_cmp(&a.0));
        if let [(best, _), (second, _), ..] = tried[..] {
            found.margin = found.margin.min(best / second.max(f64::MIN_POSITIVE));
        }
        if let Some((_, best)) = tried.into_iter().next() {
            found.moved.extend(best.moved);
            found.new += of_component.len();
        }
    }
    found
}

/// The clusters that have twice as many units and partners as most.
fn doubles(units: &[Unit], partners: &BTreeMap<u32, BTreeSet<u32>>) -> Vec<u32> {
    let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
    units.iter().flat_map(|unit| unit.slices).for_each(|slice| *sizes.entry(slice).or_insert(0) += 1);
    let mut sorted: Vec<usize> = sizes.values().copied().collect();
    let mut degrees: Vec<usize> = partners.values().map(BTreeSet::len).collect();
    sorted.sort_unstable();
    degrees.sort_unstable();
    let (Some(&size), Some(&degree)) = (sorted.get(sorted.len() / 2), degrees.get(degrees.len() / 2)) else {
        return Vec::new();
    };
    let double = |&(slice, of): &(&u32, &BTreeSet<u32>)| {
        (1..=2).contains(&degree) && of.len() == 2 * degree && sizes[slice] as f64 >= TWICE * size as f64
    };
    partners.iter().filter(double).map(|(&slice, _)| slice).collect()
}

/// The partners that the second of two slices may have.
fn second_halves(partners: &BTreeSet<u32>) -> Vec<Vec<u32>> {
    match partners.iter().copied().collect::<Vec<u32>>()[..] {
        [_, b] => vec![vec![b]],
        [_, b, c, d] => vec![vec![c, d], vec![b, d], vec![b, c]],
        _ => Vec::new(),
    }
}

/// How few steps around the rings of units there are for flips of one bit: the mean over the bits of the chance that two
/// flips step alike. Slices outside rings step by nothing that is like.
fn regularity(units: &[Unit]) -> f64 {
    let partners = partners(&pairs(units));
    let mut places: BTreeMap<u32, (usize, u32, u32)> = BTreeMap::new();
    for (number, component) in components(&partners).iter().enumerate() {
        let ring = ring(component, &partners).unwrap_or_default();
        let length = ring.len() as u32;
        places.extend(ring.into_iter().zip(0..).map(|(slice, place)| (slice, (number, place, length))));
    }
    // The place of a unit is that of the first of its two slices; in a ring of two both are.
    let place = |unit: &Unit| {
        let [(ring, a, length), (_, b, _)] = [*places.get(&unit.slices[0])?, *places.get(&unit.slices[1])?];
        Some((ring, if (a + 1) % length == b { a } else { b }, length))
    };
    let by_number: BTreeMap<u64, Option<(usize, u32, u32)>> =
        units.iter().map(|unit| (unit.number, place(unit))).collect();
    let (mut sum, mut bits) = (0.0, 0.0);
    for bit in 0..u64::BITS {
        let (mut steps, mut across, mut all) = (BTreeMap::new(), 0, 0usize);
        for (number, here) in by_number.iter().filter(|(number, _)| *number >> bit & 1 == 0) {
            let Some(there) = by_number.get(&(number | 1 << bit)) else { continue };
            all += 1;
            match (here, there) {
                (Some((ring, a, length)), Some((other, b, _))) if ring == other => {
                    let step = (b + length - a) % length;
                    *steps.entry(step.min(length - step)).or_insert(0usize) += 1;
                }
                (Some(_), Some(_)) => across += 1,
                _ => {}
            }
        }
        if all < FEWEST_FLIPS {
            continue;
        }
        bits += 1.0;
        // From right rings a bit leads to another always or never.
        sum += match across as f64 / all as f64 {
            share if share >= ALWAYS => share,
            _ => steps.values().map(|&count| (count as f64 / all as f64).powi(2)).sum::<f64>(),
        };
    }
    sum / f64::max(bits, 1.0)
}

/// The share of flips that lead to another ring where all of them should.
const ALWAYS: f64 = 0.9;
/// How many flips of a bit there must be for it to count.
const FEWEST_FLIPS: usize = 32;

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

    /// Units of a ring of 12 slices, whose places are the remainder of an address whose bits are XORs of others.
    fn ringed() -> Vec<Unit> {
        let place = |unit: u64| (unit ^ unit >> 3 & 0b101 ^ unit >> 5 & 0b10) % 12;
        (0..1_024)
            .map(|number| Unit { number, slices: [0, 1].map(|next| ((place(number) + next) % 12) as u32) })
            .collect()
    }

    #[test]
    fn slices_that_look_alike_are_told_apart_by_their_partners() {
        let mut units = ringed();
        units.iter_mut().flat_map(|unit| &mut unit.slices).filter(|slice| **slice == 7).for_each(|slice| *slice = 2);
        assert_eq!(partners(&pairs(&units))[&2].len(), 4);
        let found = split(&units, 12);
        assert!(found.new == 1 && found.margin > 1.05, "{found:?}");
        let units = found.of(&units);
        // Which of the two keeps the number is open.
        let of = |slice: u32| partners(&pairs(&units))[&slice].iter().copied().collect::<Vec<u32>>();
        let mut found = [of(2), of(12)];
        found.sort_unstable();
        assert_eq!(found, [[1, 3], [6, 8]]);
    }

    #[test]
    fn a_ring_without_twins_stays_as_it_is() {
        let units = ringed();
        assert_eq!(split(&units, 12), Split::default());
        let partners = partners(&pairs(&units));
        assert_eq!(ring(&components(&partners)[0], &partners).unwrap(), (0..12).collect::<Vec<u32>>());
    }
}
