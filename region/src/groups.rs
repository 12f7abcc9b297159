//! A tenant's channel groups, as it describes them.

use crate::shared::shared;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::terms::Means;
use units::Nanos;

shared! {
    /// A tenant's word on its groups on one engine of one GPU. Written by the tenant.
    pub struct Groups: 24 => {
        /// Their number.
        0 count: AtomicU32,
        /// [`Means`].
        4 means: AtomicU32,
        /// The slice that was last read back from a group, in microseconds; 0 for none.
        8 slice_us: AtomicU32,
        /// The number of times that a slice was set.
        12 calls: AtomicU32,
        /// The time for which they stood still by order, in nanoseconds.
        16 held_nanos: AtomicU64,
    }
}

impl Groups {
    /// Tenant: says how many groups there are and what can be done to them.
    pub fn describe(&self, count: usize, means: Means) {
        self.means.store(means.code(), Ordering::Relaxed);
        self.count.store(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Release);
    }

    /// Tenant: notes a slice that was set and read back.
    pub fn note_slice(&self, micros: u32) {
        self.slice_us.store(micros, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Tenant: adds time that the groups stood still.
    pub fn add_held(&self, time: Nanos) {
        self.held_nanos.fetch_add(time.get(), Ordering::Relaxed);
    }

    /// The number of groups.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// The means over them; a number that means nothing is as good as nothing.
    pub fn means(&self) -> Means {
        Means::from_code(self.means.load(Ordering::Relaxed)).unwrap_or(Means::Nothing)
    }

    /// The slice that they have, in microseconds, once one was set.
    pub fn slice_us(&self) -> Option<u32> {
        Some(self.slice_us.load(Ordering::Relaxed)).filter(|&micros| micros != 0)
    }

    /// The number of times that a slice was set.
    pub fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// The time for which they stood still by order.
    pub fn held(&self) -> Nanos {
        Nanos::new(self.held_nanos.load(Ordering::Relaxed))
    }

    pub(crate) fn clear(&self) {
        self.describe(0, Means::Unknown);
        self.slice_us.store(0, Ordering::Relaxed);
        self.calls.store(0, Ordering::Relaxed);
        self.held_nanos.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::shared::Shared;

    #[test]
    fn foreign_numbers_mean_nothing_can_be_done() {
        let groups = Groups::zeroed();
        assert_eq!(groups.means(), Means::Unknown);
        groups.means.store(77, Ordering::Relaxed);
        assert_eq!(groups.means(), Means::Nothing);
        groups.describe(3, Means::SlicesAndStops);
        assert_eq!((groups.count(), groups.means()), (3, Means::SlicesAndStops));
    }
}
