//! Parities of address bits that are the same for all lines of a class.
//!
//! Most memory controllers XOR address bits to spread addresses over a number of channels that is a power of two. On
//! GPUs this is published for the GTX 1080 and the V100 (FGPU: S. Jain, I. Baek, S. Wang and R. Rajkumar, "Fractional
//! GPUs", RTAS 2019), and the sides of an H200 are one such parity, measured on every 2 MiB of 96 GiB.
//!
//! A mask that is constant on classes has an even number of bits in common with the XOR of any two addresses of one
//! class. So the masks are the orthogonal complement of the span of those differences, which Gaussian elimination over
//! GF(2) gives, without knowing what the labels stand for, and with any number of masks at once. Wrong labels spoil
//! the span: hence the complement is taken of random subsets of pairs a little larger than needed, and of those
//! complements the vectors are kept that hold on most of all pairs (RANSAC, Fischler and Bolles 1981, as in
//! [`crate::gf2::fit`]). A mask that is no part of the hash holds on half of the pairs.
//!
//! The number of classes need not be a power of two. The masks found divide the classes into groups, which may have
//! several classes each: two times 47 slices have one mask, the side. What is left inside a group is for the other
//! methods ([`Forms::inside`]).
//!
//! Masks that the samples cannot tell apart, for example of a bit that is the same in all of them, are not told apart:
//! the one given has the fewest bits at places where they differ.

use super::{NoFit, Sample, classes_of, commonest};
use crate::gf2::{Span, parity};
use crate::{Mask, XorHash};
use fastrand::Rng;
use std::collections::HashSet;
use units::PhysAddr;

/// The masks that are constant on the labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Forms {
    /// The masks, independent, with as few bits as possible.
    pub hash: XorHash,
    /// The labels of each class of `hash`.
    pub groups: Vec<Vec<u32>>,
    /// The share of samples that are in the group of their label.
    pub agreement: f64,
    /// The dimension of the differences of all samples: masks are known up to what is the same on all of them.
    pub rank: usize,
}

impl Forms {
    /// Whether each class of the hash is of one label only, so that there is nothing more to find.
    pub fn tell_all_apart(&self) -> bool {
        self.groups.iter().all(|group| group.len() == 1)
    }

    /// The hash and the label of each of its classes, where each class is of exactly one label.
    pub(super) fn hash_of_all(&self) -> Option<(XorHash, Vec<u32>)> {
        let one = |group: &Vec<u32>| if let [label] = group[..] { Some(label) } else { None };
        let labels: Option<Vec<u32>> = self.groups.iter().map(one).collect();
        labels.map(|labels| (self.hash.clone(), labels))
    }

    pub(super) fn relabel(mut self, labels: &[u32]) -> Forms {
        self.groups.iter_mut().flatten().for_each(|label| *label = labels[*label as usize]);
        self
    }

    /// The samples of each group, with labels of that group only. One bit of each mask follows from the others inside
    /// a group, and is 0 in the addresses returned; so two lines can differ in a single bit though they differ in
    /// several of the memory. A ring or a lookup found for these samples has no such bit, and holds for the addresses
    /// of the group as they are.
    pub fn inside(&self, samples: &[Sample]) -> Vec<Vec<Sample>> {
        let coordinates = self.coordinates();
        let mut groups = coordinates.groups(samples);
        let followers = coordinates.followers.iter().fold(0, |all, &(bit, _)| all | bit);
        groups.iter_mut().flatten().for_each(|sample| sample.at = PhysAddr::new(sample.at.get() & !followers));
        groups
    }

    /// Addresses in coordinates of which the group is a part.
    pub fn coordinates(&self) -> Coordinates<'_> {
        // The lowest bits that no other mask has once they are eliminated.
        let span: Span = self.hash.masks.iter().map(|mask| mask.0.reverse_bits()).collect();
        let bits = span.basis().map(|row| 1 << (63 - row.ilog2()));
        Coordinates { forms: self, followers: bits.zip(self.hash.masks.iter().copied()).collect() }
    }
}

/// Addresses in other coordinates: in the place of one bit of each mask, which follows from the others inside a group,
/// stands the parity under the mask.
///
/// Each address has one set of coordinates and the other way round, and what is linear in the one is linear in the other.
/// Two lines of a group differ in none of those places, so they can differ in a single one though their addresses
/// differ in several bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Coordinates<'a> {
    forms: &'a Forms,
    /// The places, and the masks whose parities stand there.
    followers: Vec<(u64, Mask)>,
}

