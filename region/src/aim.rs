//! A tenant's target, as the arbiter finds it kept.

use crate::shared::shared;
use crate::sync::{AtomicU32, Ordering};
use crate::terms::coded;
use units::Nanos;

coded! {
    /// Whether a target is kept.
    Reached {
        /// The tenant has no target, or the arbiter has not seen it yet.
        NoTarget = 0 "none",
        /// Too few requests were alone to know.
        Learning = 1 "learning",
        /// It is, or best-effort tenants are being made stricter so that it is.
        Steered = 2 "steered",
        /// Best-effort tenants are as strict as they get, and it is not kept.
        NotReachable = 3 "not_reachable",
    }
}

shared! {
    /// Figures of a target. Written by the arbiter.
    pub struct Aim: 16 => {
        /// [`Reached`].
        0 reached: AtomicU32,
        /// The p99 of requests beside best-effort work, in thousandths of that alone; 0 while it is not known.
        4 ratio: AtomicU32,
        /// The p99 alone in nanoseconds; 0 while it is not known.
        8 alone: AtomicU32,
        /// The freedom that best-effort tenants have by this target, in thousandths.
        12 freedom: AtomicU32,
    }
}

impl Aim {
    /// Arbiter: writes the figures: the ratio to the p99 alone, that p99, and the freedom from 0 to 1.
    pub fn publish(&self, reached: Reached, ratio: Option<f64>, alone: Option<Nanos>, freedom: f64) {
        let thousandths = |number: f64| (number * 1e3).clamp(0.0, u32::MAX.into()) as u32;
        self.ratio.store(ratio.map_or(0, thousandths), Ordering::Relaxed);
        self.alone.store(alone.map_or(0, |time| u32::try_from(time.get()).unwrap_or(u32::MAX)), Ordering::Relaxed);
        self.freedom.store(thousandths(freedom), Ordering::Relaxed);
        self.reached.store(reached.code(), Ordering::Relaxed);
    }

    /// Whether the target is kept.
    pub fn reached(&self) -> Reached {
        Reached::from_code(self.reached.load(Ordering::Relaxed)).unwrap_or(Reached::NoTarget)
    }

    /// The p99 of requests beside best-effort work, as a multiple of that alone.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.ratio.load(Ordering::Relaxed)).filter(|&ratio| ratio != 0).map(|ratio| f64::from(ratio) / 1e3)
    }

    /// The p99 alone.
    pub fn alone(&self) -> Option<Nanos> {
        Some(self.alone.load(Ordering::Relaxed)).filter(|&time| time != 0).map(|time| Nanos::new(time.into()))
    }

    /// The freedom that best-effort tenants have by this target, from 0 to 1.
    pub fn freedom(&self) -> f64 {
        f64::from(self.freedom.load(Ordering::Relaxed).min(1000)) / 1e3
    }

    /// Arbiter: there is no target.
    pub(crate) fn clear(&self) {
        self.publish(Reached::NoTarget, None, None, 0.0);
    }
}
