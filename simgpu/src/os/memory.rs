//! Objects of VRAM, and the handles through which UVM keeps them.

use crate::machine::Machine;
use std::sync::Arc;
use units::{Bytes, PhysAddr};

/// A contiguous object of VRAM. It gives its VRAM back when neither the resource manager nor a mapping needs it.
pub(super) struct Memory {
    pub(super) machine: &'static Machine,
    pub(super) start: PhysAddr,
    pub(super) bytes: Bytes,
    /// The page size that it was allocated with, the largest that a mapping can have.
    pub(super) page: Bytes,
    pub(super) compressible: bool,
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.machine.release(self.start, self.bytes);
    }
}

/// One of the handles that the UVM module's client has for the whole machine, and the object it stands for. A mapping
/// holds one; the parts of a mapping that was split share theirs.
pub(super) struct Handle {
    pub(super) memory: Arc<Memory>,
}

impl Handle {
    pub(super) fn take(memory: Arc<Memory>) -> Option<Handle> {
        // Lazily: a `Handle` that was never granted must not be dropped.
        memory.machine.take_handle().then(|| Handle { memory })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.memory.machine.put_handle();
    }
}
