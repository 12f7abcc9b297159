//! From lines of known class to the function that gives their classes.
//!
//! A probe finds out a label for each of some lines: lines of one label are of one class, and which number it
//! has means nothing. A few per cent of the labels are wrong. [`solve`] looks for the function in this order:
//!
//! 1. [`xor`]: each bit of the class is the parity of some address bits;
//! 2. [`blocks`]: blocks of a number of units, each one permutation of the same classes, chosen by parities;
//! 3. [`ring`]: a sum of weighted parities modulo the number of classes;
//! 4. [`lut`]: a lookup over the address bits that matter.
//!
//! The first that foretells 99.9 % of lines that were kept out of the solving is the answer. Where none does, the one
//! that foretells most of them is, and is marked as not usable: nothing may be coloured by it. A line outside the
//! domain of a lookup counts as foretold wrong.

pub mod blocks;
mod flips;
pub mod lut;
pub mod ring;
pub mod xor;

use crate::{Function, Kind, Permutation};
use core::fmt;
use fastrand::Rng;
use std::collections::{BTreeMap, HashMap};
use units::PhysAddr;
pub use xor::Forms;

/// A line and the label of its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The physical address.
    pub at: PhysAddr,
    /// The label; lines of the same are of one class.
    pub class: u32,
}

/// The methods, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// [`xor`].
    Xor,
    /// [`blocks`].
    Blocks,
    /// [`ring`].
    Ring,
    /// [`lut`].
    Lut,
}

impl Method {
    /// The kind of function that it finds.
    pub const fn kind(self) -> Kind {
        match self {
            Method::Xor => Kind::Xor,
            Method::Blocks | Method::Ring => Kind::Permutation,
            Method::Lut => Kind::Lut,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Xor => "parities of address bits",
            Method::Blocks => "blocks in permuted order",
            Method::Ring => "steps around a ring",
            Method::Lut => "lookup",
        })
    }
}

/// Why a method finds no function.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NoFit {
    /// There is nothing to tell apart.
    #[error("all lines are of one class")]
    OneClass,
    /// There are not enough lines.
    #[error("{lines} lines are too few")]
    TooFew {
        /// How many there are.
        lines: usize,
    },
    /// No mask is constant on the classes.
    #[error("no XOR of address bits is the same for all lines of a class")]
    NoForm,
    /// Some masks are, but they do not tell all classes apart.
    #[error("{masks} XORs of address bits are the same for all lines of a class, but leave several classes together")]
    Partly {
        /// How many independent ones.
        masks: usize,
    },
    /// No block length shows.
    #[error("no length of block from {least} to {most} units repeats a few orders of the same classes")]
    NoBlocks {
        /// The least number of units tried.
        least: usize,
        /// The greatest.
        most: usize,
    },
    /// The orders show, but not what chooses among them.
    #[error("blocks of {length} units come in {orders} orders, but no XOR of address bits chooses among them")]
    NoSelector {
        /// How many units a block has.
        length: usize,
        /// How many orders there are.
        orders: usize,
    },
    /// No flip of an address bit steps around all classes.
    #[error("no address bit's flip orders the {classes} classes in one ring")]
    NoRing {
        /// How many classes there are.
        classes: usize,
    },
    /// A bit cannot be judged.
    #[error("bit {bit} varies, but only {pairs} pairs of lines differ in it alone")]
    NoPairs {
        /// The bit.
        bit: u32,
        /// How many there are.
        pairs: usize,
    },
    /// A flip steps by no fixed number of places.
    #[error("flipping bit {bit} steps by no fixed number of places: the commonest step has {:.0} % of the pairs", 100.0 * .share)]
    NotAdditive {
        /// The bit.
        bit: u32,
        /// The share of the commonest step and its inverse.
        share: f64,
    },
    /// A table would be too large.
    #[error("{bits} address bits matter: a lookup of 2^{bits} entries is too large")]
    TooManyBits {
        /// How many.
        bits: u32,
    },
}

/// The outcome of one method.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// The method.
    pub method: Method,
    /// The share of held-out lines foretold, or why there is no function.
    pub outcome: Result<f64, NoFit>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Solved {
    /// The function.
    pub function: Function,
    /// The label of each class of the function.
    pub labels: Vec<u32>,
    /// The share of held-out lines of the class foretold; 0 where none were held out.
    pub accuracy: f64,
    /// The share of held-out lines in the function's domain, right or wrong.
    pub covered: f64,
    /// Whether the accuracy is at least [`USABLE`].
    pub usable: bool,
    /// The methods that were tried, in this order.
    pub tried: Vec<Tried>,
    /// The masks that are constant on the labels, whether or not they tell all labels apart.
    pub forms: Option<Forms>,
}

/// No method found a function, not even a lookup.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("no channel function was found: {}", list(tried))]
pub struct Unsolved {
    /// The methods that were tried, in this order.
    pub tried: Vec<Tried>,
    /// The masks that are constant on the labels, though they do not tell all labels apart.
    pub forms: Option<Forms>,
}

fn list(tried: &[Tried]) -> String {
    let reasons = tried.iter().filter_map(|tried| tried.outcome.as_ref().err().map(|reason| (tried.method, reason)));
    reasons.map(|(method, reason)| format!("{method}: {reason}")).collect::<Vec<_>>().join("; ")
}

