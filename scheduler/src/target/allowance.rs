//! The knobs of best-effort (BE) tenants, as a function of one number.
//!
//! Everything that BE may do more of makes a latency-sensitive (LS) tenant wait longer, so the knobs move together, from the
//! strictest end to the freest. Quantities that act by ratio (time queued ahead, part of the time) move on a logarithmic
//! scale: a step of the number then changes what LS waits by the same part everywhere.

use units::Nanos;

/// The parts in which a reserve of SMs is counted: sixteenths of the card.
pub const SIXTEENTHS: u8 = 16;

/// Least time ahead: what one launch takes to reach the GPU and a few short kernels to run; less leaves the GPU idle.
const LEAST_AHEAD: Nanos = Nanos::from_micros(20);
/// Most time ahead over the least: 2 ms, beyond which no BE job gains.
const AHEAD_RANGE: f64 = 100.0;
/// Most of the SMs that long BE kernels leave, in sixteenths: half of the card, beyond which LS kernels gain little.
const MOST_RESERVE: u8 = 8;
/// Sixteenths from one reserve to the next: each reserve is another mask, under which a graph must be uploaded again.
const RESERVE_STEP: u8 = 2;
/// Least part of the time that BE has by slices: one request in a hundred may be as slow as it likes under any target, and
/// the longest of those alone are some of that one.
const LEAST_SHARE: f64 = 0.005;
/// Time that BE runs between two pauses: a stop and its end cost 0.3 ms of GR0 (docs/measurements/2026-11-30-slices.md).
const RUN: Nanos = Nanos::from_millis(20);

/// A freedom of the BE tenants, from 0 (the strictest) to 1 (the freest).
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Freedom(f64);

impl Freedom {
    /// As strict as it gets.
    pub const STRICTEST: Freedom = Freedom(0.0);
    /// As free as it gets.
    pub const FREEST: Freedom = Freedom(1.0);

    /// The freedom nearest to this number; the strictest for what is no number.
    pub fn new(number: f64) -> Freedom {
        if number.is_nan() { Freedom::STRICTEST } else { Freedom(number.clamp(0.0, 1.0)) }
    }

    /// The number from 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The stricter of the two.
    pub fn min(self, other: Freedom) -> Freedom {
        Freedom(self.0.min(other.0))
    }
}

/// Permission for BE tenants: all that they may do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// The freedom of which this was made.
    pub freedom: Freedom,
    /// Work that they may have queued ahead of the GPU.
    pub ahead: Nanos,
    /// SMs that their long kernels leave to LS tenants, in sixteenths of the card ([`SIXTEENTHS`]).
    pub reserve: u8,
    /// The part of the time in which they may run where only time slices hold them (without MPS), above 0 and at most 1.
    pub share: f64,
}

impl Allowance {
    /// The allowance of a freedom.
    pub fn of(freedom: Freedom) -> Allowance {
        let free = freedom.get();
        let ahead = LEAST_AHEAD.get() as f64 * AHEAD_RANGE.powf(free);
        let steps = f64::from(MOST_RESERVE / RESERVE_STEP);
        // The freest of the equal parts has no reserve.
        let given_up = (free * (steps + 1.0)).floor().min(steps) as u8;
        Allowance {
            freedom,
            ahead: Nanos::new(ahead as u64),
            reserve: MOST_RESERVE - given_up * RESERVE_STEP,
            share: LEAST_SHARE.powf(1.0 - free),
        }
    }

    /// The runs and pauses that make up the share of the time.
    pub fn duty(&self) -> Duty {
        let pause = RUN.get() as f64 * (1.0 / self.share.clamp(LEAST_SHARE, 1.0) - 1.0);
        Duty { run: RUN, pause: Nanos::new(pause as u64) }
    }
}

/// Runs of the BE tenants and the pauses between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duty {
    /// A run.
    pub run: Nanos,
    /// The pause after it; none where they may always run.
    pub pause: Nanos,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ends_are_as_strict_and_as_free_as_it_gets() {
        let strictest = Allowance::of(Freedom::STRICTEST);
        assert_eq!((strictest.ahead, strictest.reserve), (Nanos::from_micros(20), 8));
        assert_eq!(strictest.duty(), Duty { run: RUN, pause: Nanos::from_millis(3_980) });
        let freest = Allowance::of(Freedom::FREEST);
        assert_eq!((freest.ahead, freest.reserve), (Nanos::from_millis(2), 0));
        assert_eq!(freest.duty().pause, Nanos::ZERO);
    }

    #[test]
    fn what_is_no_number_is_the_strictest() {
        assert_eq!(Freedom::new(f64::NAN), Freedom::STRICTEST);
        assert_eq!((Freedom::new(-3.0), Freedom::new(3.0)), (Freedom::STRICTEST, Freedom::FREEST));
    }

    proptest! {
        #[test]
        fn more_freedom_is_never_less_of_anything(one in 0.0..=1.0f64, other in 0.0..=1.0f64) {
            let less = Allowance::of(Freedom::new(one.min(other)));
            let more = Allowance::of(Freedom::new(one.max(other)));
            prop_assert!(less.ahead <= more.ahead && less.share <= more.share);
            prop_assert!(less.reserve >= more.reserve);
            prop_assert!(less.duty().pause >= more.duty().pause);
        }

        #[test]
        fn every_knob_is_within_its_bounds(freedom in any::<f64>()) {
            let allowance = Allowance::of(Freedom::new(freedom));
            prop_assert!((Nanos::from_micros(20)..=Nanos::from_millis(2)).contains(&allowance.ahead));
            prop_assert!(allowance.reserve <= 8 && allowance.share >= 0.005 && allowance.share <= 1.0);
            let duty = allowance.duty();
            let part = duty.run.get() as f64 / (duty.run + duty.pause).get() as f64;
            prop_assert!((part / allowance.share - 1.0).abs() < 1e-3);
        }
    }
}
