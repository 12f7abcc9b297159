//! Which of the region's GPUs a call is about, and the tenant's colour on it.

use crate::life::Joined;
use crate::{kernel, real};
use abi::cuda::{CUDA_SUCCESS, CUdevice};
use region::{ColorState, GpuKey, HashTable};
use settings::ColorChoice;
use std::sync::atomic::{AtomicU8, Ordering};

/// How many device ordinals are remembered.
const ORDINALS: usize = 16;

/// The region's entry of each device, by ordinal: 0 while not asked, 255 for none, else the index plus one.
#[derive(Default)]
pub(crate) struct Entries([AtomicU8; ORDINALS]);

const NONE: u8 = 255;

/// The region's index of the current context's GPU. Where the process sees one GPU only, the driver is not asked.
#[inline]
pub(crate) fn current(joined: &Joined) -> Option<usize> {
    if joined.has_one_gpu {
        return index_of(joined, 0);
    }
    let mut device: CUdevice = -1;
    // SAFETY: the function writes a device ordinal.
    if unsafe { real::cuCtxGetDevice.get()?(&mut device) } != CUDA_SUCCESS {
        return None;
    }
    index_of(joined, device)
}

fn index_of(joined: &Joined, device: CUdevice) -> Option<usize> {
    let entry = joined.gpus.0.get(usize::try_from(device).ok()?)?;
    match entry.load(Ordering::Relaxed) {
        0 => {
            let index = joined.region.layout().gpu_index(GpuKey::from_uuid(uuid_of(device)?));
            entry.store(index.map_or(NONE, |index| index as u8 + 1), Ordering::Relaxed);
            index
        }
        NONE => None,
        known => Some(usize::from(known) - 1),
    }
}

/// Whether the process sees one GPU only.
pub(crate) fn is_one() -> bool {
    let mut count = 0;
    // SAFETY: the function writes a count.
    let asked = real::cuDeviceGetCount.get().map(|ask| unsafe { ask(&mut count) });
    asked == Some(CUDA_SUCCESS) && count == 1
}

fn uuid_of(device: CUdevice) -> Option<[u8; 16]> {
    let mut uuid = [0; 16];
    // SAFETY: the function writes 16 bytes.
    (unsafe { real::cuDeviceGetUuid_v2.get()?(&mut uuid, device) } == CUDA_SUCCESS).then_some(uuid)
}

/// Whether memory on the GPU with this index may be coloured.
pub(crate) fn may_color(joined: &Joined, gpu: usize) -> bool {
    joined.region.layout().header.gpus[gpu].key().is_some_and(|key| color_on(joined, key).is_ok())
}

/// The hash of a GPU and the tenant's colour under it, or why there is none.
pub(crate) fn color_on(joined: &Joined, key: GpuKey) -> Result<(HashTable, u32), ColorState> {
    if joined.settings.color == ColorChoice::Off {
        return Err(ColorState::Off);
    }
    if kernel::driver_version().is_some_and(|version| !version.is_supported()) {
        return Err(ColorState::UnknownDriver);
    }
    let layout = joined.region.layout();
    let hash = layout.gpu_index(key).and_then(|index| layout.header.gpus[index].hash()).ok_or(ColorState::NoTable)?;
    if hash.by_side && joined.settings.color == ColorChoice::Auto {
        return Err(ColorState::NotAsked);
    }
    match joined.settings.color.resolve(joined.settings.class, hash.colors()) {
        Some(color) => Ok((hash, color)),
        None => Err(ColorState::NoSuchColor),
    }
}

/// Writes the tenant's colour on the device and its state into the region, and returns the state.
pub(crate) fn settle_color(joined: &Joined, device: CUdevice) -> ColorState {
    let answer = match uuid_of(device) {
        Some(uuid) => color_on(joined, GpuKey::from_uuid(uuid)),
        None => Err(ColorState::NoTable),
    };
    let (color, state) = match answer {
        Ok((_, color)) => (color, ColorState::On),
        Err(state) => (u32::MAX, state),
    };
    joined.tenant().color.store(color, Ordering::Relaxed);
    joined.tenant().color_state.store(state.code(), Ordering::Relaxed);
    state
}
