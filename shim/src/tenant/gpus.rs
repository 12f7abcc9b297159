//! The region's entries of the GPUs that this process uses.

use crate::driver::query;
use abi::cuda::CUdevice;
use region::{GpuKey, Layout};
use std::sync::atomic::{AtomicU8, Ordering};

/// Device ordinals that are remembered.
const ORDINALS: usize = 16;

/// The region's entry of each device, by ordinal.
pub(crate) struct Gpus {
    /// 0 while not asked, [`NONE`] where there is none, else the index plus one.
    entries: [AtomicU8; ORDINALS],
    /// Whether the process sees one GPU only, so that the driver need not be asked which is current.
    is_one: bool,
}

const NONE: u8 = 255;

impl Gpus {
    /// The GPUs of a process; nothing is asked of the driver before they are used.
    pub(crate) fn new(is_one: bool) -> Self {
        Gpus { entries: [const { AtomicU8::new(0) }; ORDINALS], is_one }
    }

    /// The region's index of the current context's GPU.
    #[inline]
    pub(crate) fn current(&self, layout: &Layout) -> Option<usize> {
        let device = if self.is_one { 0 } else { query::current_device()? };
        self.index_of(layout, device)
    }

    #[inline]
    fn index_of(&self, layout: &Layout, device: CUdevice) -> Option<usize> {
        let entry = self.entries.get(usize::try_from(device).ok()?)?;
        match entry.load(Ordering::Relaxed) {
            0 => {
                let index = layout.gpu_index(GpuKey::from_uuid(query::uuid(device)?));
                entry.store(index.map_or(NONE, |index| index as u8 + 1), Ordering::Relaxed);
                index
            }
            NONE => None,
            known => Some(usize::from(known) - 1),
        }
    }
}
