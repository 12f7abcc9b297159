//! The region as it lies in memory.

use crate::doorbell::Doorbell;
use crate::gpu::Gpu;
use crate::slot::Slot;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The first eight bytes of every region.
pub const MAGIC: u64 = u64::from_le_bytes(*b"MISSILE\x01");
/// The layout's version. Any change of a field's place, width or meaning raises it.
pub const VERSION: u32 = 7;
/// How many tenants (processes) a region holds.
pub const SLOTS: usize = 64;
/// How many GPUs a region tells apart.
pub const GPUS: usize = 8;

/// What is known of the machine and of the arbiter. Written by the arbiter, but for the doorbell and the GPU keys.
#[repr(C, align(4096))]
pub struct Header {
    /// [`MAGIC`]. Written before the file gets its name.
    pub magic: AtomicU64,
    /// [`VERSION`]. Written before the file gets its name.
    pub version: AtomicU32,
    /// The size of the region in bytes. Written before the file gets its name.
    pub size: AtomicU32,
    /// The arbiter's process id, as it sees itself; for people and for `missile down`.
    pub arbiter_pid: AtomicU32,
    /// Unused; zero.
    pub reserved: AtomicU32,
    /// When the arbiter started, in nanoseconds of the monotonic clock.
    pub started: AtomicU64,
    /// When the arbiter last looked at the region, in nanoseconds of the monotonic clock.
    pub heartbeat: AtomicU64,
    /// How many UVM maps all tenants together may hold.
    pub map_budget: AtomicU64,
    /// How many tenants have a guaranteed share of them ([`crate::Shares`]).
    pub map_tenants: AtomicU64,
    /// Wakes the arbiter.
    pub doorbell: Doorbell,
    /// The GPUs, in the order in which tenants named them.
    pub gpus: [Gpu; GPUS],
}

/// The whole region.
#[repr(C)]
pub struct Layout {
    /// The machine and the arbiter.
    pub header: Header,
    /// The tenants.
    pub slots: [Slot; SLOTS],
}

impl Layout {
    /// The size that a region file has.
    pub const SIZE: usize = size_of::<Layout>();

    /// Whether the header is one of this version.
    pub fn is_valid(&self) -> bool {
        self.header.magic.load(Ordering::Acquire) == MAGIC
            && self.header.version.load(Ordering::Relaxed) == VERSION
            && self.header.size.load(Ordering::Relaxed) as usize == Layout::SIZE
    }

    /// Arbiter: writes the identity of a fresh, all-zero region.
    pub fn initialise(&self) {
        self.header.version.store(VERSION, Ordering::Relaxed);
        self.header.size.store(Layout::SIZE as u32, Ordering::Relaxed);
        self.header.magic.store(MAGIC, Ordering::Release);
    }
}

#[cfg(not(loom))]
const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Header, magic) == 0 && offset_of!(Header, version) == 8 && offset_of!(Header, size) == 12);
    assert!(offset_of!(Header, arbiter_pid) == 16 && offset_of!(Header, started) == 24);
    assert!(offset_of!(Header, heartbeat) == 32 && offset_of!(Header, map_budget) == 40);
    assert!(offset_of!(Header, map_tenants) == 48 && offset_of!(Header, doorbell) == 56);
    assert!(offset_of!(Header, gpus) == 256 && size_of::<Gpu>() == 256);
    assert!(size_of::<Header>() == 4096);
    assert!(offset_of!(Layout, slots) == 4096 && size_of::<Slot>() == 8192);
    assert!(size_of::<Layout>() == 4096 + SLOTS * 8192);
};
