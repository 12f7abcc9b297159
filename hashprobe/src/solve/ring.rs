//! Steps around a ring: a sum of weighted parities, modulo the number of classes.
//!
//! On an H200 each side has 47 slices, on an H100 each of 16 groups has 5. A 1 KiB unit of the memory lies on two of
//! them, and drawn as a graph the slices that share units close into rings of 47 or 5. The hypothesis is
//!
//! > place = (c + w1 y1 + w2 y2 + ...) mod m, where each y is the parity of some address bits,
//!
//! with `m` the number of classes and unknown weights and masks. The remainder of a binary number whose bits are XORs of
//! address bits has this form, with weights 2^i mod m; and the weights of an H200 and of an H100 were found to be such.
//! No document of NVIDIA says so.
//!
//! Under it, flipping some address bits steps by the sum of plus or minus the weights of the parities that have an odd
//! number of them, and the signs are those parities. Hence, from pairs of lines that differ in one or two bits:
//!
//! 1. if that flips one parity only, each class goes to exactly two others, one step on and one back. Following
//!    them gives the order of the ring; any turn, reflection or multiple of it is as good. The direction with the
//!    clearest ring is taken;
//! 2. with places for classes, the steps of a direction that flips one parity are `w` and `-w`. Which of them is a
//!    linear function of the address ([`crate::gf2::fit`]): the parity, with all its bits. What this parity contributes
//!    is taken from the steps of the other directions, so that those that flip two have one left, and so on until no
//!    step is left in any single bit;
//! 3. where `m` is even, a weight of `m / 2` steps the same on and back; what is left in the end is one more parity.
//!
//! If some masks divide the classes into groups of equal size, as the side does with the slices of an H200, each
//! group has a ring of its own. On the chips measured so far the parities and weights are the same in all of them, so
//! that the pairs of all groups are taken together, once their rings are turned the same way round; where that finds
//! nothing, each group is solved alone.
//!
//! A direction whose steps come to no such end shows that the hash is not of this form (or too few pairs). It needs
//! some 50 pairs for every bit that varies and for pairs of bits: lines, and the lines that differ from them so.

use super::flips::{Direction, Group, Pair, combined, single};
use super::{Forms, NoFit, Sample, commonest, number_densely, xor};
use crate::gf2::{self, Equation, Span, parity};
use crate::{Mask, Ring, Steps};
use fastrand::Rng;
use std::collections::{HashMap, HashSet};

/// The share of pairs that must go to the two commonest classes from each, where these make a ring.
const TO_NEIGHBOURS: f64 = 0.7;
/// The share of pairs that must step by the steps that the parities of a direction allow. With 5 % of labels wrong 90 %
/// do; by three parities, on a ring of three places, 75 % step by two of the three steps.
const CLEAR: f64 = 0.82;
/// The share of pairs whose sign a parity must foretell.
const SIGNED: f64 = 0.9;
/// How many pairs a direction must have.
const FEWEST_PAIRS: usize = 32;
/// How many subsets of equations are tried for a parity: enough with 5 % of them wrong.
const TRIES: usize = 1_000;
/// The unknown that stands for the sign at address 0.
const AT_ZERO: u64 = 1 << 63;

/// Labels in order, and samples with the places in that order for classes.
type Numbered = (Vec<u32>, Vec<Sample>);

/// Finds one ring, or, where masks divide the classes into groups, a ring for each group. The classes are the labels of
/// the samples, numbered from 0 without gaps.
pub fn fit(samples: &[Sample], forms: Option<&Forms>, rng: &mut Rng) -> Result<Ring, NoFit> {
    if let Some(forms) = forms {
        let coordinates = forms.coordinates();
        if let Ok(mut rings) = steps(&coordinates.groups(samples), rng) {
            let of_address = |form: &mut Mask| *form = coordinates.of_address(*form);
            rings.iter_mut().flat_map(|ring| &mut ring.forms).for_each(of_address);
            let selectors = forms.hash.masks.clone();
            turn_for_fewest_bits(&selectors, &mut rings);
            return Ok(Ring { selectors, rings });
        }
    }
    let whole = steps(&[samples.to_vec()], rng);
    let (Err(_), Some(forms)) = (&whole, forms) else {
        return whole.map(|rings| Ring { selectors: Vec::new(), rings });
    };
    let alone = forms.inside(samples);
    let alone = alone.chunks(1).map(|group| steps(group, rng).map(|mut rings| rings.remove(0)));
    Ok(Ring { selectors: forms.hash.masks.clone(), rings: alone.collect::<Result<_, NoFit>>()? })
}