impl Coordinates<'_> {
    /// The samples of each group, with labels of that group only, their addresses in these coordinates.
    pub fn groups(&self, samples: &[Sample]) -> Vec<Vec<Sample>> {
        let mut groups = vec![Vec::new(); self.forms.groups.len()];
        for sample in samples {
            let group = self.forms.hash.class_of(sample.at) as usize;
            if self.forms.groups[group].contains(&sample.class) {
                groups[group].push(Sample { at: self.of(sample.at), ..*sample });
            }
        }
        groups
    }

    /// The coordinates of an address.
    pub fn of(&self, address: PhysAddr) -> PhysAddr {
        let of_place = |place: u64, mask: Mask| if mask.parity(address) == 1 { place } else { 0 };
        let rest = address.get() & !self.followers.iter().fold(0, |all, &(place, _)| all | place);
        PhysAddr::new(self.followers.iter().fold(rest, |all, &(place, mask)| all | of_place(place, mask)))
    }

    /// The address bits whose parity is that of some coordinates.
    pub fn of_address(&self, form: Mask) -> Mask {
        let followers = self.followers.iter().filter(|&&(place, _)| form.0 & place != 0);
        Mask(followers.fold(form.0, |form, &(place, mask)| form ^ place ^ mask.0))
    }
}

/// How many pairs a mask is checked on at most.
const PAIRS: usize = 2_048;
/// How many pairs a subset has beyond the dimension: each halves the chance that a subset with a wrong pair passes.
const SPARE: usize = 8;
/// How much of what is to be had above two lines of any labels a mask must hold on. With 5 % of labels wrong a mask
/// holds on 90.5 % of the pairs or more, so that it has 81 %.
const HOLDS: f64 = 0.7;
/// On more pairs of any labels than this a mask must not be constant: it would divide next to nothing.
const MOST_ALIKE: f64 = 0.9;
/// The share of pairs that hold where nothing better is known.
const EXPECTED: f64 = 0.905;
/// How likely it may be that a mask is missed.
const MISSED: f64 = 1e-9;
/// The same for what is tried on the off chance.
pub(super) const OFF_CHANCE: f64 = 1e-2;
/// Most masks that are looked for: no GPU has 2^10 channels.
const MOST: u32 = 10;

/// Finds all masks that are constant on the labels of samples, of which some 5 % may be wrong.
pub fn fit(samples: &[Sample], rng: &mut Rng) -> Result<Forms, NoFit> {
    fit_unless_missed(samples, MISSED, rng)
}

/// Like [`fit`], but may miss masks with that probability.
pub(super) fn fit_unless_missed(samples: &[Sample], missed: f64, rng: &mut Rng) -> Result<Forms, NoFit> {
    let classes = classes_of(samples);
    let Some(first) = samples.first().filter(|_| classes > 1) else { return Err(NoFit::OneClass) };
    let differences = samples.iter().map(|sample| sample.at.get() ^ first.at.get());
    let varying = differences.clone().fold(0, |all, bits| all | bits);
    let all: Span = differences.collect();
    // What is 0 on every difference says nothing; its vectors have a bit each that the others have not.
    let nothing = all.complement(varying);
    let lowest_rank = all.rank();
    let pairs = same_class_pairs(samples, rng);
    if pairs.len() < lowest_rank + SPARE {
        return Err(NoFit::TooFew { lines: samples.len() });
    }
    let any_two: Vec<u64> = (0..PAIRS)
        .map(|_| samples[rng.usize(..samples.len())].at.get() ^ samples[rng.usize(..samples.len())].at.get())
        .collect();
    // Rounded up: of the classes that the masks tell apart, some may have no sample.
    let most = classes.next_power_of_two().ilog2().min(MOST) as usize;
    let size = lowest_rank + SPARE;
    let enough = |share: f64| missed.ln() / (1.0 - share.powi(size as i32)).ln();
    let mut tries = enough(EXPECTED);
    let mut tried = 0.0;
    // The masks that hold on most pairs, independent, the best first; and all that were looked at.
    let mut best: Vec<(f64, u64)> = Vec::new();
    let mut seen = HashSet::from([0]);
    while tried < tries {
        tried += 1.0;
        let mut span = Span::default();
        let mut rank = 0;
        for _ in 0..size {
            rank += usize::from(span.insert(pairs[rng.usize(..pairs.len())]));
            if rank == lowest_rank {
                break;
            }
        }
        if rank == lowest_rank {
            continue;
        }
        for candidate in span.complement(varying) {
            let candidate = clear(candidate, &nothing);
            if !seen.insert(candidate) {
                continue;
            }
            if let Some(share) = share_holding(candidate, &pairs, &any_two) {
                best.push((share, candidate));
                best.sort_by(|a, b| b.0.total_cmp(&a.0));
                // A mask together with better ones must hold as well: else it only tells a window from the others.
                let mut better: Vec<u64> = vec![0];
                best.retain(|&(_, mask)| {
                    let new = !better.contains(&mask);
                    let holds = |&other: &u64| share_holding(mask ^ other, &pairs, &any_two).is_some();
                    let kept = new && better.len() < 1 << most && better.iter().all(holds);
                    if kept {
                        better.extend_from_within(..);
                        let half = better.len() / 2;
                        better[half..].iter_mut().for_each(|other| *other ^= mask);
                    }
                    kept
                });
                // As long as there may be more, one may hold on fewer pairs than those that were found first.
                let all = best.len() == most;
                tries = if all { enough(best[best.len() - 1].0).min(enough(EXPECTED)) } else { enough(EXPECTED) };
            }
        }
    }
    if best.is_empty() {
        return Err(NoFit::NoForm);
    }
    let masks: Vec<u64> = best.into_iter().map(|(_, mask)| mask).collect();
    Ok(forms(XorHash { masks: fewest_bits(&masks).into_iter().map(Mask).collect() }, samples, lowest_rank))
}

