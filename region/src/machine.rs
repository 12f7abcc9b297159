//! The region's first page: the machine and its arbiter.

use crate::doorbell::Doorbell;
use crate::gpu::Gpu;
use crate::shared::shared;
use crate::sync::{AtomicU32, AtomicU64};
use crate::terms::GPUS;

/// The first eight bytes of every region.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"MISSILE\x01");
/// The layout's version. Any change of a field's place, width or meaning raises it.
pub(crate) const VERSION: u32 = 9;

shared! {
    /// The machine and its arbiter. Written by the arbiter, but for the doorbell and the GPU keys.
    pub struct Header: 4096, align 4096 => {
        /// The mark of a region's file. Written before the file gets its name.
        0 pub magic: AtomicU64,
        /// The version of the layout. Written before the file gets its name.
        8 pub version: AtomicU32,
        /// The size of the region in bytes. Written before the file gets its name.
        12 pub size: AtomicU32,
        /// The arbiter's process id, as it sees itself; for people and for `missile down`.
        16 pub arbiter_pid: AtomicU32,
        20 reserved: AtomicU32,
        /// The start of the arbiter, in nanoseconds of the monotonic clock.
        24 pub started: AtomicU64,
        /// The number of UVM maps that all tenants together may hold.
        32 pub map_budget: AtomicU64,
        /// The number of tenants that have a guaranteed share of them ([`crate::Shares`]).
        40 pub map_tenants: AtomicU64,
        /// Wakes the arbiter.
        128 pub doorbell: Doorbell,
        /// The GPUs, in the order in which tenants named them.
        256 pub gpus: [Gpu; GPUS],
    }
}