/// Turns some of the rings round so that the parities have as few bits as possible. Adding a mask of the groups to all
/// parities turns them over in every second group, which comes to the same as going round those rings the other way.
fn turn_for_fewest_bits(selectors: &[Mask], rings: &mut [Steps]) {
    let sum_of = |choice: usize| -> u64 {
        let chosen = selectors.iter().enumerate().filter(|(bit, _)| choice >> bit & 1 == 1);
        chosen.fold(0, |sum, (_, mask)| sum ^ mask.0)
    };
    let Some(first) = rings.first() else { return };
    let bits = |choice: &usize| -> u32 { first.forms.iter().map(|form| (form.0 ^ sum_of(*choice)).count_ones()).sum() };
    let Some(best) = (0..1usize << selectors.len()).min_by_key(bits) else { return };
    for (group, ring) in rings.iter_mut().enumerate() {
        ring.forms.iter_mut().for_each(|form| form.0 ^= sum_of(best));
        if (group & best).count_ones() % 2 == 1 {
            let length = ring.places.len() as u64;
            let all = u64::from(ring.offset) + ring.weights.iter().map(|&weight| u64::from(weight)).sum::<u64>();
            ring.offset = ((length - all % length) % length) as u32;
            // What was at a place is now as far from place 0 the other way.
            ring.places[1..].reverse();
        }
    }
}

/// A ring for each group, all by the same parities and weights.
fn steps(groups: &[Vec<Sample>], rng: &mut Rng) -> Result<Vec<Steps>, NoFit> {
    // The classes of each group numbered from 0, and what they were.
    let numbered: Vec<Numbered> = groups.iter().map(|group| number_densely(group)).collect();
    let classes = numbered.first().map_or(0, |(labels, _)| labels.len());
    if classes < 3 {
        return Err(if classes < 2 { NoFit::OneClass } else { NoFit::NoRing { classes } });
    }
    if numbered.iter().any(|(labels, _)| labels.len() != classes) {
        return Err(NoFit::NoRing { classes });
    }
    let lookups: Vec<Group> = numbered.iter().map(|(_, samples)| samples.iter().copied().collect()).collect();
    let from = |first: &Sample| first.at.get();
    let within = |group: &Vec<Sample>| group.iter().fold(0, |all, sample| all | sample.at.get() ^ from(&group[0]));
    let varying = groups.iter().fold(0, |all, group| all | within(group));
    let differences = groups.iter().flatten().map(|sample| sample.at.get() ^ from(&groups[0][0]));
    let rank = differences.collect::<Span>().rank();
    let mut directions = single(&lookups, varying);
    let rings = rings(&directions, groups.len(), classes, rng);
    let places = match rings {
        Some(places) => places,
        None => {
            directions.extend(combined(&lookups, varying));
            self::rings(&directions, groups.len(), classes, rng).ok_or(NoFit::NoRing { classes })?
        }
    };
    let mut peeled = Peeled { modulus: classes as i64, terms: Vec::new(), halves: false };
    peeled.peel_all(directions, || combined(&lookups, varying), &places, rank, rng)?;
    Ok(peeled.into_steps(&numbered, &places, rng))
}

/// The place of each class on the ring of its group, by group; all rings turn the same way round. `None` where no
/// direction steps around all of them.
fn rings(directions: &[Direction], groups: usize, classes: usize, rng: &mut Rng) -> Option<Vec<Vec<u32>>> {
    let around = |direction: &Direction| -> Option<(f64, Vec<Vec<u32>>)> {
        let rings: Option<Vec<(Vec<u32>, f64)>> = (0..groups)
            .map(|group| ring_of(direction.pairs.iter().filter(|pair| pair.group == group), classes))
            .collect();
        let rings = rings?;
        let least = rings.iter().map(|&(_, share)| share).fold(f64::INFINITY, f64::min);
        Some((least, rings.into_iter().map(|(places, _)| places).collect()))
    };
    let mut found: Vec<(f64, &Direction, Vec<Vec<u32>>)> = directions
        .iter()
        .filter_map(|direction| around(direction).map(|(share, places)| (share, direction, places)))
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().find_map(|(_, direction, places)| oriented(direction, places, classes, rng))
}

