//! Sets of TPC bits.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Some of the bits by which a launch's mask names TPCs; written in hex.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TpcBits(pub u128);

impl TpcBits {
    /// The number of bits that a mask has places for.
    pub const PLACES: u32 = u128::BITS;

    /// The set of one bit; empty for a number that is no place.
    pub const fn one(bit: u32) -> TpcBits {
        match 1u128.checked_shl(bit) {
            Some(bits) => TpcBits(bits),
            None => TpcBits(0),
        }
    }

    /// The number of bits.
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All places that are not in the set.
    pub const fn others(self) -> TpcBits {
        TpcBits(!self.0)
    }

    /// The bits of both.
    pub const fn union(self, more: TpcBits) -> TpcBits {
        TpcBits(self.0 | more.0)
    }
}

impl FromIterator<TpcBits> for TpcBits {
    fn from_iter<I: IntoIterator<Item = TpcBits>>(sets: I) -> TpcBits {
        sets.into_iter().fold(TpcBits::default(), TpcBits::union)
    }
}

impl fmt::Display for TpcBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A text that is no set of TPC bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no TPC bits: they are a hexadecimal number such as 0x1ff")]
pub struct ParseTpcBitsError;

impl FromStr for TpcBits {
    type Err = ParseTpcBitsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("0x").filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let digits = digits.ok_or(ParseTpcBitsError)?;
        u128::from_str_radix(digits, 16).map(TpcBits).map_err(|_| ParseTpcBitsError)
    }
}

impl Serialize for TpcBits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TpcBits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_as_they_were_written() {
        for bits in [TpcBits(0), TpcBits::one(127), TpcBits(0x1FF).others()] {
            assert_eq!(bits.to_string().parse(), Ok(bits));
        }
        for text in ["", "1ff", "0x", "0xg", "0x+1", "0x100000000000000000000000000000000"] {
            assert_eq!(text.parse::<TpcBits>(), Err(ParseTpcBitsError), "{text}");
        }
    }
}
