//! The size of the pieces that best-effort copies wait in: as large as those who wait for them can bear.
//!
//! A piece costs a fixed time beside its bytes (the wait, the write and the engine's start: 3 to 4 us on an H200), so
//! larger is better for the bus; and whoever comes while a piece is on the bus waits for its end. So a piece is to take
//! a fixed time, and its size follows from the rate that pieces were seen to move at.

use region::Regime;
use units::{Bytes, Nanos};

/// A latency-sensitive copy is to wait for no longer than this.
const LS_TARGET: Nanos = Nanos::from_micros(50);
/// How much of that passes between the arbiter's look and the bus, with nothing on it.
const LS_MARGIN: Nanos = Nanos::from_micros(8);
/// How long a piece may take where best-effort tenants only have one another.
const BE_TARGET: Nanos = Nanos::from_micros(160);

/// Smaller pieces would take longer to let go than to move, and so seem slower than they are.
const LEAST: Bytes = Bytes::kib(256);
const MOST: Bytes = Bytes::mib(16);
/// Until anything was measured. About 25 us on PCIe 5 x16.
const FIRST: Bytes = Bytes::mib(1);
/// Sizes are multiples of this, and do not change for less than a quarter.
const STEP: Bytes = Bytes::kib(64);

/// Chooses the size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizer {
    fixed: Option<Bytes>,
    /// What was served since the rate was last reckoned, and in which time.
    bytes: Bytes,
    time: Nanos,
    /// Bytes a millisecond.
    rate: Option<u64>,
    size: Bytes,
}

impl Sizer {
    /// Sizes that adapt, unless the operator gave one.
    pub(crate) fn new(fixed: Option<Bytes>) -> Self {
        Sizer { fixed, bytes: Bytes::ZERO, time: Nanos::ZERO, rate: None, size: FIRST }
    }

    /// Takes in what was served, and in which time.
    pub(crate) fn served(&mut self, bytes: Bytes, time: Nanos) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.time = Nanos::new(self.time.get().saturating_add(time.get()));
        if self.time < Nanos::from_millis(2) {
            return;
        }
        let seen = u128::from(self.bytes.get()) * 1_000_000 / u128::from(self.time.get().max(1));
        let seen = u64::try_from(seen).unwrap_or(u64::MAX);
        // Upwards at once, as nothing moves faster than the bus; downwards slowly, as a piece may be late for other
        // reasons.
        self.rate = Some(self.rate.map_or(seen, |rate| seen.max(rate - rate / 16 + seen / 16)));
        (self.bytes, self.time) = (Bytes::ZERO, Nanos::ZERO);
    }

    /// The size of a piece now.
    pub(crate) fn piece(&mut self, regime: Regime) -> Bytes {
        if let Some(fixed) = self.fixed {
            return fixed;
        }
        let time = if regime.yields() { LS_TARGET.saturating_sub(LS_MARGIN) } else { BE_TARGET };
        let wanted = self.rate.map_or(FIRST, |rate| moved_in(rate, time));
        let wanted = Bytes::new(wanted.get() / STEP.get() * STEP.get()).clamp(LEAST, MOST);
        let differs = wanted.get().abs_diff(self.size.get()) > self.size.get() / 4;
        if differs {
            self.size = wanted;
        }
        self.size
    }

    /// How long so many bytes will take; `None` while that is not known.
    pub(crate) fn expects(&self, bytes: Bytes) -> Option<Nanos> {
        let rate = self.rate.filter(|&rate| rate > 0)?;
        let nanos = u128::from(bytes.get()) * 1_000_000 / u128::from(rate);
        Some(Nanos::new(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

fn moved_in(rate: u64, time: Nanos) -> Bytes {
    let bytes = u128::from(rate) * u128::from(time.get()) / 1_000_000;
    Bytes::new(u64::try_from(bytes).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sizer that saw pieces move at so many bytes a microsecond.
    fn seen(bytes_a_micro: u64) -> Sizer {
        let mut sizer = Sizer::new(None);
        sizer.served(Bytes::new(bytes_a_micro * 4000), Nanos::from_millis(4));
        sizer
    }

    #[test]
    fn a_piece_takes_less_than_a_latency_sensitive_copy_may_wait() {
        for rate in [8_000, 12_000, 54_000] {
            let piece = seen(rate).piece(Regime::Yield);
            let micros = piece.get() / rate;
            assert!((16..50).contains(&micros), "{piece} at {rate} MB/s take {micros} us");
        }
    }

    #[test]
    fn pieces_are_larger_where_nobody_latency_sensitive_waits() {
        let mut sizer = seen(54_000);
        assert!(sizer.piece(Regime::Share) > sizer.piece(Regime::ShareAndYield));
    }

    #[test]
    fn the_size_stays_within_its_bounds_and_does_not_flutter() {
        assert_eq!(seen(1).piece(Regime::Yield), LEAST);
        assert_eq!(seen(u64::from(u32::MAX)).piece(Regime::Share), MOST);
        let mut sizer = seen(50_000);
        let before = sizer.piece(Regime::Share);
        for rate in [52_000, 47_000, 55_000] {
            sizer.served(Bytes::new(rate * 4000), Nanos::from_millis(4));
            assert_eq!(sizer.piece(Regime::Share), before);
        }
    }

    #[test]
    fn what_the_operator_gave_is_what_is_used() {
        let mut sizer = Sizer::new(Some(Bytes::kib(128)));
        sizer.served(Bytes::gib(1), Nanos::from_millis(4));
        assert_eq!(sizer.piece(Regime::Share), Bytes::kib(128));
    }
}