/// Turns the rings of all groups the same way round: such that one parity tells which way a direction steps.
fn oriented(direction: &Direction, mut places: Vec<Vec<u32>>, classes: usize, rng: &mut Rng) -> Option<Vec<Vec<u32>>> {
    let signs = |group: usize, places: &[u32]| -> Vec<Equation> {
        let of_group = direction.pairs.iter().filter(|pair| pair.group == group);
        let step = |pair: &Pair| (places[pair.to as usize] + classes as u32 - places[pair.from as usize]) as usize;
        let equation = |pair: &Pair| match step(pair) % classes {
            1 => Some(Equation { terms: pair.at | AT_ZERO, value: false }),
            back if back == classes - 1 => Some(Equation { terms: pair.at | AT_ZERO, value: true }),
            _ => None,
        };
        of_group.filter_map(equation).collect()
    };
    if places.len() == 1 {
        return Some(places);
    }
    let most = (0..places.len()).max_by_key(|&group| direction.pairs.iter().filter(|p| p.group == group).count())?;
    let equations = signs(most, &places[most]);
    let fit = gf2::fit(&equations, TRIES, rng).filter(|fit| agrees(fit.agreeing, equations.len(), SIGNED))?;
    for (group, places) in places.iter_mut().enumerate() {
        let equations = signs(group, places);
        let same = equations.iter().filter(|equation| equation.holds(fit.unknowns)).count();
        if agrees(equations.len() - same, equations.len(), SIGNED) {
            places.iter_mut().for_each(|place| *place = (classes as u32 - *place) % classes as u32);
        } else if !agrees(same, equations.len(), SIGNED) {
            return None;
        }
    }
    Some(places)
}

/// The parity that tells pairs stepping by one of `on` from those stepping by one of `back`, with an odd number of the
/// direction's bits, and whether it is 1 for the former.
fn form_of(direction: &Direction, steps: &[i64], on: &[i64], back: &[i64], rng: &mut Rng) -> Option<(u64, bool)> {
    let equation = |(pair, step): (&Pair, &i64)| match (on.contains(step), back.contains(step)) {
        (false, false) => None,
        (_, value) => Some(Equation { terms: pair.at | AT_ZERO, value }),
    };
    let equations: Vec<Equation> = direction.pairs.iter().zip(steps).filter_map(equation).collect();
    let fit = gf2::fit(&equations, TRIES, rng).filter(|fit| agrees(fit.agreeing, equations.len(), SIGNED))?;
    let form = fit.unknowns & !AT_ZERO;
    // The highest bit of the direction is 0 in all the addresses.
    let highest = if parity(form & direction.bits) { 0 } else { 1 << direction.bits.ilog2() };
    Some((form ^ highest, fit.unknowns & AT_ZERO != 0))
}

fn two_commonest(steps: &[i64]) -> Option<[i64; 2]> {
    let first = commonest(steps.iter().copied())?;
    Some([first, commonest(steps.iter().copied().filter(|&step| step != first))?])
}

fn agrees(count: usize, of: usize, share: f64) -> bool {
    of > 0 && count as f64 >= share * of as f64
}

/// The place of each class on the ring around which some pairs step by one, and the share of pairs that are such steps.
fn ring_of<'a>(pairs: impl Iterator<Item = &'a Pair>, classes: usize) -> Option<(Vec<u32>, f64)> {
    let mut counts: HashMap<(u32, u32), usize> = HashMap::new();
    let mut all = 0;
    for pair in pairs {
        all += 1;
        if pair.from != pair.to {
            *counts.entry((pair.from, pair.to)).or_default() += 1;
            *counts.entry((pair.to, pair.from)).or_default() += 1;
        }
    }
    let mut partners: Vec<Vec<(usize, u32)>> = vec![Vec::new(); classes];
    counts.iter().for_each(|(&(from, to), &count)| partners[from as usize].push((count, to)));
    for of_class in &mut partners {
        of_class.sort_unstable_by_key(|&(count, to)| (core::cmp::Reverse(count), to));
        of_class.truncate(2);
    }
    let steps: usize = partners.iter().flatten().map(|(count, _)| count).sum();
    let share = steps as f64 / (2 * all).max(1) as f64;
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
    /// Whether some direction steps by half the ring.
    halves: bool,
}

/// The outcome for a direction.
enum Outcome {
    /// The parities found account for its steps.
    Explained,
    /// Not yet, and why.
    Open(NoFit),
}

