//! The functions of pools.

use super::{device, present, put};
use crate::objects::current::{self, DefaultStream};
use crate::objects::driver::driver;
use crate::objects::graph::Work;
use crate::objects::pool::{self, Setting};
use crate::objects::{Outcome, capture};
use abi::cuda::*;
use std::ffi::{c_uint, c_void};
use units::Bytes;

/// cuda.h: `CU_MEM_ALLOCATION_TYPE_PINNED`.
const TYPE_PINNED: c_uint = 1;
/// cuda.h: `CU_MEM_HANDLE_TYPE_NONE` and `_POSIX_FILE_DESCRIPTOR`.
const HANDLE_NONE: c_uint = 0;
const HANDLE_POSIX_FD: c_uint = 1;
/// cuda.h: `CU_MEM_ACCESS_FLAGS_PROT_READWRITE`.
const ACCESS_READ_WRITE: c_uint = 3;
/// cuda.h: `CU_MEMPOOL_ATTR_…`: three switches, the threshold, and what is reserved and used, each with its high mark.
const REUSE: core::ops::RangeInclusive<c_uint> = 1..=3;
const THRESHOLD: c_uint = 4;
const RESERVED: c_uint = 5;
const RESERVED_HIGH: c_uint = 6;
const USED: c_uint = 7;
const USED_HIGH: c_uint = 8;
/// cuda.h: `CU_GRAPH_MEM_ATTR_…`: used and reserved, each with its high mark.
const GRAPH_ATTRIBUTES: core::ops::RangeInclusive<c_uint> = 0..=3;

/// cuda.h: `CUmemPoolProps`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Properties {
    kind: c_uint,
    handle_types: c_uint,
    location: CUmemLocation,
    win32: *mut c_void,
    most: usize,
    usage: u16,
    reserved: [u8; 54],
}

/// cuda.h: `CUmemAccessDesc`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Access {
    location: CUmemLocation,
    flags: c_uint,
}

const _: () = assert!(size_of::<Properties>() == 88 && size_of::<Access>() == 12);

