//! Steps around a ring: a sum of weighted parities, modulo the number of classes.
//!
//! On an H200 each side has 47 slices, and a 1 KiB unit of the memory lies on two of them. In 4,096 units measured each
//! slice was paired with exactly two others, and the 47 of a side closed into one ring; which slice of a pair came
//! first was the parity of some address bits. That is what arithmetic modulo 47 on an XOR-swizzled address looks like,
//! for example the remainder of the unit's number after its lower bits were XORed with upper ones. The hypothesis is
//!
//! > place = (c + w1 y1 + w2 y2 + ...) mod m, where each y is the parity of some address bits,
//!
//! with `m` the number of classes and unknown weights and masks. No document of NVIDIA says that it is so; a remainder
//! of a binary number has this form, with weights 2^i mod m.
//!
//! Under it, flipping one address bit steps by the sum of plus or minus the weights of the parities that have the bit,
//! and the signs are those parities. Hence, from pairs of lines that differ in one bit:
//!
//! 1. if the bit is in one parity only, each class goes to exactly two others, one step on and one back. Following
//!    them gives the order of the ring; any turn, reflection or multiple of it is as good. The bit with the clearest
//!    ring is taken;
//! 2. with places for classes, the steps of a bit that is in one parity are `w` and `-w`; which of them is a label of
//!    the address, for which [`super::xor`] finds the parity, with all its bits. What this parity contributes is taken from
//!    the steps of the other bits, so that those in two parities have one left, and so on until no
//!    step is left;
//! 3. where `m` is even, a weight of `m / 2` steps the same on and back; what is left in the end is one more parity.
//!
//! Where some masks divide the classes into groups of equal size, as the side does with the slices of an H200, a group
//! is solved at a time, with a ring of its own; in an even ring that may be necessary as well, since steps of one bit
//! can begin at every other place only.
//!
//! There, and with some swizzles, every bit left may be in two unknown parities, with weights `a` and `b`. Its four
//! steps, `a + b`, `a - b` and their inverses, give both, if `m` is odd.
//!
//! A bit whose steps come to no such end shows that the hash is not of this form (or too few pairs). It needs some 100
//! pairs for every bit that varies: lines, and the lines that differ from them in one bit each.

use super::{Forms, NoFit, Sample, classes_of, commonest, number_densely, xor};
use crate::gf2::{Span, parity};
use crate::{Mask, Ring, Steps};
use fastrand::Rng;
use std::collections::{HashMap, HashSet};
use units::PhysAddr;

/// The share of pairs that must go to the two commonest classes from each, where these make a ring.
const TO_NEIGHBOURS: f64 = 0.7;
/// The share of pairs that must step by the steps that the parities of a bit allow. With 5 % of labels wrong 90 % do;
/// by three parities, on a ring of three places, 75 % step by two of the three steps.
const CLEAR: f64 = 0.82;
/// How many pairs a bit must have.
const FEWEST_PAIRS: usize = 32;
/// The rarer of two steps is one if it has this share of the pairs.
const RARER: f64 = 0.15;

/// Lines that differ in one bit only: the address of the one without it, and both classes.
struct Flips {
    bit: u32,
    pairs: Vec<(u64, u32, u32)>,
}

/// Finds one ring, or, where masks divide the classes into groups, a ring for each group. The classes are the labels of
/// the samples, numbered from 0 without gaps.
pub fn fit(samples: &[Sample], forms: Option<&Forms>, rng: &mut Rng) -> Result<Ring, NoFit> {
    let whole = steps(samples, rng);
    let (Err(_), Some(forms)) = (&whole, forms) else {
        return whole.map(|steps| Ring { selectors: Vec::new(), rings: vec![steps] });
    };
    let mut rings = Vec::new();
    for group in forms.inside(samples) {
        let (classes, group) = number_densely(&group);
        let mut steps = steps(&group, rng)?;
        steps.places.iter_mut().for_each(|class| *class = classes[*class as usize]);
        rings.push(steps);
    }
    Ok(Ring { selectors: forms.hash.masks.clone(), rings })
}

