//! The one device: its name, identity and attributes.

use super::{present, put, subscribers};
use crate::objects::Outcome;
use crate::objects::driver::driver;
use crate::os::rm::groups::has_mps;
use abi::cuda::*;
use abi::qmd::SUBSCRIBERS;
use std::ffi::{c_char, c_int, c_void};
use std::ptr::null;

/// Fails unless `device` is the one device.
pub(crate) fn check(device: CUdevice) -> Outcome {
    driver()?;
    if device == 0 { Ok(()) } else { Err(CUDA_ERROR_INVALID_DEVICE) }
}

/// The value of a `CU_DEVICE_ATTRIBUTE_…`; 0 for those that say "no" or are not known.
fn attribute(attribute: c_int) -> Outcome<c_int> {
    let spec = driver()?.machine.spec();
    let khz = spec.clock_mhz as c_int * 1000;
    Ok(match attribute {
        1..=3 => 1024,                  // MAX_THREADS_PER_BLOCK, MAX_BLOCK_DIM_X and _Y
        4 => 64,                        // MAX_BLOCK_DIM_Z
        5 => c_int::MAX,                // MAX_GRID_DIM_X
        6 | 7 => 65_535,                // MAX_GRID_DIM_Y and _Z
        8 => 48 << 10,                  // MAX_SHARED_MEMORY_PER_BLOCK
        9 => 64 << 10,                  // TOTAL_CONSTANT_MEMORY
        10 => 32,                       // WARP_SIZE
        11 => c_int::MAX,               // MAX_PITCH
        12 | 82 => 64 << 10,            // MAX_REGISTERS_PER_BLOCK and _PER_MULTIPROCESSOR
        13 | 36 => khz,                 // CLOCK_RATE, MEMORY_CLOCK_RATE
        14 => 512,                      // TEXTURE_ALIGNMENT
        15 | 19 | 31 => 1,              // GPU_OVERLAP, CAN_MAP_HOST_MEMORY, CONCURRENT_KERNELS
        41 | 78 | 79 => 1,              // UNIFIED_ADDRESSING, STREAM_PRIORITIES_, GLOBAL_L1_CACHE_SUPPORTED
        16 => spec.sms as c_int,        // MULTIPROCESSOR_COUNT
        33 => 1,                        // PCI_BUS_ID; domain (50) and device (34) are 0
        37 => 4096,                     // GLOBAL_MEMORY_BUS_WIDTH
        38 => spec.l2.get() as c_int,   // L2_CACHE_SIZE
        39 => 2048,                     // MAX_THREADS_PER_MULTIPROCESSOR
        40 => 2,                        // ASYNC_ENGINE_COUNT
        75 => spec.compute.0 as c_int,  // COMPUTE_CAPABILITY_MAJOR
        76 => spec.compute.1 as c_int,  // COMPUTE_CAPABILITY_MINOR
        81 => 228 << 10,                // MAX_SHARED_MEMORY_PER_MULTIPROCESSOR
        91 => 1,                        // CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM
        92 | 94 | 122 | 123 | 124 => 1, // stream memory operations, 32 bits, 64 bits and WAIT_VALUE_NOR
        97 => 227 << 10,                // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
        99 | 102 | 115 => 1,            // HOST_REGISTER_SUPPORTED, VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, MEMORY_POOLS
        106 => 32,                      // MAX_BLOCKS_PER_MULTIPROCESSOR
        133 => c_int::from(has_mps()),  // MPS_ENABLED
        _ => 0,
    })
}

export! {
    fn cuDeviceGet(device: *mut CUdevice, ordinal: c_int) {
        check(ordinal)?;
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands; so below.
        unsafe { put(device, ordinal) }
    }

    fn cuDeviceGetCount(count: *mut c_int) {
        driver()?;
        // SAFETY: as above.
        unsafe { put(count, 1) }
    }

    fn cuDeviceGetName(name: *mut c_char, length: c_int, device: CUdevice) {
        check(device)?;
        let Some(room) = usize::try_from(length).ok().filter(|&room| room > 0 && !name.is_null()) else {
            return Err(CUDA_ERROR_INVALID_VALUE);
        };
        let text = driver()?.machine.spec().name.as_bytes();
        let text = &text[..text.len().min(room - 1)];
        // SAFETY: `name` has room for `length` bytes, of which at most that many, the final NUL included, are written.
        unsafe {
            name.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len());
            name.add(text.len()).write(0);
        }
        Ok(())
    }

    fn cuDeviceGetUuid(uuid: *mut [u8; 16], device: CUdevice) {
        check(device)?;
        // SAFETY: as above; `CUuuid` is 16 bytes.
        unsafe { put(uuid, driver()?.machine.spec().uuid) }
    }

    fn cuDeviceGetUuid_v2(uuid: *mut [u8; 16], device: CUdevice) {
        check(device)?;
        // SAFETY: as above.
        unsafe { put(uuid, driver()?.machine.spec().uuid) }
    }

    fn cuDeviceTotalMem_v2(bytes: *mut usize, device: CUdevice) {
        check(device)?;
        // SAFETY: as above.
        unsafe { put(bytes, driver()?.machine.spec().vram.as_usize()) }
    }

    fn cuDeviceGetAttribute(value: *mut c_int, number: c_int, device: CUdevice) {
        check(device)?;
        // SAFETY: as above.
        unsafe { put(value, attribute(number)?) }
    }

    fn cuDeviceGetPCIBusId(text: *mut c_char, length: c_int, device: CUdevice) {
        check(device)?;
        let id = c"0000:01:00.0";
        if text.is_null() || usize::try_from(length).map_or(true, |room| room < id.count_bytes() + 1) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: `text` has room for `length` bytes, which is enough for the id and its NUL.
        unsafe { text.copy_from_nonoverlapping(id.as_ptr(), id.count_bytes() + 1) };
        Ok(())
    }

    /// Of the private tables of the real library there is only that of [`subscribers`].
    fn cuGetExportTable(table: *mut *const c_void, id: *const c_void) {
        present(id)?;
        // SAFETY: not null, so the caller's UUID of 16 bytes.
        let found = if unsafe { id.cast::<[u8; 16]>().read() } == SUBSCRIBERS { subscribers::table() } else { null() };
        // SAFETY: as above.
        unsafe { put(table, found) }?;
        if found.is_null() { Err(CUDA_ERROR_NOT_FOUND) } else { Ok(()) }
    }
}
