//! Blocks of units in an order that parities of address bits choose.
//!
//! A GPU with 12 or 6 channels cannot choose the channel by parities alone. The paper on Missile (arXiv 2407.13996)
//! found on a Tesla P40, an RTX A2000 and an RTX A5500 that `m` consecutive units of 1 KiB hold each channel equally
//! often, and that the order in which they do is one of a few: an m-permutation. The module takes it that
//!
//! - unit number `u` of the memory is place `u mod m` of block `u / m`;
//! - every block is a permutation of the same classes, and there are at most [`MOST_ORDERS`] of them;
//! - which of them a block is, is told by parities of the bits of its number, or of the physical address.
//!
//! `m` is not known. For each from the number of classes to [`MOST_TIMES`] times as many, the blocks of which every
//! unit was sampled are compared: with the right `m` the same orders come back again and again, with a wrong one they
//! do not. A block with a wrong label is of an order that hardly any other has, so that rare orders are left out;
//! nothing is lost as long as some blocks have no wrong label. Then each order is a label of block numbers, for which
//! [`super::xor`] finds the parities; lines that lie alone help where their class and place are of one order only.
//! At last every sample has a vote on the class of its place in its order.
//!
//! If the parities are of address bits below the size of a block, the order changes inside blocks and none come
//! back. Then the lines of one class at one place of their blocks stand for one order each, whichever it is: the
//! parities must be constant on them. This needs no two orders with the same class at the same place.

use super::{NoFit, Sample, classes_of, commonest, granule, xor};
use crate::gf2::parity;
use crate::{Blocks, Mask, Over};
use fastrand::Rng;
use std::collections::HashMap;
use units::{Bytes, PhysAddr};

/// Most different orders that blocks may have.
pub const MOST_ORDERS: usize = 64;
/// How many times as many units as classes a block may have.
pub const MOST_TIMES: usize = 4;
/// How many whole blocks there must be.
const FEWEST_BLOCKS: usize = 16;
/// The share of whole blocks that must be of an order that comes back.
const COMING_BACK: f64 = 0.15;
/// An order counts if it has at least this share of the blocks that the commonest has.
const NOT_RARE: f64 = 0.1;
/// The share of samples that must be of the class foretold.
const AGREEING: f64 = 0.85;

/// Finds the blocks. The classes are the labels of the samples, numbered from 0 without gaps.
pub fn fit(samples: &[Sample], rng: &mut Rng) -> Result<Blocks, NoFit> {
    let classes = classes_of(samples);
    if classes < 2 {
        return Err(NoFit::OneClass);
    }
    let unit = granule(samples);
    let units = by_unit(samples, unit);
    let (least, most) = (classes, (MOST_TIMES * classes).min(512));
    let mut reason = NoFit::NoBlocks { least, most };
    for length in least..=most {
        let orders = Orders::of(&units, length);
        if orders.sequences.is_empty() {
            continue;
        }
        for over in [Over::Block, Over::Address] {
            let found =
                orders.selectors(samples, unit, over, rng).map(|masks| build(samples, unit, length, over, masks));
            match found.filter(|(_, agreement)| *agreement >= AGREEING) {
                Some((blocks, _)) => return Ok(blocks),
                None => reason = NoFit::NoSelector { length, orders: orders.sequences.len() },
            }
        }
    }
    for length in (1..=MOST_TIMES).map(|times| times * classes).filter(|&length| length <= most) {
        for over in [Over::Block, Over::Address] {
            let found = selectors_of_places(samples, unit, length, over, rng);
            if let Some((blocks, _)) = found
                .map(|masks| build(samples, unit, length, over, masks))
                .filter(|(_, agreement)| *agreement >= AGREEING)
            {
                return Ok(blocks);
            }
        }
    }
    Err(reason)
}

/// The class of each unit of which there are samples, in order.
fn by_unit(samples: &[Sample], unit: u64) -> Vec<(u64, u32)> {
    let mut units: Vec<(u64, u32)> = samples.iter().map(|sample| (sample.at.get() / unit, sample.class)).collect();
    units.sort_unstable();
    let of_unit = units.chunk_by(|a, b| a.0 == b.0);
    of_unit.map(|one| (one[0].0, commonest(one.iter().map(|&(_, class)| class)).unwrap_or_default())).collect()
}

/// The orders that come back among the whole blocks of one length.
struct Orders {
    sequences: Vec<Vec<u32>>,
    /// The number of each block that is of one of them, and of which.
    blocks: Vec<(u64, u32)>,
}