impl Properties {
    /// Those of the device's first pool.
    pub(crate) fn default_pool() -> Self {
        Properties {
            kind: TYPE_PINNED,
            handle_types: HANDLE_NONE,
            location: CUmemLocation { r#type: CU_MEM_LOCATION_TYPE_DEVICE, id: 0 },
            win32: core::ptr::null_mut(),
            most: 0,
            usage: 0,
            reserved: [0; 54],
        }
    }

    /// Fails unless they ask for memory of the one device that stays in the process.
    pub(crate) fn check(&self) -> Outcome {
        self.check_place()?;
        if self.handle_types == HANDLE_NONE { Ok(()) } else { Err(CUDA_ERROR_NOT_SUPPORTED) }
    }

    /// The same, but the memory may be meant for others, though the simulated driver does not bring it to them.
    fn check_for_pool(&self) -> Outcome {
        self.check_place()?;
        if [HANDLE_NONE, HANDLE_POSIX_FD].contains(&self.handle_types) { Ok(()) } else { Err(CUDA_ERROR_NOT_SUPPORTED) }
    }

    fn check_place(&self) -> Outcome {
        if self.kind != TYPE_PINNED || !is_device(self.location) || self.reserved != [0; 54] {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        Ok(())
    }
}

fn is_device(location: CUmemLocation) -> bool {
    location.r#type == CU_MEM_LOCATION_TYPE_DEVICE && location.id == 0
}

/// Allocates at once, which is earlier than the stream comes to it and so never wrong. A captured stream takes the
/// allocation as a node.
pub(super) fn alloc(
    dptr: *mut CUdeviceptr,
    bytes: usize,
    pool: Option<CUmemoryPool>,
    stream: CUstream,
    default: DefaultStream,
) -> Outcome {
    let context = current::context()?;
    let stream = current::stream(stream, default)?;
    present(dptr)?;
    let pool = pool.map_or_else(|| Ok(pool::current()), pool::find)?;
    if bytes == 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let va = if stream.seat.is_captured() {
        let (work, va) = Work::alloc(bytes, context.id)?;
        stream.seat.push(work)?;
        va
    } else {
        capture::forbid()?;
        pool.take(Bytes::new(bytes as u64), context.id)?.get()
    };
    // SAFETY: not null, and a place for the answer, as cuda.h demands.
    unsafe { put(dptr, va) }
}

/// The one place that pools are for: pinned memory of the device.
fn check_place(location: *const CUmemLocation, kind: c_uint) -> Outcome {
    driver()?;
    present(location)?;
    // SAFETY: not null, so the caller's location, as cuda.h demands.
    let location = unsafe { location.read() };
    if kind == TYPE_PINNED && is_device(location) { Ok(()) } else { Err(CUDA_ERROR_INVALID_VALUE) }
}

export! {
    fn cuMemPoolCreate(pool: *mut CUmemoryPool, props: *const c_void) {
        driver()?;
        present(pool)?;
        present(props)?;
        // SAFETY: not null, so the caller's properties, as cuda.h demands.
        let properties = unsafe { props.cast::<Properties>().read_unaligned() };
        properties.check_for_pool()?;
        // SAFETY: not null, and a place for the answer, as cuda.h demands; so below.
        unsafe { put(pool, pool::create(properties.most as u64).id) }
    }

    /// Memory that was allocated from it lives on.
    fn cuMemPoolDestroy(pool: CUmemoryPool) {
        pool::find(pool)?.destroy()
    }

    fn cuMemPoolTrimTo(pool: CUmemoryPool, keep: usize) {
        capture::forbid()?;
        pool::find(pool)?.trim(Bytes::new(keep as u64))
    }

    fn cuMemPoolSetAttribute(pool: CUmemoryPool, attr: c_uint, value: *mut c_void) {
        let pool = pool::find(pool)?;
        present(value)?;
        // SAFETY: not null, so a value of the attribute's type, as cuda.h demands.
        unsafe {
            match attr {
                _ if REUSE.contains(&attr) => {
                    pool.set(Setting::Reuse(attr as usize - 1, value.cast::<c_uint>().read_unaligned() != 0));
                }
                THRESHOLD => pool.set(Setting::Threshold(Bytes::new(value.cast::<u64>().read_unaligned()))),
                // The high marks can only be set to what is now.
                RESERVED_HIGH if value.cast::<u64>().read_unaligned() == 0 => pool.reset_reserved(),
                USED_HIGH if value.cast::<u64>().read_unaligned() == 0 => pool.reset_used(),
                _ => return Err(CUDA_ERROR_INVALID_VALUE),
            }
        }
        Ok(())
    }

    fn cuMemPoolGetAttribute(pool: CUmemoryPool, attr: c_uint, value: *mut c_void) {
        let pool = pool::find(pool)?;
        // SAFETY: the caller passes null or a place for the attribute's type, as cuda.h demands.
        unsafe {
            match attr {
                _ if REUSE.contains(&attr) => put(value.cast(), c_uint::from(pool.reuses(attr as usize - 1))),
                THRESHOLD => put(value.cast(), pool.threshold().get()),
                RESERVED => put(value.cast(), pool.reserved().now.get()),
                RESERVED_HIGH => put(value.cast(), pool.reserved().high.get()),
                USED => put(value.cast(), pool.used().now.get()),
                USED_HIGH => put(value.cast(), pool.used().high.get()),
                _ => Err(CUDA_ERROR_INVALID_VALUE),
            }
        }
    }

    /// The device always reaches its own memory, and there is no other.
    fn cuMemPoolSetAccess(pool: CUmemoryPool, map: *const c_void, count: usize) {
        pool::find(pool)?;
        present(map)?;
        if count != 1 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: not null, so the caller's one description, as cuda.h demands.
        let access = unsafe { map.cast::<Access>().read_unaligned() };
        match access.flags {
            _ if !is_device(access.location) => Err(CUDA_ERROR_INVALID_DEVICE),
            ACCESS_READ_WRITE => Ok(()),
            _ => Err(CUDA_ERROR_INVALID_VALUE),
        }
    }

    fn cuMemPoolGetAccess(flags: *mut c_uint, pool: CUmemoryPool, location: *mut CUmemLocation) {
        pool::find(pool)?;
        check_place(location, TYPE_PINNED)?;
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands; so below.
        unsafe { put(flags, ACCESS_READ_WRITE) }
    }

    fn cuMemSetMemPool(location: *mut CUmemLocation, kind: c_uint, pool: CUmemoryPool) {
        check_place(location, kind)?;
        let pool = pool::find(pool)?;
        pool.make_current();
        Ok(())
    }

    fn cuMemGetMemPool(pool: *mut CUmemoryPool, location: *mut CUmemLocation, kind: c_uint) {
        check_place(location, kind)?;
        // SAFETY: as above.
        unsafe { put(pool, pool::current().id) }
    }

    fn cuMemGetDefaultMemPool(pool: *mut CUmemoryPool, location: *mut CUmemLocation, kind: c_uint) {
        check_place(location, kind)?;
        // SAFETY: as above.
        unsafe { put(pool, pool::default().id) }
    }

    fn cuDeviceSetMemPool(device: CUdevice, pool: CUmemoryPool) {
        device::check(device)?;
        let pool = pool::find(pool)?;
        pool.make_current();
        Ok(())
    }

    fn cuDeviceGetMemPool(pool: *mut CUmemoryPool, device: CUdevice) {
        device::check(device)?;
        // SAFETY: as above.
        unsafe { put(pool, pool::current().id) }
    }

    fn cuDeviceGetDefaultMemPool(pool: *mut CUmemoryPool, device: CUdevice) {
        device::check(device)?;
        // SAFETY: as above.
        unsafe { put(pool, pool::default().id) }
    }

    /// Graphs' memory is not counted.
    fn cuDeviceGetGraphMemAttribute(device: CUdevice, attr: c_uint, value: *mut c_void) {
        device::check(device)?;
        if !GRAPH_ATTRIBUTES.contains(&attr) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: as above.
        unsafe { put(value.cast(), 0u64) }
    }

    /// Only the high marks can be set, and only to zero.
    fn cuDeviceSetGraphMemAttribute(device: CUdevice, attr: c_uint, value: *mut c_void) {
        device::check(device)?;
        present(value)?;
        // SAFETY: not null, so a value of the attribute's type, as cuda.h demands.
        let zero = unsafe { value.cast::<u64>().read_unaligned() } == 0;
        if [1, 3].contains(&attr) && zero { Ok(()) } else { Err(CUDA_ERROR_INVALID_VALUE) }
    }

    fn cuDeviceGraphMemTrim(device: CUdevice) {
        device::check(device)
    }
}