fn steps(samples: &[Sample], rng: &mut Rng) -> Result<Steps, NoFit> {
    let classes = classes_of(samples);
    let Some(first) = samples.first().filter(|_| classes > 2) else { return Err(NoFit::OneClass) };
    let differences: Span = samples.iter().map(|sample| sample.at.get() ^ first.at.get()).collect();
    let varying = samples.iter().fold(0, |all, sample| all | sample.at.get() ^ first.at.get());
    let flips = flips(samples, varying);
    let (order, _) = flips
        .iter()
        .filter_map(|flips| ring_of(flips, classes))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .ok_or(NoFit::NoRing { classes })?;
    let peeled = Peeled::of(&flips, &order, differences.rank(), rng)?;
    Ok(peeled.steps(samples, &order, rng))
}

impl Flips {
    /// Whether there are enough pairs, and of all sorts of addresses that the samples have.
    fn suffice(&self, rank: usize) -> bool {
        let Some(&(first, ..)) = self.pairs.first() else { return false };
        let differences: Span = self.pairs.iter().map(|(at, ..)| at ^ first).collect();
        self.pairs.len() >= FEWEST_PAIRS && differences.rank() + 1 >= rank
    }
}

/// The parity, with the bit flipped, that tells lines stepping by one of `on` from those stepping by one of `back`, and
/// whether it is 1 for the former.
fn form_of(flips: &Flips, steps: &[i64], on: &[i64], back: &[i64], rng: &mut Rng) -> Option<(u64, bool)> {
    let labelled = flips.pairs.iter().zip(steps).filter_map(|(&(at, ..), step)| {
        let class = if on.contains(step) {
            0
        } else if back.contains(step) {
            1
        } else {
            return None;
        };
        Some(Sample { at: PhysAddr::new(at), class })
    });
    let forms = xor::fit(&labelled.collect::<Vec<Sample>>(), rng).ok()?;
    let (_, labels) = forms.hash_of_all()?;
    Some((forms.hash.masks[0].0 | 1 << flips.bit, labels[0] != 0))
}

fn two_commonest(steps: &[i64]) -> Option<[i64; 2]> {
    let first = commonest(steps.iter().copied())?;
    Some([first, commonest(steps.iter().copied().filter(|&step| step != first))?])
}

fn flips(samples: &[Sample], varying: u64) -> Vec<Flips> {
    let classes: HashMap<u64, u32> = samples.iter().map(|sample| (sample.at.get(), sample.class)).collect();
    let bits = (0..64).filter(|&bit| varying >> bit & 1 == 1);
    bits.map(|bit| {
        let without = classes.iter().filter(|&(at, _)| at >> bit & 1 == 0);
        let mut pairs: Vec<(u64, u32, u32)> =
            without.filter_map(|(&at, &class)| Some((at, class, *classes.get(&(at | 1 << bit))?))).collect();
        pairs.sort_unstable();
        Flips { bit, pairs }
    })
    .collect()
}

/// The place of each class on the ring around which a bit steps by one, and the share of pairs that are such steps.
fn ring_of(flips: &Flips, classes: usize) -> Option<(Vec<u32>, f64)> {
    let mut counts: HashMap<(u32, u32), usize> = HashMap::new();
    for &(_, from, to) in flips.pairs.iter().filter(|(_, from, to)| from != to) {
        *counts.entry((from, to)).or_default() += 1;
        *counts.entry((to, from)).or_default() += 1;
    }
    let mut partners: Vec<Vec<(usize, u32)>> = vec![Vec::new(); classes];
    counts.iter().for_each(|(&(from, to), &count)| partners[from as usize].push((count, to)));
    for of_class in &mut partners {
        of_class.sort_unstable_by_key(|&(count, to)| (core::cmp::Reverse(count), to));
        of_class.truncate(2);
    }
    let steps: usize = partners.iter().flatten().map(|(count, _)| count).sum();
    let share = steps as f64 / (2 * flips.pairs.len()).max(1) as f64;
    let mutual = |from: u32| {
        let of_class = &partners[from as usize];
        of_class.len() == 2
            && of_class.iter().all(|&(_, to)| partners[to as usize].iter().any(|&(_, back)| back == from))
    };
    if share < TO_NEIGHBOURS || !(0..classes as u32).all(mutual) {
        return None;
    }
    let mut places = vec![u32::MAX; classes];
    let (mut here, mut place) = (0u32, 0);
    loop {
        places[here as usize] = place;
        place += 1;
        match partners[here as usize].iter().find(|&&(_, to)| places[to as usize] == u32::MAX) {
            Some(&(_, to)) => here = to,
            None => return (place as usize == classes).then_some((places, share)),
        }
    }
}

