//! Functions whose number of classes need not be a power of two.

use super::{BadFunction, unit_of};
use crate::Mask;
use crate::gf2::parity;
use crate::level::plain_bytes;
use serde::{Deserialize, Serialize};
use units::{Bytes, PhysAddr};

/// A sequence of classes, its order chosen by parities of address bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "lowercase")]
pub enum Permutation {
    /// Consecutive blocks of units, each one permutation of the same classes.
    Blocks(Blocks),
    /// A sum of weighted parities, modulo the number of places.
    Ring(Ring),
}

impl Permutation {
    pub(super) fn class_of(&self, address: PhysAddr) -> u32 {
        match self {
            Permutation::Blocks(blocks) => blocks.class_of(address),
            Permutation::Ring(ring) => ring.class_of(address),
        }
    }

    /// The masks that choose the sequence, or the ring.
    pub(crate) fn selectors(&self) -> &[Mask] {
        match self {
            Permutation::Blocks(blocks) => &blocks.selectors,
            Permutation::Ring(ring) => &ring.selectors,
        }
    }

    pub(super) fn classes(&self) -> u32 {
        let of = |classes: &mut dyn Iterator<Item = &u32>| classes.max().map_or(0, |most| most + 1);
        match self {
            Permutation::Blocks(blocks) => of(&mut blocks.sequences.iter().flatten()),
            Permutation::Ring(ring) => of(&mut ring.rings.iter().flat_map(|ring| &ring.places)),
        }
    }

    pub(super) fn unit(&self) -> Bytes {
        match self {
            Permutation::Blocks(blocks) => blocks.unit,
            Permutation::Ring(ring) => ring.unit(),
        }
    }

    pub(super) fn check(&self) -> Result<(), BadFunction> {
        match self {
            Permutation::Blocks(blocks) => blocks.check(),
            Permutation::Ring(ring) => ring.check(),
        }
    }
}

/// The bits that the masks of [`Blocks`] are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// Of the number of the block.
    Block,
    /// Of the physical address.
    Address,
}

/// The memory is units of `unit` bytes, every `m` of them a block. Unit `p` of a block is of class
/// `sequences[s][p]`, where bit `i` of `s` is the parity under selector `i`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blocks {
    /// The bytes of a unit, a power of two.
    #[serde(rename = "unit_bytes", with = "plain_bytes")]
    pub unit: Bytes,
    /// The bits that the selectors are of.
    pub over: Over,
    /// Which sequence it is, the lowest bit first; at most 16 masks.
    pub selectors: Vec<Mask>,
    /// For each value of the selectors the classes of a block's `m` units. All are permutations of the first.
    pub sequences: Vec<Vec<u32>>,
}

impl Blocks {
    fn class_of(&self, address: PhysAddr) -> u32 {
        let (block, place) = self.place_of(address);
        self.sequences[self.selected(address, block) as usize][place]
    }

    /// The block that an address is in, and its unit there.
    pub(crate) fn place_of(&self, address: PhysAddr) -> (u64, usize) {
        let units = address.get() / self.unit.get();
        let length = self.sequences[0].len() as u64;
        (units / length, (units % length) as usize)
    }

    fn selected(&self, address: PhysAddr, block: u64) -> u32 {
        let bits = match self.over {
            Over::Block => block,
            Over::Address => address.get(),
        };
        self.selectors.iter().enumerate().map(|(bit, mask)| u32::from(parity(mask.0 & bits)) << bit).sum()
    }

    fn check(&self) -> Result<(), BadFunction> {
        if !self.unit.get().is_power_of_two() {
            return Err(BadFunction("its unit is no power of two"));
        }
        if self.selectors.len() > 16 || self.sequences.len() != 1 << self.selectors.len() {
            return Err(BadFunction("its sequences are not one for each value of the selectors"));
        }
        let length = self.sequences[0].len();
        if length == 0 || self.sequences.iter().any(|sequence| sequence.len() != length) {
            return Err(BadFunction("its sequences are not of one length"));
        }
        Ok(())
    }
}

/// Steps around a ring of classes; where the classes fall into groups by parities, each group has a ring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ring {
    /// Which ring it is, the lowest bit first; none where there is one ring, at most 16.
    pub selectors: Vec<Mask>,
    /// The ring for each value of the selectors.
    pub rings: Vec<Steps>,
}

/// One ring: the class is that at place `(offset + sum of weights[i] * parity(forms[i])) mod places.len()`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// The masks of the XOR-swizzled address bits.
    pub forms: Vec<Mask>,
    /// How many places each steps onwards; all less than the number of places.
    pub weights: Vec<u32>,
    /// The place of address 0.
    pub offset: u32,
    /// The class of each place, in the order of the ring.
    pub places: Vec<u32>,
}

impl Ring {
    fn class_of(&self, address: PhysAddr) -> u32 {
        let bits = self.selectors.iter().enumerate();
        let ring: u32 = bits.map(|(bit, mask)| mask.parity(address) << bit).sum();
        self.rings[ring as usize].class_of(address)
    }

    fn unit(&self) -> Bytes {
        let forms = self.rings.iter().flat_map(|ring| &ring.forms);
        unit_of(&self.selectors.iter().chain(forms).copied().collect::<Vec<Mask>>())
    }

    fn check(&self) -> Result<(), BadFunction> {
        if self.selectors.len() > 16 || self.rings.len() != 1 << self.selectors.len() {
            return Err(BadFunction("its rings are not one for each value of the selectors"));
        }
        self.rings.iter().try_for_each(Steps::check)
    }
}

impl Steps {
    fn class_of(&self, address: PhysAddr) -> u32 {
        let terms = self.forms.iter().zip(&self.weights);
        let steps: u64 = terms.map(|(form, &weight)| u64::from(form.parity(address) * weight)).sum();
        self.places[(u64::from(self.offset) + steps) as usize % self.places.len()]
    }

    fn check(&self) -> Result<(), BadFunction> {
        let places = self.places.len();
        if places == 0 || places > 1 << 16 {
            return Err(BadFunction("its ring has no places, or too many"));
        }
        if self.forms.len() != self.weights.len() {
            return Err(BadFunction("its weights are not one for each mask"));
        }
        let inside = self.weights.iter().chain([&self.offset]).all(|&step| (step as usize) < places);
        inside.then_some(()).ok_or(BadFunction("a weight is not less than the number of places"))
    }
}
