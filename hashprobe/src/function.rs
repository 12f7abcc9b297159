//! Functions from a physical address to a class: a side, a channel or a slice.
//!
//! There are three kinds, as a probe's answer names them: [`Function::Xor`], [`Function::Permutation`] (of which there
//! are two shapes, [`Blocks`] and [`Ring`]) and [`Function::Lut`]. Classes are numbered from 0. How each is found is
//! told in the modules of [`crate::solve`]; this one only holds and evaluates them. A table file has them as part of a
//! [`crate::Level`], but for the data of a lookup: those are bytes of their own ([`Lut::to_bytes`]), told from others by
//! the checksum in the level.

mod lut;
mod permutation;

pub(crate) use lut::index_of;
pub use lut::{BadLut, Lut, LutInfo};
pub use permutation::{Blocks, Over, Permutation, Ring, Steps};

use crate::gf2::Span;
use crate::{Kind, Mask};
use serde::{Deserialize, Serialize};
use units::{Bytes, PhysAddr};

/// Bit `i` of the class is the parity of the address under mask `i`; the masks are independent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct XorHash {
    /// The masks, the lowest bit of the class first; at most [`XorHash::MOST_MASKS`].
    pub masks: Vec<Mask>,
}

impl XorHash {
    /// A hash of more classes than 2^16 is none of a GPU.
    pub const MOST_MASKS: usize = 16;

    /// The class of an address.
    pub fn class_of(&self, address: PhysAddr) -> u32 {
        self.masks.iter().enumerate().map(|(bit, mask)| mask.parity(address) << bit).sum()
    }

    fn check(&self) -> Result<(), BadFunction> {
        if self.masks.is_empty() || self.masks.len() > Self::MOST_MASKS {
            return Err(BadFunction("it has no masks, or too many"));
        }
        let mut span = Span::default();
        let independent = self.masks.iter().all(|mask| span.insert(mask.0));
        independent.then_some(()).ok_or(BadFunction("its masks depend on one another"))
    }
}

/// How the class follows from the address.
#[derive(Clone, Debug, PartialEq)]
pub enum Function {
    /// Parities of address bits.
    Xor(XorHash),
    /// A sequence of classes, its order chosen by parities of address bits.
    Permutation(Permutation),
    /// A table over the address bits that matter.
    Lut(Lut),
}

impl Function {
    /// The class of an address; `None` outside the domain of a lookup. The others are defined everywhere, though
    /// nobody has measured them above the highest address that was probed.
    pub fn class_of(&self, address: PhysAddr) -> Option<u32> {
        match self {
            Function::Xor(hash) => Some(hash.class_of(address)),
            Function::Permutation(permutation) => Some(permutation.class_of(address)),
            Function::Lut(lut) => lut.class_of(address),
        }
    }

    /// How many classes there are; all are less than that.
    pub fn classes(&self) -> u32 {
        match self {
            Function::Xor(hash) => 1 << hash.masks.len(),
            Function::Permutation(permutation) => permutation.classes(),
            Function::Lut(lut) => lut.classes(),
        }
    }

    /// The bytes, a power of two, below which the class cannot change.
    pub fn unit(&self) -> Bytes {
        match self {
            Function::Xor(hash) => unit_of(&hash.masks),
            Function::Permutation(permutation) => permutation.unit(),
            Function::Lut(lut) => Mask(lut.bits()).unit(),
        }
    }

    /// The kind, as a probe's answer names it.
    pub fn kind(&self) -> Kind {
        match self {
            Function::Xor(_) => Kind::Xor,
            Function::Permutation(_) => Kind::Permutation,
            Function::Lut(_) => Kind::Lut,
        }
    }

    /// An error where it is none: what a file says may be anything.
    pub(crate) fn check(&self) -> Result<(), BadFunction> {
        match self {
            Function::Xor(hash) => hash.check(),
            Function::Permutation(permutation) => permutation.check(),
            Function::Lut(_) => Ok(()),
        }
    }
}

/// The content of a file is no function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a channel function: {0}")]
pub struct BadFunction(pub(crate) &'static str);

/// The bytes below which no mask has a bit.
fn unit_of(masks: &[Mask]) -> Bytes {
    Mask(masks.iter().fold(0, |all, mask| all | mask.0)).unit()
}
