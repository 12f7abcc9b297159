//! The word that names the holder of a slot.

use crate::shared::Shared;
use crate::sync::{AtomicU64, Ordering};

/// One process image's tenure of a slot: its process id, and the number of tenures that the slot has had. Two images never
/// have the same tenure of a slot, also where the kernel gives a process id again or a process executes another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure(u64);

impl Tenure {
    /// The process, as it numbers itself.
    pub const fn pid(self) -> u32 {
        self.0 as u32
    }

    pub(crate) const fn code(self) -> u64 {
        self.0
    }
}

/// Process id in the low half, a count of tenures in the high half; low half 0 while free. Written under the lock of the
/// slot ([`crate::Hold`]), so by one at a time; every other process may read it.
#[repr(transparent)]
pub(crate) struct Claim(AtomicU64);

// SAFETY: a transparent atomic.
unsafe impl Shared for Claim {}

impl Claim {
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Claim(AtomicU64::new(0))
    }

    /// The present tenure.
    pub(crate) fn tenure(&self) -> Option<Tenure> {
        Some(Tenure(self.0.load(Ordering::Acquire))).filter(|tenure| tenure.pid() != 0)
    }

    /// The number of tenures up to now.
    pub(crate) fn times(&self) -> u32 {
        (self.0.load(Ordering::Acquire) >> 32) as u32
    }

    /// Under the slot's lock: begins a tenure.
    pub(crate) fn take(&self, pid: u32) -> Tenure {
        let tenure = Tenure((u64::from(self.times().wrapping_add(1)) << 32) | u64::from(pid));
        self.0.store(tenure.0, Ordering::Release);
        tenure
    }

    /// Under the slot's lock: ends the tenure.
    pub(crate) fn free(&self) {
        self.0.store(u64::from(self.times()) << 32, Ordering::Release);
    }
}
