//! One direction of a GPU's bus, as the arbiter measured it.

use crate::sync::{AtomicU32, AtomicU64, Ordering};
use units::Bytes;

/// One direction of a GPU's bus. Written by the arbiter.
#[repr(C)]
pub struct Bus {
    /// All bytes that tenants moved since the arbiter started.
    bytes: AtomicU64,
    /// Traffic of the last second against the busiest second seen, in thousandths.
    busy_permille: AtomicU32,
    reserved: AtomicU32,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Bus>() == 16 && core::mem::offset_of!(Bus, busy_permille) == 8);

impl Bus {
    /// A direction that nobody used yet, for tests.
    pub fn unused() -> Self {
        Bus { bytes: AtomicU64::new(0), busy_permille: AtomicU32::new(0), reserved: AtomicU32::new(0) }
    }

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
