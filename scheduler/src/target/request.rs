//! Finished requests of a latency-sensitive tenant, and the slowdown that it tolerates.

use crate::times::LONGEST_REQUEST;
use units::Nanos;

/// The kind of a request: the identity of the graph that it launched, or zero where it launched none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kind(pub u64);

/// One finished request, as its tenant tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its kind.
    pub kind: Kind,
    /// The time from its submission to its end.
    pub took: Nanos,
    /// Whether no best-effort tenant had work at any time in it.
    pub alone: bool,
    /// Its end on the arbiter's clock.
    pub ended: Nanos,
}

impl Request {
    /// Whether it can have been: a length of time that is neither nothing nor beyond all requests, and lies on the clock.
    pub(super) fn is_believable(&self) -> bool {
        self.took > Nanos::ZERO && self.took <= LONGEST_REQUEST && self.took <= self.ended
    }
}

/// The factor of its p99 alone within which a tenant's p99 shall stay.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Target(f64);

impl Target {
    /// The closest target: what is nearer to 1 is within what requests alone differ by.
    pub const CLOSEST: f64 = 1.01;
    /// The widest target.
    pub const WIDEST: f64 = 10.0;

    /// A target of this factor; `None` where it is no number from [`Target::CLOSEST`] to [`Target::WIDEST`].
    pub fn new(factor: f64) -> Option<Target> {
        (Target::CLOSEST..=Target::WIDEST).contains(&factor).then_some(Target(factor))
    }

    /// The factor.
    pub fn factor(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_factor_from_1_01_to_10_is_no_target() {
        for factor in [0.0, 1.0, 1.009, 10.1, -1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Target::new(factor), None, "{factor}");
        }
        assert_eq!(Target::new(1.1).map(Target::factor), Some(1.1));
    }

    #[test]
    fn lengths_that_cannot_have_been_are_not_believed() {
        let request = |took, ended| Request { kind: Kind(0), took, alone: true, ended };
        assert!(request(Nanos::from_millis(1), Nanos::from_millis(10)).is_believable());
        for took in [Nanos::ZERO, Nanos::from_millis(11), Nanos::new(u64::MAX)] {
            assert!(!request(took, Nanos::from_millis(10)).is_believable(), "{took}");
        }
        assert!(!request(Nanos::from_millis(61_000), Nanos::new(u64::MAX)).is_believable());
    }
}
