//! One level of the channel hash: what it divides the memory into, and by which bits.

use crate::gf2;
use crate::solve::USABLE;
use crate::{BadFunction, Function, Lut, LutInfo, Permutation, XorHash};
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use units::{Bytes, PhysAddr};

/// Physical address bits whose parity is one bit of a class; written in hex.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mask(pub u64);

impl Mask {
    /// The class bit of an address.
    pub const fn parity(self, address: PhysAddr) -> u32 {
        gf2::parity(self.0 & address.get()) as u32
    }

    /// The size below which all addresses are of one class; the largest there is for a mask without bits.
    pub const fn unit(self) -> Bytes {
        match 1u64.checked_shl(self.0.trailing_zeros()) {
            Some(unit) => Bytes::new(unit),
            None => Bytes::new(u64::MAX),
        }
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A text that is no mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a mask: a mask is a hexadecimal number such as 0xab000")]
pub struct ParseMaskError;

impl FromStr for Mask {
    type Err = ParseMaskError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("0x").filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        u64::from_str_radix(digits.ok_or(ParseMaskError)?, 16).map(Mask).map_err(|_| ParseMaskError)
    }
}

impl Serialize for Mask {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mask {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// How a level's class follows from the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Each bit of the class is the parity of some address bits.
    Xor,
    /// A sequence of classes, its order chosen by parities of address bits.
    Permutation,
    /// A lookup over the address bits that matter.
    Lut,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Xor => "XOR",
            Kind::Permutation => "permutation",
            Kind::Lut => "lookup",
        })
    }
}

/// One level of the channel hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// The unit that the level divides the memory into: `side`, `channel` or `slice`.
    pub name: String,
    /// The size below which all addresses are of one class.
    #[serde(rename = "unit_bytes", with = "plain_bytes")]
    pub unit: Bytes,
    /// How the class follows from the address.
    pub kind: Kind,
    /// For an XOR one mask for each bit of the class, the lowest first; for a permutation those that choose the
    /// sequence; for a lookup one of the bits that matter.
    pub masks: Vec<Mask>,
    /// How many classes there are.
    pub classes: u32,
    /// The share of lines kept out of the solving that are of the class foretold.
    pub accuracy: f64,
    /// How many lines were kept out.
    pub held_out: u64,
    /// Whether that is enough for anything to be coloured by it.
    pub usable: bool,
    /// The methods that were tried and how far each got, if the level is not usable.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tried: String,
    /// By class: the colour of the pages that touch it, where this level colours and is no XOR.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub color_of_class: Vec<u32>,
    /// The whole of a permutation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permutation: Option<Permutation>,
    /// The description of a lookup's data, which lie in a file of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookup: Option<LutInfo>,
    /// These data.
    #[serde(skip)]
    pub(crate) lut: Option<Lut>,
}

impl Level {
    /// The level of a function that was checked on some lines.
    pub fn new(name: &str, function: Function, accuracy: f64, held_out: u64) -> Level {
        let mut level = Level {
            name: name.to_owned(),
            unit: function.unit(),
            kind: function.kind(),
            masks: Vec::new(),
            classes: function.classes(),
            accuracy,
            held_out,
            usable: accuracy >= USABLE,
            tried: String::new(),
            color_of_class: Vec::new(),
            permutation: None,
            lookup: None,
            lut: None,
        };
        match function {
            Function::Xor(hash) => level.masks = hash.masks,
            Function::Permutation(permutation) => {
                level.masks = permutation.selectors().to_vec();
                level.permutation = Some(permutation);
            }
            Function::Lut(lut) => {
                level.masks = vec![Mask(lut.bits())];
                (level.lookup, level.lut) = (Some(lut.info()), Some(lut));
            }
        }
        level
    }

    /// The function; `None` where the data of a lookup are not at hand.
    pub fn function(&self) -> Option<Function> {
        match self.kind {
            Kind::Xor => Some(Function::Xor(XorHash { masks: self.masks.clone() })),
            Kind::Permutation => self.permutation.clone().map(Function::Permutation),
            Kind::Lut => self.lut.clone().map(Function::Lut),
        }
    }

    /// Names a content that no probe can have found, if there is one.
    pub(crate) fn implausible(&self) -> Option<&'static str> {
        if self.masks.iter().any(|mask| mask.0 == 0 || mask.0 >= 1 << 52) {
            return Some("a mask is 0 or beyond 2^52");
        }
        let Some(function) = self.function() else { return Some("a level has no function") };
        if let Err(BadFunction(what)) = function.check() {
            return Some(what);
        }
        match () {
            () if self.name.is_empty() => Some("a level has no name"),
            () if function.unit() != self.unit => Some("a level's unit is not that of its function"),
            () if function.classes() != self.classes => Some("a level's classes are not those of its function"),
            () if !(0.0..=1.0).contains(&self.accuracy) => Some("an accuracy is not between 0 and 1"),
            () if self.usable != (self.accuracy >= USABLE) => Some("a level is usable that must not be, or is not"),
            () if !matches!(self.color_of_class.len(), 0) && self.color_of_class.len() != self.classes as usize => {
                Some("a level's colours are not one for each class")
            }
            () => None,
        }
    }
}

/// `Bytes` as a plain number.
pub(crate) mod plain_bytes {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(bytes.get())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        u64::deserialize(deserializer).map(Bytes::new)
    }
}

/// A `PhysAddr` in hex, as masks are.
pub(crate) mod hex_address {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(address: &PhysAddr, serializer: S) -> Result<S::Ok, S::Error> {
        Mask(address.get()).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PhysAddr, D::Error> {
        Mask::deserialize(deserializer).map(|Mask(address)| PhysAddr::new(address))
    }
}
