//! The shared state file: a header, then one word for each granule of VRAM.

use super::mapping::Mapping;
use super::{MAX_PROCESSES, Machine};
use crate::spec::{GRANULE, GpuSpec};
use crate::timing;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use units::Bytes;

const MAGIC: u64 = u64::from_le_bytes(*b"simgpu-1");

/// The header. All-zero bytes are a valid value, that of a machine which nobody has begun.
#[repr(C)]
pub(super) struct State {
    magic: AtomicU64,
    /// Tells apart layouts and GPUs, so that no process misreads another's state.
    fingerprint: AtomicU64,
    /// The place at which the next search for VRAM begins.
    pub(super) next_fit: AtomicU32,
    /// UVM handles held, by slot. One word a process, so that a death gives back exactly its own.
    pub(super) handles: [AtomicU32; MAX_PROCESSES],
    pub(super) timing: timing::Shared,
}

const _: () = assert!(align_of::<State>() <= 4096, "a mapping is aligned to a page, not to more");

impl State {
    pub(super) fn begin(&self, spec: &GpuSpec) {
        self.fingerprint.store(fingerprint(spec), Ordering::Relaxed);
        self.magic.store(MAGIC, Ordering::Release);
    }

    pub(super) fn is_of(&self, spec: &GpuSpec) -> bool {
        self.magic.load(Ordering::Acquire) == MAGIC && self.fingerprint.load(Ordering::Relaxed) == fingerprint(spec)
    }
}

fn fingerprint(spec: &GpuSpec) -> u64 {
    let mut hasher = DefaultHasher::new();
    (format!("{spec:?}"), size_of::<State>(), env!("CARGO_PKG_VERSION")).hash(&mut hasher);
    hasher.finish()
}

const fn header_bytes() -> usize {
    size_of::<State>().next_multiple_of(64)
}

fn granules(spec: &GpuSpec) -> usize {
    (spec.vram.get() / GRANULE.get()) as usize
}

pub(super) fn state_bytes(spec: &GpuSpec) -> Bytes {
    Bytes::new((header_bytes() + granules(spec) * size_of::<AtomicU32>()) as u64)
}

/// The header in a mapping of the state file, which must have been made with [`state_bytes`].
pub(super) fn state(mapping: &Mapping) -> &State {
    assert!(mapping.bytes().as_usize() >= header_bytes());
    // SAFETY: the mapping starts at a page, is at least as long as a header (just checked), lives as long as the
    // reference, and any bytes are a valid `State`, which consists of atomics only.
    unsafe { &*mapping.start().cast::<State>() }
}

impl Machine {
    /// Owner of each granule: 0 for nobody, otherwise the slot and one.
    pub(super) fn frames(&self) -> &[AtomicU32] {
        assert!(self.state.bytes() >= state_bytes(&self.spec));
        // SAFETY: `state_bytes` leaves room for that many words behind the header (just checked), `header_bytes` is
        // a multiple of 64 and so of a word's alignment, and any bytes are valid atomics.
        unsafe {
            let first = self.state.start().add(header_bytes()).cast::<AtomicU32>();
            std::slice::from_raw_parts(first, granules(&self.spec))
        }
    }
}
