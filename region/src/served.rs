//! How long the arbiter let the pieces of a tenant's copies wait, and how long they then took.

use crate::slot::WaitHistogram;

/// The times of one direction of a tenant's copies, over all GPUs, as the arbiter saw them. Written by the arbiter; its
/// looks are some microseconds apart, and so precise are the times.
#[repr(C)]
pub struct Served {
    /// From the moment a lane asked with nothing before it to the first leave.
    pub waits: WaitHistogram,
    /// From the leave to done, of pieces that had it; without the time in which another piece was still on the bus.
    pub services: WaitHistogram,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Served>() == 192);

impl Served {
    pub(crate) fn clear(&self) {
        self.waits.clear();
        self.services.clear();
    }
}