/// The parities and weights that account for the steps.
struct Peeled {
    modulus: i64,
    terms: Vec<(u64, i64)>,
    /// Whether some bit steps by half the ring.
    halves: bool,
}

impl Peeled {
    fn of(flips: &[Flips], order: &[u32], rank: usize, rng: &mut Rng) -> Result<Peeled, NoFit> {
        let mut peeled = Peeled { modulus: order.len() as i64, terms: Vec::new(), halves: false };
        let mut open: Vec<&Flips> = flips.iter().collect();
        loop {
            let before = open.len();
            let mut left = None;
            open.retain(|flips| match peeled.peel(flips, order, rank, rng) {
                Ok(()) => false,
                Err(reason) => {
                    left.get_or_insert(reason);
                    true
                }
            });
            let Some(reason) = left else { return Ok(peeled) };
            if open.len() == before {
                // Every bit left is in two unknown parities or more.
                let taken = open.iter().position(|flips| peeled.peel_two(flips, order, rank, rng).is_some());
                open.remove(taken.ok_or(reason)?);
            }
        }
    }

    /// How far each pair of lines steps, without what the parities account for.
    fn left_of_steps(&self, flips: &Flips, order: &[u32]) -> Vec<i64> {
        let own: Vec<(u64, i64)> = self.terms.iter().copied().filter(|(form, _)| form >> flips.bit & 1 == 1).collect();
        let step = |&(at, from, to): &(u64, u32, u32)| {
            let whole = i64::from(order[to as usize]) - i64::from(order[from as usize]);
            let known = own.iter().map(|&(form, weight)| if parity(form & at) { -weight } else { weight });
            (whole - known.sum::<i64>()).rem_euclid(self.modulus)
        };
        flips.pairs.iter().map(step).collect()
    }

    /// Adds the parity that accounts for what is left of the steps of one bit, if anything is.
    fn peel(&mut self, flips: &Flips, order: &[u32], rank: usize, rng: &mut Rng) -> Result<(), NoFit> {
        let (bit, pairs) = (flips.bit, flips.pairs.len());
        if !flips.suffice(rank) {
            return Err(NoFit::NoPairs { bit, pairs });
        }
        let steps = self.left_of_steps(flips, order);
        let share = |step: i64| steps.iter().filter(|&&other| other == step).count() as f64 / pairs as f64;
        let on = commonest(steps.iter().copied()).unwrap_or_default();
        let back = (self.modulus - on) % self.modulus;
        let both = if on == back { share(on) } else { share(on) + share(back) };
        let reason = NoFit::NotAdditive { bit, share: both };
        if both < CLEAR {
            return Err(reason);
        }
        if on == back {
            self.halves |= on != 0;
        } else if share(back) < RARER * both {
            self.terms.push((1 << bit, on));
        } else {
            let (form, inverse) = form_of(flips, &steps, &[on], &[back], rng).ok_or(reason)?;
            self.terms.push((form, if inverse { back } else { on }));
        }
        Ok(())
    }

