//! One direction of a GPU's bus, as the arbiter measured it.

use crate::shared::shared;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use units::Bytes;

shared! {
    /// One direction of a GPU's bus. Written by the arbiter.
    pub struct Bus: 16 => {
        /// All bytes that tenants moved since the arbiter started.
        0 bytes: AtomicU64,
        /// Traffic of the last second against the busiest second seen, in thousandths.
        8 busy_permille: AtomicU32,
        12 reserved: AtomicU32,
    }
}

impl Bus {
    /// Arbiter: writes what was moved in all, and how busy the direction is, in thousandths.
    pub fn publish(&self, bytes: Bytes, busy_permille: u32) {
        self.bytes.store(bytes.get(), Ordering::Relaxed);
        self.busy_permille.store(busy_permille, Ordering::Relaxed);
    }

    /// All bytes moved since the arbiter started.
    pub fn bytes(&self) -> Bytes {
        Bytes::new(self.bytes.load(Ordering::Relaxed))
    }

    /// Traffic of the last second against the busiest second seen, 0 to 1.
    pub fn busy_ratio(&self) -> f64 {
        f64::from(self.busy_permille.load(Ordering::Relaxed).min(1000)) / 1000.0
    }
}