impl Peeled {
    /// Finds parities until no step of a single bit is left; directions of two bits are made when they are needed.
    fn peel_all(
        &mut self,
        mut open: Vec<Direction>,
        more: impl FnOnce() -> Vec<Direction>,
        places: &[Vec<u32>],
        rank: usize,
        rng: &mut Rng,
    ) -> Result<(), NoFit> {
        let mut more = Some(more);
        // Parities from pairs that do not span all addresses are guesses where they do not: only when all else failed.
        let mut guess = false;
        loop {
            let (before, known) = (open.len(), self.terms.len());
            let mut reason = None;
            open.retain(|direction| match self.peel(direction, places, rank, guess, rng) {
                Outcome::Explained => false,
                Outcome::Open(why) => {
                    if direction.bits.is_power_of_two() {
                        reason.get_or_insert(why);
                    }
                    true
                }
            });
            let Some(reason) = reason else { return Ok(()) };
            if open.len() != before || self.terms.len() != known {
                guess = false;
                continue;
            }
            if let Some(more) = more.take() {
                open.extend(more());
                continue;
            }
            // Every direction left flips two unknown parities or more.
            if let Some(taken) = open.iter().position(|open| self.peel_two(open, places, rank, rng).is_some()) {
                open.remove(taken);
            } else if guess {
                return Err(reason);
            } else {
                guess = true;
            }
        }
    }

    /// How far each pair steps, without what the parities account for.
    fn left_of_steps(&self, direction: &Direction, places: &[Vec<u32>]) -> Vec<i64> {
        let own: Vec<(u64, i64)> =
            self.terms.iter().copied().filter(|(form, _)| parity(form & direction.bits)).collect();
        let step = |pair: &Pair| {
            let places = &places[pair.group];
            let whole = i64::from(places[pair.to as usize]) - i64::from(places[pair.from as usize]);
            let known = own.iter().map(|&(form, weight)| if parity(form & pair.at) { -weight } else { weight });
            (whole - known.sum::<i64>()).rem_euclid(self.modulus)
        };
        direction.pairs.iter().map(step).collect()
    }

    /// Adds the parity that accounts for what is left of the steps of one direction, if there is one.
    fn peel(&mut self, direction: &Direction, places: &[Vec<u32>], rank: usize, guess: bool, rng: &mut Rng) -> Outcome {
        let (bit, pairs) = (direction.bits.ilog2(), direction.pairs.len());
        if pairs < FEWEST_PAIRS {
            return Outcome::Open(NoFit::NoPairs { bit, pairs });
        }
        let steps = self.left_of_steps(direction, places);
        let count = |step: i64| steps.iter().filter(|&&other| other == step).count();
        let on = commonest(steps.iter().copied()).unwrap_or_default();
        let back = (self.modulus - on) % self.modulus;
        let both = if on == back { count(on) } else { count(on) + count(back) };
        let open = Outcome::Open(NoFit::NotAdditive { bit, share: both as f64 / pairs as f64 });
        if !agrees(both, pairs, CLEAR) {
            return open;
        }
        if on == back {
            self.halves |= on != 0;
            return Outcome::Explained;
        }
        if !guess && !direction.spans(rank) {
            return Outcome::Open(NoFit::NoPairs { bit, pairs });
        }
        let Some((form, inverted)) = form_of(direction, &steps, &[on], &[back], rng) else { return open };
        self.terms.push((form, if inverted { back } else { on }));
        Outcome::Explained
    }

