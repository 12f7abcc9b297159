//! Amounts of memory or of traffic.

use core::fmt;
use core::iter::Sum;
use core::ops::{Add, AddAssign, Sub};
use core::str::FromStr;

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Bytes(u64);

impl Bytes {
    /// No bytes.
    pub const ZERO: Bytes = Bytes(0);

    /// `n` bytes.
    pub const fn new(n: u64) -> Self {
        Bytes(n)
    }

    /// `n` KiB (1024 bytes each).
    pub const fn kib(n: u64) -> Self {
        Bytes(n << 10)
    }

    /// `n` MiB.
    pub const fn mib(n: u64) -> Self {
        Bytes(n << 20)
    }

    /// `n` GiB.
    pub const fn gib(n: u64) -> Self {
        Bytes(n << 30)
    }

    /// The plain number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number as a host size; saturates where `usize` is smaller than 64 bits.
    pub const fn as_usize(self) -> usize {
        if self.0 > usize::MAX as u64 { usize::MAX } else { self.0 as usize }
    }

    /// Whether this is a multiple of `unit` (false for a zero unit).
    pub const fn is_multiple_of(self, unit: Bytes) -> bool {
        unit.0 != 0 && self.0.is_multiple_of(unit.0)
    }

    /// The least multiple of `unit` that is not smaller, or `None` on overflow or for a zero unit.
    pub const fn checked_round_up(self, unit: Bytes) -> Option<Bytes> {
        match self.0.checked_next_multiple_of(unit.0) {
            Some(n) => Some(Bytes(n)),
            None => None,
        }
    }

    /// The difference, or zero where `other` is larger.
    pub const fn saturating_sub(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_sub(other.0))
    }

    /// The sum, or the largest number where it does not fit.
    pub const fn saturating_add(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_add(other.0))
    }

    /// The smaller of the two.
    pub const fn min(self, other: Bytes) -> Bytes {
        if self.0 < other.0 { self } else { other }
    }
}

impl Add for Bytes {
    type Output = Bytes;
    fn add(self, other: Bytes) -> Bytes {
        Bytes(self.0 + other.0)
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Bytes) {
        self.0 += other.0;
    }
}

impl Sub for Bytes {
    type Output = Bytes;
    fn sub(self, other: Bytes) -> Bytes {
        Bytes(self.0 - other.0)
    }
}

impl Sum for Bytes {
    fn sum<I: Iterator<Item = Bytes>>(iter: I) -> Bytes {
        iter.fold(Bytes::ZERO, Bytes::saturating_add)
    }
}

impl fmt::Display for Bytes {
    /// The largest binary unit that divides well: `512 B`, `256 KiB`, `1.5 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let step = (self.0.max(1).ilog2() / 10).min(4) as usize;
        let scale = 1u64 << (10 * step);
        if self.0.is_multiple_of(scale) {
            write!(f, "{} {}", self.0 / scale, UNITS[step])
        } else {
            write!(f, "{:.1} {}", self.0 as f64 / scale as f64, UNITS[step])
        }
    }
}

/// A size that cannot be read: sizes are a whole number with an optional `K`, `M`, `G` or `T`, as in `2M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseBytesError;

impl fmt::Display for ParseBytesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a size: write a whole number of bytes, or one with K, M, G or T, such as 2M")
    }
}

impl core::error::Error for ParseBytesError {}

impl FromStr for Bytes {
    type Err = ParseBytesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (digits, shift) = match text.as_bytes().last() {
            Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
            Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
            Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
            Some(b't' | b'T') => (&text[..text.len() - 1], 40),
            _ => (text, 0),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseBytesError);
        }
        let number: u64 = digits.parse().map_err(|_| ParseBytesError)?;
        number.checked_mul(1 << shift).map(Bytes).ok_or(ParseBytesError)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        assert_eq!("4096".parse(), Ok(Bytes::kib(4)));
        assert_eq!("2M".parse(), Ok(Bytes::mib(2)));
        assert_eq!("1g".parse(), Ok(Bytes::gib(1)));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "M", "-1", "2.5M", "2MB", "0x10", "99999999999T"] {
            assert_eq!(text.parse::<Bytes>(), Err(ParseBytesError), "{text}");
        }
    }

    #[test]
    fn sizes_are_written_in_the_largest_unit() {
        assert_eq!(Bytes::new(0).to_string(), "0 B");
        assert_eq!(Bytes::kib(256).to_string(), "256 KiB");
        assert_eq!(Bytes::mib(1536).to_string(), "1.5 GiB");
    }
}