/// The accuracy at which a function may be used.
pub const USABLE: f64 = 0.999;

/// Finds the function of which `anywhere` and `chosen` are samples, and checks it on `held_out`. Parities are looked for
/// in the former, which are lines taken at random; lines in a row and lines that differ in few bits, which the other
/// methods need, are no fair sample.
pub fn solve(anywhere: &[Sample], chosen: &[Sample], held_out: &[Sample], rng: &mut Rng) -> Result<Solved, Unsolved> {
    let (labels, train) = number_densely(&[anywhere, chosen].concat());
    let at_random = &train[..anywhere.len()];
    let mut best: Option<Solved> = None;
    let mut tried = Vec::new();
    let mut forms = None;
    for method in [Method::Xor, Method::Blocks, Method::Ring, Method::Lut] {
        let found = match method {
            Method::Xor => xor::fit(at_random, rng).and_then(|found| {
                let outcome = found.hash_of_all().ok_or(NoFit::Partly { masks: found.hash.masks.len() });
                forms = Some(found);
                outcome.map(|(hash, order)| (Function::Xor(hash), order.iter().map(|&c| labels[c as usize]).collect()))
            }),
            Method::Blocks => blocks::fit(&train, rng)
                .map(|found| (Function::Permutation(Permutation::Blocks(found)), labels.clone())),
            Method::Ring => ring::fit(&train, forms.as_ref(), rng)
                .map(|found| (Function::Permutation(Permutation::Ring(found)), labels.clone())),
            Method::Lut => lut::fit(&train).map(|found| (Function::Lut(found), labels.clone())),
        };
        let (function, labels) = match found {
            Ok(found) => found,
            Err(reason) => {
                tried.push(Tried { method, outcome: Err(reason) });
                continue;
            }
        };
        let (accuracy, covered) = check(&function, &labels, held_out);
        tried.push(Tried { method, outcome: Ok(accuracy) });
        let usable = accuracy >= USABLE;
        if best.as_ref().is_none_or(|best| accuracy > best.accuracy) {
            best = Some(Solved { function, labels, accuracy, covered, usable, tried: Vec::new(), forms: None });
        }
        if usable {
            break;
        }
    }
    let forms = forms.map(|forms: Forms| forms.relabel(&labels));
    match best {
        Some(best) => Ok(Solved { tried, forms, ..best }),
        None => Err(Unsolved { tried, forms }),
    }
}

/// The share of lines whose label the function foretells, and of those in its domain.
fn check(function: &Function, labels: &[u32], lines: &[Sample]) -> (f64, f64) {
    let (mut right, mut inside) = (0, 0);
    for line in lines {
        if let Some(class) = function.class_of(line.at) {
            inside += 1;
            right += usize::from(labels.get(class as usize) == Some(&line.class));
        }
    }
    let share = |count: usize| count as f64 / lines.len().max(1) as f64;
    (share(right), share(inside))
}

/// The labels in order, and the samples with the places in that order for labels.
fn number_densely(samples: &[Sample]) -> (Vec<u32>, Vec<Sample>) {
    let numbers: BTreeMap<u32, ()> = samples.iter().map(|sample| (sample.class, ())).collect();
    let labels: Vec<u32> = numbers.into_keys().collect();
    let dense =
        |sample: &Sample| Sample { class: labels.partition_point(|&label| label < sample.class) as u32, ..*sample };
    let samples = samples.iter().map(dense).collect();
    (labels, samples)
}

/// How many different labels there are.
fn classes_of(samples: &[Sample]) -> usize {
    let seen: HashMap<u32, ()> = samples.iter().map(|sample| (sample.class, ())).collect();
    seen.len()
}

/// The value that occurs most often, the least of several.
fn commonest<T: Ord + Copy + core::hash::Hash>(values: impl IntoIterator<Item = T>) -> Option<T> {
    let mut counts: HashMap<T, usize> = HashMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts.into_iter().max_by_key(|&(value, count)| (count, core::cmp::Reverse(value))).map(|(value, _)| value)
}

/// The most bytes, a power of two, for which lines in one such piece of the memory are of one class, as far as the
/// samples have several lines in one.
fn granule(samples: &[Sample]) -> u64 {
    let mut sorted: Vec<&Sample> = samples.iter().collect();
    sorted.sort_by_key(|sample| sample.at);
    let sizes = (1..40).map(|bit| 1u64 << bit);
    for bytes in sizes {
        let (mut pairs, mut same) = (0usize, 0usize);
        for piece in sorted.chunk_by(|a, b| a.at.get() / bytes == b.at.get() / bytes) {
            // The pair across the middle of the piece: a smaller piece does not have it.
            let upper = piece.partition_point(|sample| sample.at.get() & (bytes / 2) == 0);
            if (1..piece.len()).contains(&upper) {
                pairs += 1;
                same += usize::from(piece[upper - 1].class == piece[upper].class);
            }
        }
        if pairs >= 8 && 5 * same < 4 * pairs {
            return bytes / 2;
        }
    }
    1 << 39
}