    /// Adds the two parities that account for what is left of the steps of one direction: with weights `a` and `b` it
    /// steps by `a + b`, `a - b`, and back by as much.
    fn peel_two(&mut self, direction: &Direction, places: &[Vec<u32>], rank: usize, rng: &mut Rng) -> Option<()> {
        if direction.pairs.len() < FEWEST_PAIRS || !direction.spans(rank) {
            return None;
        }
        let steps = self.left_of_steps(direction, places);
        let modulus = self.modulus;
        let inverse = |step: i64| (modulus - step) % modulus;
        let half = |twice: i64| match twice.rem_euclid(modulus) {
            even if even % 2 == 0 => Some(even / 2),
            odd => (modulus % 2 == 1).then_some((odd + modulus) / 2),
        };
        let sign = |weight: i64, inverted: bool| if inverted { inverse(weight) } else { weight };

        // One of the parities may be the highest bit itself: then its sign is always the same, and there are two steps.
        let [one, other] = two_commonest(&steps)?;
        let of_two = steps.iter().filter(|&&step| step == one || step == other).count();
        if agrees(of_two, steps.len(), CLEAR) {
            let (a, b) = (half(one + other)?, half(one - other)?);
            let (form, inverted) = form_of(direction, &steps, &[one], &[other], rng)?;
            self.terms.push((1 << direction.bits.ilog2(), a));
            self.terms.push((form, sign(b, inverted)));
            return Some(());
        }

        let mut counts = vec![0usize; modulus as usize / 2 + 1];
        steps.iter().for_each(|&step| counts[step.min(inverse(step)) as usize] += 1);
        let mut by_count: Vec<i64> = (0..counts.len() as i64).collect();
        by_count.sort_by_key(|&step| core::cmp::Reverse(counts[step as usize]));
        let (Some(&first), Some(&second)) = (by_count.first(), by_count.get(1)) else { return None };
        let clear = agrees(counts[first as usize] + counts[second as usize], steps.len(), CLEAR);
        let (sum, difference) = (first.max(second), first.min(second));
        let (a, b) = (half(sum + difference).filter(|_| clear)?, half(sum - difference)?);
        if difference == 0 {
            // The weights are equal: whether it steps at all tells the XOR of the parities, how it steps tells one.
            let all = [sum, inverse(sum)];
            let (xor, _) = form_of(direction, &steps, &all, &[0], rng)?;
            let (one, inverted) = form_of(direction, &steps, &[sum], &[inverse(sum)], rng)?;
            // It steps where both are 0 or both are 1; both have the direction, so that their XOR has not.
            let xor = xor ^ (1 << direction.bits.ilog2());
            let opposite = direction.pairs.iter().zip(&steps);
            let differing = opposite.filter(|&(pair, &step)| parity(xor & pair.at) != (step == 0)).count();
            let other_inverted = inverted != (2 * differing > steps.len());
            self.terms.push((one, sign(a, inverted)));
            self.terms.push((one ^ xor, sign(a, other_inverted)));
        } else {
            let (one, inverted) =
                form_of(direction, &steps, &[sum, difference], &[inverse(sum), inverse(difference)], rng)?;
            let (other, other_inverted) =
                form_of(direction, &steps, &[sum, inverse(difference)], &[inverse(sum), difference], rng)?;
            self.terms.push((one, sign(a, inverted)));
            self.terms.push((other, sign(b, other_inverted)));
        }
        Some(())
    }

    /// The rings of all groups.
    fn into_steps(mut self, groups: &[Numbered], places: &[Vec<u32>], rng: &mut Rng) -> Vec<Steps> {
        let mut seen = HashSet::new();
        self.terms.retain(|&term| seen.insert(term));
        let mut halves: Vec<Option<Mask>> = vec![None; groups.len()];
        if self.halves {
            let groups = groups.iter().zip(places);
            halves = groups.map(|((_, samples), places)| self.half_turns(samples, places, rng)).collect();
        }
        let ring = |((labels, samples), (places, half)): (&Numbered, (&Vec<u32>, Option<Mask>))| {
            let mut terms = self.terms.clone();
            terms.extend(half.map(|mask| (mask.0, self.modulus / 2)));
            let of = Peeled { modulus: self.modulus, terms, halves: false };
            let offset = commonest(samples.iter().map(|sample| of.left(sample, places).class)).unwrap_or_default();
            let mut classes = vec![0; labels.len()];
            places.iter().zip(labels).for_each(|(&place, &label)| classes[place as usize] = label);
            Steps {
                forms: of.terms.iter().map(|&(form, _)| Mask(form)).collect(),
                weights: of.terms.iter().map(|&(_, weight)| weight as u32).collect(),
                offset,
                places: classes,
            }
        };
        groups.iter().zip(places.iter().zip(halves)).map(ring).collect()
    }

    /// The parity by which what is left of the places is half the ring.
    fn half_turns(&self, samples: &[Sample], places: &[u32], rng: &mut Rng) -> Option<Mask> {
        let left: Vec<Sample> = samples.iter().map(|sample| self.left(sample, places)).collect();
        let on = commonest(left.iter().map(|sample| i64::from(sample.class)))?;
        let half = (on + self.modulus / 2) % self.modulus;
        let two = |sample: &&Sample| i64::from(sample.class) == on || i64::from(sample.class) == half;
        let two: Vec<Sample> = left.iter().filter(two).copied().collect();
        xor::fit(&two, rng).ok().map(|forms| forms.hash.masks[0])
    }

    /// The place of a line without what the parities account for, as a label of its address.
    fn left(&self, sample: &Sample, places: &[u32]) -> Sample {
        let own = self.terms.iter().filter(|(form, _)| parity(form & sample.at.get()));
        let known: i64 = own.map(|&(_, weight)| weight).sum();
        let left = (i64::from(places[sample.class as usize]) - known).rem_euclid(self.modulus);
        Sample { at: sample.at, class: left as u32 }
    }
}