impl Orders {
    fn of(units: &[(u64, u32)], length: usize) -> Orders {
        let mut found: HashMap<Vec<u32>, Vec<u64>> = HashMap::new();
        let (mut at, mut whole) = (0, 0);
        while at + length <= units.len() {
            let (first, last) = (units[at].0, units[at + length - 1].0);
            if first.is_multiple_of(length as u64) && last - first == length as u64 - 1 {
                let sequence = units[at..at + length].iter().map(|&(_, class)| class).collect();
                found.entry(sequence).or_default().push(first / length as u64);
                whole += 1;
                at += length;
            } else {
                at += 1;
            }
        }
        let most = found.values().map(Vec::len).max().unwrap_or(0);
        let fewest = ((NOT_RARE * most as f64).ceil() as usize).max(2);
        let mut kept: Vec<(Vec<u32>, Vec<u64>)> =
            found.into_iter().filter(|(_, blocks)| blocks.len() >= fewest).collect();
        kept.sort();
        let covered: usize = kept.iter().map(|(_, blocks)| blocks.len()).sum();
        let content = |sequence: &[u32]| {
            let mut content = sequence.to_vec();
            content.sort_unstable();
            content
        };
        let same_content = kept.windows(2).all(|two| content(&two[0].0) == content(&two[1].0));
        let coming_back = covered as f64 >= COMING_BACK * whole as f64;
        if whole < FEWEST_BLOCKS || kept.len() > MOST_ORDERS || !same_content || !coming_back {
            return Orders { sequences: Vec::new(), blocks: Vec::new() };
        }
        let numbered = kept.iter().enumerate();
        let blocks = numbered.flat_map(|(order, (_, blocks))| blocks.iter().map(move |&block| (block, order as u32)));
        Orders { blocks: blocks.collect(), sequences: kept.into_iter().map(|(sequence, _)| sequence).collect() }
    }

    /// The parities that tell the orders apart.
    fn selectors(&self, samples: &[Sample], unit: u64, over: Over, rng: &mut Rng) -> Option<Vec<Mask>> {
        if self.sequences.len() == 1 {
            return Some(Vec::new());
        }
        let length = self.sequences[0].len();
        let mut only: HashMap<(usize, u32), Option<u32>> = HashMap::new();
        for (order, sequence) in self.sequences.iter().enumerate() {
            for (place, &class) in sequence.iter().enumerate() {
                only.entry((place, class)).and_modify(|order| *order = None).or_insert(Some(order as u32));
            }
        }
        let size = unit * length as u64;
        let whole = self.blocks.iter().map(|&(block, order)| {
            let at = if over == Over::Block { block } else { block * size };
            Sample { at: PhysAddr::new(at), class: order }
        });
        let alone = samples.iter().filter_map(|sample| {
            let (block, place) = place_of(sample.at, unit, length);
            let order = (*only.get(&(place, sample.class))?)?;
            Some(Sample { at: coordinate(sample.at, block, unit, over), class: order })
        });
        let whole: Vec<Sample> = whole.collect();
        let told_apart = |labelled: &[Sample], rng: &mut Rng| {
            let forms = xor::fit(labelled, rng).ok()?;
            // Where an order is missing, as none of its few blocks was sorted without a fault, its group is empty; once
            // the parities are known, all samples vote on it.
            forms.groups.iter().all(|group| group.len() <= 1).then_some(forms.hash.masks)
        };
        // Inside a block the address changes, and with it parities of its lower bits: only the block tells of those.
        // And lines that lie alone mislead where an order is missing: its lines then seem to be of others.
        let with_alone = (over == Over::Block).then(|| whole.iter().copied().chain(alone).collect::<Vec<Sample>>());
        with_alone.and_then(|labelled| told_apart(&labelled, rng)).or_else(|| told_apart(&whole, rng))
    }
}

/// The parities that are constant on the lines of one class at one place.
fn selectors_of_places(samples: &[Sample], unit: u64, length: usize, over: Over, rng: &mut Rng) -> Option<Vec<Mask>> {
    let classes = samples.iter().map(|sample| sample.class).max()? + 1;
    let labelled: Vec<Sample> = samples
        .iter()
        .map(|sample| {
            let (block, place) = place_of(sample.at, unit, length);
            Sample { at: coordinate(sample.at, block, unit, over), class: place as u32 * classes + sample.class }
        })
        .collect();
    let forms = xor::fit_unless_missed(&labelled, xor::OFF_CHANCE, rng).ok()?;
    (forms.groups.len() <= MOST_ORDERS).then_some(forms.hash.masks)
}

fn place_of(at: PhysAddr, unit: u64, length: usize) -> (u64, usize) {
    let units = at.get() / unit;
    (units / length as u64, (units % length as u64) as usize)
}

/// The number whose bits the selectors are parities of.
fn coordinate(at: PhysAddr, block: u64, unit: u64, over: Over) -> PhysAddr {
    match over {
        Over::Block => PhysAddr::new(block),
        Over::Address => PhysAddr::new(at.get() & !(unit - 1)),
    }
}

/// Lets the samples vote on the classes, and counts how many agree with the outcome.
fn build(samples: &[Sample], unit: u64, length: usize, over: Over, selectors: Vec<Mask>) -> (Blocks, f64) {
    let selected = |sample: &Sample| {
        let (block, place) = place_of(sample.at, unit, length);
        let bits = coordinate(sample.at, block, unit, over).get();
        let masks = selectors.iter().enumerate();
        let order = masks.map(|(bit, mask)| usize::from(parity(mask.0 & bits)) << bit).sum::<usize>();
        (order * length + place) as u32
    };
    let mut placed: Vec<(u32, u32)> = samples.iter().map(|sample| (selected(sample), sample.class)).collect();
    placed.sort_unstable();
    let mut sequences = vec![vec![0; length]; 1 << selectors.len()];
    let mut agreeing = 0;
    for one in placed.chunk_by(|a, b| a.0 == b.0) {
        let class = commonest(one.iter().map(|&(_, class)| class)).unwrap_or_default();
        agreeing += one.iter().filter(|&&(_, other)| other == class).count();
        sequences[one[0].0 as usize / length][one[0].0 as usize % length] = class;
    }
    (Blocks { unit: Bytes::new(unit), over, selectors, sequences }, agreeing as f64 / samples.len() as f64)
}