    /// Adds the two parities that account for what is left of the steps of one bit: with weights `a` and `b` it steps
    /// by `a + b`, `a - b`, and back by as much.
    fn peel_two(&mut self, flips: &Flips, order: &[u32], rank: usize, rng: &mut Rng) -> Option<()> {
        if !flips.suffice(rank) {
            return None;
        }
        let steps = self.left_of_steps(flips, order);
        let modulus = self.modulus;
        let inverse = |step: i64| (modulus - step) % modulus;
        let half = |twice: i64| match twice.rem_euclid(modulus) {
            even if even % 2 == 0 => Some(even / 2),
            odd => (modulus % 2 == 1).then_some((odd + modulus) / 2),
        };
        let sign = |weight: i64, inverted: bool| if inverted { inverse(weight) } else { weight };

        // One of the parities may be the bit itself: then its sign is always the same, and there are two steps.
        let [one, other] = two_commonest(&steps)?;
        let of_two = steps.iter().filter(|&&step| step == one || step == other).count();
        if of_two as f64 >= CLEAR * steps.len() as f64 {
            let (a, b) = (half(one + other)?, half(one - other)?);
            let (form, inverted) = form_of(flips, &steps, &[one], &[other], rng)?;
            self.terms.push((1 << flips.bit, a));
            self.terms.push((form, sign(b, inverted)));
            return Some(());
        }

        let mut counts = vec![0usize; modulus as usize / 2 + 1];
        steps.iter().for_each(|&step| counts[step.min(inverse(step)) as usize] += 1);
        let mut by_count: Vec<i64> = (0..counts.len() as i64).collect();
        by_count.sort_by_key(|&step| core::cmp::Reverse(counts[step as usize]));
        let (Some(&first), Some(&second)) = (by_count.first(), by_count.get(1)) else { return None };
        let clear = (counts[first as usize] + counts[second as usize]) as f64 >= CLEAR * steps.len() as f64;
        let (sum, difference) = (first.max(second), first.min(second));
        let (a, b) = (half(sum + difference).filter(|_| clear)?, half(sum - difference)?);
        if difference == 0 {
            // The weights are equal: whether it steps at all tells the XOR of the parities, how it steps tells one.
            let all = [sum, inverse(sum)];
            let (xor, _) = form_of(flips, &steps, &all, &[0], rng)?;
            let (one, inverted) = form_of(flips, &steps, &[sum], &[inverse(sum)], rng)?;
            // It steps where both are 0 or both are 1; both have the bit, so that their XOR has not.
            let xor = xor & !(1 << flips.bit);
            let opposite = flips.pairs.iter().zip(&steps);
            let differing = opposite.filter(|&(&(at, ..), &step)| parity(xor & at) != (step == 0)).count();
            let other_inverted = inverted != (2 * differing > steps.len());
            self.terms.push((one, sign(a, inverted)));
            self.terms.push((one ^ xor, sign(a, other_inverted)));
        } else {
            let (one, inverted) =
                form_of(flips, &steps, &[sum, difference], &[inverse(sum), inverse(difference)], rng)?;
            let (other, other_inverted) =
                form_of(flips, &steps, &[sum, inverse(difference)], &[inverse(sum), difference], rng)?;
            self.terms.push((one, sign(a, inverted)));
            self.terms.push((other, sign(b, other_inverted)));
        }
        Some(())
    }

    fn steps(mut self, samples: &[Sample], order: &[u32], rng: &mut Rng) -> Steps {
        if self.halves {
            let left: Vec<Sample> = samples.iter().map(|sample| self.left(sample, order)).collect();
            let on = commonest(left.iter().map(|sample| i64::from(sample.class))).unwrap_or_default();
            let half = (on + self.modulus / 2) % self.modulus;
            let two = |sample: &&Sample| i64::from(sample.class) == on || i64::from(sample.class) == half;
            let two: Vec<Sample> = left.iter().filter(two).copied().collect();
            if let Ok(forms) = xor::fit(&two, rng) {
                self.terms.push((forms.hash.masks[0].0, self.modulus / 2));
            }
        }
        let offset = commonest(samples.iter().map(|sample| self.left(sample, order).class)).unwrap_or_default();
        let mut places = vec![0; order.len()];
        order.iter().enumerate().for_each(|(class, &place)| places[place as usize] = class as u32);
        let mut seen = HashSet::new();
        let terms: Vec<(u64, i64)> = self.terms.into_iter().filter(|&term| seen.insert(term)).collect();
        Steps {
            forms: terms.iter().map(|&(form, _)| Mask(form)).collect(),
            weights: terms.iter().map(|&(_, weight)| weight as u32).collect(),
            offset,
            places,
        }
    }

    /// The place of a line without what the parities account for, as a label of its address.
    fn left(&self, sample: &Sample, order: &[u32]) -> Sample {
        let own = self.terms.iter().filter(|(form, _)| parity(form & sample.at.get()));
        let known: i64 = own.map(|&(_, weight)| weight).sum();
        let left = (i64::from(order[sample.class as usize]) - known).rem_euclid(self.modulus);
        Sample { at: sample.at, class: left as u32 }
    }
}
