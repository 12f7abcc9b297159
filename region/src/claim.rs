//! Who holds a slot.

use crate::sync::{AtomicU64, Ordering};

/// Process id in the low half, a count of claims in the high half; low half 0 while free. A tenant takes a free slot by
/// compare-and-swap; the arbiter alone frees it, once the process is gone.
#[repr(transparent)]
pub(crate) struct Claim(AtomicU64);

impl Claim {
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Claim(AtomicU64::new(0))
    }

    /// The process that holds the slot.
    pub(crate) fn holder(&self) -> Option<u32> {
        match self.0.load(Ordering::Acquire) as u32 {
            0 => None,
            pid => Some(pid),
        }
    }

    /// How often the slot was taken.
    pub(crate) fn times(&self) -> u32 {
        (self.0.load(Ordering::Acquire) >> 32) as u32
    }

    /// Tenant: takes the slot if it is free.
    pub(crate) fn take(&self, pid: u32) -> bool {
        let held = self.0.load(Ordering::Acquire);
        let next = ((held >> 32).wrapping_add(1)) << 32 | u64::from(pid);
        held as u32 == 0 && self.0.compare_exchange(held, next, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Arbiter: frees the slot.
    pub(crate) fn free(&self) {
        let held = self.0.load(Ordering::Relaxed);
        self.0.store(held >> 32 << 32, Ordering::Release);
    }
}