/// XORs of the addresses of random pairs of lines of one label.
fn same_class_pairs(samples: &[Sample], rng: &mut Rng) -> Vec<u64> {
    let mut sorted: Vec<&Sample> = samples.iter().collect();
    sorted.sort_by_key(|sample| sample.class);
    let ends: Vec<&[&Sample]> = sorted.chunk_by(|a, b| a.class == b.class).collect();
    let mut start = 0;
    let of_place: Vec<(usize, usize)> = ends
        .iter()
        .flat_map(|group| {
            let range = (start, start + group.len());
            start += group.len();
            core::iter::repeat_n(range, group.len())
        })
        .collect();
    let mut pairs = Vec::new();
    for _ in 0..2 * PAIRS {
        let at = rng.usize(..sorted.len());
        let (from, to) = of_place[at];
        let difference = sorted[at].at.get() ^ sorted[rng.usize(from..to)].at.get();
        if difference != 0 && pairs.len() < PAIRS {
            pairs.push(difference);
        }
    }
    pairs
}

/// A vector without the bits that are a vector's own in `nothing`.
fn clear(vector: u64, nothing: &[u64]) -> u64 {
    nothing.iter().fold(vector, |vector, &form| {
        let own = 1u64 << form.trailing_zeros();
        if vector & own == 0 { vector } else { vector ^ form }
    })
}

/// The share of pairs of one label on which a mask is constant, if that is high, and higher than of any two lines: a
/// mask that tells one window of the memory from the others is constant on most pairs as well.
fn share_holding(mask: u64, pairs: &[u64], any_two: &[u64]) -> Option<f64> {
    let share = |pairs: &[u64]| pairs.iter().filter(|&&pair| !parity(pair & mask)).count() as f64 / pairs.len() as f64;
    if share(&pairs[..pairs.len().min(64)]) < 0.7 {
        return None;
    }
    let (of_pairs, of_any) = (share(pairs), share(any_two));
    (of_any <= MOST_ALIKE && of_pairs - of_any >= HOLDS * (1.0 - of_any)).then_some(of_pairs)
}

/// The basis with the fewest bits of what the masks span, by lowest bit.
fn fewest_bits(masks: &[u64]) -> Vec<u64> {
    let mut all: Vec<u64> = vec![0];
    // Of more than 2^12 combinations the rest stay as they are.
    for &mask in masks.iter().take(12) {
        all.extend_from_within(..);
        let half = all.len() / 2;
        all[half..].iter_mut().for_each(|other| *other ^= mask);
    }
    all.extend(masks.iter().skip(12));
    all.sort_by_key(|mask| (mask.count_ones(), *mask));
    let mut span = Span::default();
    let mut basis: Vec<u64> = all.into_iter().filter(|&mask| span.insert(mask)).collect();
    basis.sort_by_key(|mask| (mask.trailing_zeros(), *mask));
    basis
}

/// Puts each label into the group that most of its samples are in.
fn forms(hash: XorHash, samples: &[Sample], rank: usize) -> Forms {
    let mut placed: Vec<(u32, u32)> = samples.iter().map(|sample| (sample.class, hash.class_of(sample.at))).collect();
    placed.sort_unstable();
    let mut groups = vec![Vec::new(); 1 << hash.masks.len()];
    let mut agreeing = 0;
    for of_label in placed.chunk_by(|a, b| a.0 == b.0) {
        let group = commonest(of_label.iter().map(|&(_, group)| group)).unwrap_or_default();
        agreeing += of_label.iter().filter(|&&(_, other)| other == group).count();
        groups[group as usize].push(of_label[0].0);
    }
    Forms { hash, groups, agreement: agreeing as f64 / samples.len() as f64, rank }
}
