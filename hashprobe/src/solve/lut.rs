//! A lookup over the address bits that matter.
//!
//! The last resort, for hashes of no known form: the paper on Missile (arXiv 2407.13996) trained a neural network for
//! each GPU to the same end. A table says no more than was measured, and where that was.
//!
//! A bit matters if lines that differ in it alone are of different classes more often than wrong labels explain. As
//! soon as a bit is known not to matter, lines that differ in it as well can be compared, so that the bits are taken
//! one after another, the one with the least changes first, until all that are left matter or have no lines to compare.
//! Those without stay in: what cannot be shown not to matter, matters. Then the lines that agree in all those bits vote
//! on the class of their entry. Entries without lines are not in the domain, and neither are addresses outside those
//! sampled, since bits that were the same in all samples may matter beyond.

use super::{NoFit, Sample, classes_of, commonest};
use crate::Lut;
use crate::function::index_of;

/// A table over more bits is none that anyone can measure.
pub const MOST_BITS: u32 = 28;
/// The share of pairs of lines that may be of different classes by wrong labels: 5 % of labels make 9.75 %.
const WRONG: f64 = 0.12;
/// How many pairs must be known of a bit that does not matter.
const FEWEST_PAIRS: usize = 24;

/// Makes the table. The classes are the labels of the samples.
pub fn fit(samples: &[Sample]) -> Result<Lut, NoFit> {
    let classes = classes_of(samples);
    let Some(first) = samples.first().filter(|_| classes > 1) else { return Err(NoFit::OneClass) };
    let mut bits = samples.iter().fold(0, |all, sample| all | sample.at.get() ^ first.at.get());
    while let Some(bit) = bit_that_does_not_matter(samples, bits) {
        bits &= !(1u64 << bit);
    }
    if bits.count_ones() > MOST_BITS {
        return Err(NoFit::TooManyBits { bits: bits.count_ones() });
    }
    let mut indexed: Vec<(u64, u32)> = samples.iter().map(|sample| (index_of(bits, sample.at), sample.class)).collect();
    indexed.sort_unstable();
    let entries = indexed.chunk_by(|a, b| a.0 == b.0);
    let entries = entries.map(|one| (one[0].0, commonest(one.iter().map(|&(_, class)| class)).unwrap_or_default()));
    let lowest = samples.iter().map(|sample| sample.at).min().unwrap_or_default();
    let highest = samples.iter().map(|sample| sample.at).max().unwrap_or_default();
    let most = samples.iter().map(|sample| sample.class).max().unwrap_or_default();
    Ok(Lut::new(bits, most + 1, (lowest, highest), entries))
}

/// The bit, of those in `bits`, whose flip changes the class least, and no more than wrong labels do. How many labels
/// are wrong is not known, but most bits that change little do not matter: what these have in common is the floor.
fn bit_that_does_not_matter(samples: &[Sample], bits: u64) -> Option<u32> {
    let of_bits = (0..64u32).filter(|&bit| bits >> bit & 1 == 1);
    let chance = |share: f64, pairs: usize| 3.0 * (share * (1.0 - share) / pairs as f64).sqrt();
    let judged: Vec<(usize, usize, u32)> = of_bits
        .map(|bit| {
            let (changes, pairs) = changes(samples, bit, bits & !(1 << bit));
            (changes, pairs, bit)
        })
        .filter(|&(changes, pairs, _)| {
            pairs >= FEWEST_PAIRS && changes as f64 / pairs as f64 <= WRONG + chance(WRONG, pairs)
        })
        .collect();
    let all: (usize, usize) = judged.iter().fold((0, 0), |all, of| (all.0 + of.0, all.1 + of.1));
    let floor = all.0 as f64 / all.1.max(1) as f64;
    let share = |&(changes, pairs, _): &(usize, usize, u32)| changes as f64 / pairs as f64;
    let least = judged.into_iter().min_by(|a, b| share(a).total_cmp(&share(b)))?;
    (share(&least) <= floor + 0.01 + chance(floor, least.1)).then_some(least.2)
}

/// How often the class changes from a line to one that differs in `bit` but not in `others`, of how many pairs.
fn changes(samples: &[Sample], bit: u32, others: u64) -> (usize, usize) {
    let mut sorted: Vec<(u64, bool, u32)> = samples
        .iter()
        .map(|sample| (sample.at.get() & others, sample.at.get() >> bit & 1 == 1, sample.class))
        .collect();
    sorted.sort_unstable_by_key(|&(rest, with, _)| (rest, with));
    let (mut changes, mut pairs) = (0, 0);
    for alike in sorted.chunk_by(|a, b| a.0 == b.0) {
        let (without, with) = alike.split_at(alike.partition_point(|&(_, with, _)| !with));
        pairs += without.len().min(with.len());
        changes += without.iter().zip(with).filter(|((.., one), (.., other))| one != other).count();
    }
    (changes, pairs)
}
