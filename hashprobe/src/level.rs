//! One level of the channel hash: what it divides the memory into, and by which bits.

use crate::gf2;
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
    /// A sequence of classes, its order chosen by parities of address bits. A table file cannot say this yet.
    #[serde(skip)]
    Permutation,
    /// A lookup over the address bits that matter. A table file cannot say this yet.
    #[serde(skip)]
    Lut,
}

/// One level of the channel hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// What the level divides the memory into: `side`.
    pub name: String,
    /// The size below which all addresses are of one class.
    #[serde(rename = "unit_bytes", with = "plain_bytes")]
    pub unit: Bytes,
    /// How the class follows from the address.
    pub kind: Kind,
    /// One mask for each bit of the class, the lowest first.
    pub masks: Vec<Mask>,
    /// How many classes there are.
    pub classes: u32,
    /// The share of lines kept out of the solving that are of the class foretold.
    pub accuracy: f64,
    /// How many lines were kept out.
    pub held_out: u64,
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
