//! The region as it lies in memory.

use crate::hash::GpuKey;
use crate::machine::{Header, MAGIC, VERSION};
use crate::shared::shared;
use crate::slot::Slot;
use crate::sync::Ordering;
use crate::terms::SLOTS;

shared! {
    /// The whole region.
    pub struct Layout: 4096 + SLOTS * 8192 => {
        /// The machine and the arbiter.
        0 pub header: Header,
        /// The tenants.
        4096 pub slots: [Slot; SLOTS],
    }
}

impl Layout {
    /// The size that a region file has.
    pub const SIZE: usize = size_of::<Layout>();

    /// Whether the header is one of this version.
    pub(crate) fn is_valid(&self) -> bool {
        self.header.magic.load(Ordering::Acquire) == MAGIC
            && self.header.version.load(Ordering::Relaxed) == VERSION
            && self.header.size.load(Ordering::Relaxed) as usize == Layout::SIZE
    }

    /// Arbiter: writes the identity of a fresh, all-zero region.
    pub(crate) fn initialise(&self) {
        self.header.version.store(VERSION, Ordering::Relaxed);
        self.header.size.store(Layout::SIZE as u32, Ordering::Relaxed);
        self.header.magic.store(MAGIC, Ordering::Release);
    }

    /// The index of the GPU's entry, which is taken if the GPU has none yet. `None` where all entries are taken.
    pub fn gpu_index(&self, key: GpuKey) -> Option<usize> {
        self.header.gpus.iter().position(|gpu| gpu.claim(key))
    }
}
