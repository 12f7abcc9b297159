//! Slices that look alike to every SM.
//!
//! Two slices may be so placed on a chip that no SM sees a difference: two pairs a side of an H200, four pairs among the
//! 80 of an H100. Sorted by latency they are one. Two things tell them apart:
//!
//! 1. parities. Where twins are on different sides of a parity that all other slices keep, a label has lines on both
//!    sides of it, each a good part, and is two slices;
//! 2. partners. Where two slices alternate in a unit, twins have other partners: [`crate::ring`] tells which belong
//!    to which.
//!
//! Parities come first: rings are clear only where no twins of other rings hold them together.

use crate::ring::{self, Split};
use crate::solve::{Forms, Sample, xor};
use fastrand::Rng;
use std::collections::BTreeMap;
use units::{Bytes, PhysAddr};

/// The share of a label's lines that must be in a class of the parities for it to have a slice there.
const OWN: f64 = 0.2;
/// How often parities are looked for anew: the first twins told apart may let another parity show.
const ROUNDS: usize = 3;

/// How labels that stand for several slices are divided.
#[derive(Clone, Debug)]
pub(crate) struct Twins {
    rounds: Vec<Round>,
    split: Split,
    unit: Bytes,
    /// How many labels there are in the end.
    pub(crate) labels: usize,
    /// How many of them were told from another.
    pub(crate) told_apart: usize,
    /// The parities that are constant on the labels of the end, where there are any.
    pub(crate) forms: Option<Forms>,
}

#[derive(Clone, Debug)]
struct Round {
    forms: Forms,
    /// The label of lines that had a label and are in a class of the parities; the same for others.
    new: BTreeMap<(u32, u32), u32>,
}

impl Twins {
    /// Learns how to divide `labels` labels by parities, from lines taken at random.
    pub(crate) fn by_parities(anywhere: &[Sample], labels: usize, unit: Bytes, rng: &mut Rng) -> Twins {
        let split = Split::default();
        let mut twins = Twins { rounds: Vec::new(), split, unit, labels, told_apart: 0, forms: None };
        let mut samples = anywhere.to_vec();
        loop {
            twins.forms = xor::fit(&samples, rng).ok();
            let Some(forms) = twins.forms.clone() else { break };
            let Some(round) = twins.round(forms, &samples).filter(|_| twins.rounds.len() < ROUNDS) else { break };
            twins.labels += round.new.len();
            samples.iter_mut().for_each(|sample| sample.class = round.label(sample.at, sample.class));
            twins.rounds.push(round);
        }
        twins.told_apart = twins.labels - labels;
        twins
    }

    /// Learns how to divide what is left by partners, from units of which many differ in one address bit. The samples of
    /// a unit come one after the other.
    pub(crate) fn and_by_partners(mut self, samples: &[Sample]) -> Twins {
        let mut samples = samples.to_vec();
        self.relabel(&mut samples);
        self.split = ring::split(&ring::units(&samples, self.unit), self.labels);
        self.labels += self.split.new;
        self.told_apart += self.split.new;
        self
    }

    /// One round; `None` where no label has slices in several classes.
    fn round(&self, forms: Forms, samples: &[Sample]) -> Option<Round> {
        let mut counts: BTreeMap<u32, BTreeMap<u32, usize>> = BTreeMap::new();
        for sample in samples {
            *counts.entry(sample.class).or_default().entry(forms.hash.class_of(sample.at)).or_default() += 1;
        }
        let mut next = self.labels as u32..;
        let mut new = BTreeMap::new();
        for (&label, classes) in &counts {
            let all: usize = classes.values().sum();
            let own = classes.iter().filter(|&(_, &count)| count as f64 >= OWN * all as f64);
            for (&class, _) in own.skip(1) {
                new.insert((label, class), next.next()?);
            }
        }
        (!new.is_empty()).then_some(Round { forms, new })
    }

    /// By how much the least certain ring is more regular than the second best one would be, as a ratio; infinite where
    /// no twins were told apart by their partners.
    pub(crate) fn margin(&self) -> f64 {
        self.split.margin
    }

    /// Gives samples their labels of the end.
    pub(crate) fn relabel(&self, samples: &mut [Sample]) {
        for sample in samples.iter_mut() {
            sample.class = self.rounds.iter().fold(sample.class, |label, round| round.label(sample.at, label));
        }
        for of_unit in samples.chunk_by_mut(|a, b| self.unit_of(a) == self.unit_of(b)) {
            if let [a, b] = of_unit {
                [a.class, b.class] = self.split.slices([a.class, b.class]);
            }
        }
    }

    fn unit_of(&self, sample: &Sample) -> u64 {
        sample.at.get() / self.unit.get()
    }
}

impl Round {
    fn label(&self, at: PhysAddr, label: u32) -> u32 {
        self.new.get(&(label, self.forms.hash.class_of(at))).copied().unwrap_or(label)
    }
}
