//! The functions of memory whose addresses the program manages.

use super::{present, put};
use crate::objects::driver::driver;
use crate::objects::requests::HUGE_PAGE;
use crate::objects::{Outcome, current, virtual_memory};
use abi::cuda::*;
use std::ffi::{c_uint, c_void};
use units::{Bytes, DeviceVa};

/// cuda.h: `CU_MEM_ALLOCATION_TYPE_PINNED`, `CU_MEM_LOCATION_TYPE_DEVICE`.
const TYPE_PINNED: c_uint = 1;
/// cuda.h: `CU_MEM_ACCESS_FLAGS_PROT_NONE` and `_READ`; anything above writes as well.
const ACCESS_NONE: c_uint = 0;
const ACCESS_READ_WRITE: c_uint = 3;
/// cuda.h: `CU_MEM_HANDLE_TYPE_NONE` and `_POSIX_FILE_DESCRIPTOR`; `CU_MEM_ALLOCATION_COMP_NONE` and `_GENERIC`.
const HANDLE_NONE: c_uint = 0;
const HANDLE_POSIX_FD: c_uint = 1;
const COMPRESSION_NONE: u8 = 0;
const COMPRESSION_GENERIC: u8 = 1;

/// cuda.h: `CUmemAccessDesc`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Access {
    location: CUmemLocation,
    flags: c_uint,
}

const _: () = assert!(size_of::<Access>() == 12);

/// The properties that are asked for, if they can be had.
fn check(properties: *const CUmemAllocationProp) -> Outcome<CUmemAllocationProp> {
    if properties.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    // SAFETY: not null, so the caller's properties, as cuda.h demands.
    let properties = unsafe { properties.read() };
    if properties.r#type != TYPE_PINNED
        || properties.location.r#type != CU_MEM_LOCATION_TYPE_DEVICE
        || properties.location.id != 0
    {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    if ![COMPRESSION_NONE, COMPRESSION_GENERIC].contains(&properties.allocFlags.compressionType) {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    // Memory may be meant for others, though the simulated driver does not bring it to them.
    match properties.requestedHandleTypes {
        HANDLE_NONE | HANDLE_POSIX_FD => Ok(properties),
        _ => Err(CUDA_ERROR_NOT_SUPPORTED),
    }
}

/// A non-zero size in whole pages.
fn pages(bytes: usize) -> Outcome<Bytes> {
    let bytes = Bytes::new(bytes as u64);
    if bytes == Bytes::ZERO || !bytes.is_multiple_of(HUGE_PAGE) { Err(CUDA_ERROR_INVALID_VALUE) } else { Ok(bytes) }
}

export! {
    fn cuMemGetAllocationGranularity(bytes: *mut usize, properties: *const CUmemAllocationProp, option: c_uint) {
        driver()?;
        check(properties)?;
        // The least granularity is the one that is best (cuda.h: `CU_MEM_ALLOC_GRANULARITY_…`).
        if option > 1 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands; so below.
        unsafe { put(bytes, HUGE_PAGE.as_usize()) }
    }

    fn cuMemAddressReserve(
        address: *mut CUdeviceptr,
        bytes: usize,
        alignment: usize,
        _wanted: CUdeviceptr,
        flags: u64,
    ) {
        current::context()?;
        let alignment = if alignment == 0 { HUGE_PAGE } else { Bytes::new(alignment as u64) };
        if flags != 0 || address.is_null() || !alignment.get().is_power_of_two() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let alignment = if alignment < HUGE_PAGE { HUGE_PAGE } else { alignment };
        let va = driver()?.memory.reserve(pages(bytes)?, alignment)?;
        // SAFETY: as above.
        unsafe { put(address, va.get()) }
    }

    fn cuMemAddressFree(address: CUdeviceptr, bytes: usize) {
        current::context()?;
        let bytes = pages(bytes)?;
        let end = address.checked_add(bytes.get()).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        if virtual_memory::has_mappings(address..end) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        driver()?.memory.unreserve(DeviceVa::new(address), bytes)
    }

    fn cuMemCreate(
        handle: *mut CUmemGenericAllocationHandle,
        bytes: usize,
        properties: *const CUmemAllocationProp,
        flags: u64,
    ) {
        current::context()?;
        let CUmemAllocationProp { requestedHandleTypes: handle_types, allocFlags, .. } = check(properties)?;
        let bytes = pages(bytes)?;
        if flags != 0 || handle.is_null() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let compressible = allocFlags.compressionType == COMPRESSION_GENERIC;
        let made = virtual_memory::create(bytes, handle_types, allocFlags, compressible)?;
        // SAFETY: as above.
        unsafe { put(handle, made) }
    }

    fn cuMemRelease(handle: CUmemGenericAllocationHandle) {
        driver()?;
        virtual_memory::release(handle)
    }

    fn cuMemMap(address: CUdeviceptr, bytes: usize, offset: usize, handle: CUmemGenericAllocationHandle, flags: u64) {
        current::context()?;
        let driver = driver()?;
        // Parts of a granule are what the real driver does not support (recorded on an H200).
        let whole = pages(bytes).map_err(|code| if bytes == 0 { code } else { CUDA_ERROR_NOT_SUPPORTED })?;
        let (va, bytes, offset) = (DeviceVa::new(address), whole, Bytes::new(offset as u64));
        let object = virtual_memory::held(handle)?;
        let fits = offset.saturating_add(bytes) <= object.bytes && offset.is_multiple_of(HUGE_PAGE);
        let reserved = driver.memory.find(va).is_some_and(|it| !it.is_backed());
        if flags != 0 || !fits || !reserved || !va.is_aligned(HUGE_PAGE) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        driver.memory.check_addresses(va, bytes)?;
        virtual_memory::map(va, bytes, offset, object)
    }

    fn cuMemSetAccess(address: CUdeviceptr, bytes: usize, desc: *const c_void, count: usize) {
        current::context()?;
        if desc.is_null() || count != 1 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: not null, so the caller's one description, as cuda.h demands.
        let access = unsafe { desc.cast::<Access>().read_unaligned() };
        if access.location.r#type != CU_MEM_LOCATION_TYPE_DEVICE || access.location.id != 0 {
            return Err(CUDA_ERROR_INVALID_DEVICE);
        }
        if !(ACCESS_NONE..=ACCESS_READ_WRITE).contains(&access.flags) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        virtual_memory::set_access(address, pages(bytes)?, access.flags != ACCESS_NONE)
    }

    fn cuMemUnmap(address: CUdeviceptr, bytes: usize) {
        current::context()?.synchronize_alone()?;
        let (va, bytes) = (DeviceVa::new(address), pages(bytes)?);
        let reserved = driver()?.memory.find(va).is_some_and(|it| !it.is_backed());
        if reserved && !virtual_memory::has_mappings(address..address.saturating_add(bytes.get())) {
            // Nothing is mapped there (any more), which is no error (recorded on an H200).
            return Ok(());
        }
        virtual_memory::unmap(address, bytes)
    }

    fn cuMemGetAccess(flags: *mut u64, location: *const CUmemLocation, address: CUdeviceptr) {
        current::context()?;
        if location.is_null() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let mapping = virtual_memory::mapping_at(address)?;
        let access: c_uint = if mapping.accessible { ACCESS_READ_WRITE } else { 0 };
        // SAFETY: as above.
        unsafe { put(flags, u64::from(access)) }
    }

    fn cuMemGetAllocationPropertiesFromHandle(prop: *mut CUmemAllocationProp, handle: CUmemGenericAllocationHandle) {
        driver()?;
        let object = virtual_memory::held(handle)?;
        let found = CUmemAllocationProp {
            r#type: TYPE_PINNED,
            requestedHandleTypes: object.handle_types,
            location: CUmemLocation { r#type: CU_MEM_LOCATION_TYPE_DEVICE, id: 0 },
            win32HandleMetaData: core::ptr::null_mut(),
            allocFlags: object.flags,
        };
        // SAFETY: as above.
        unsafe { put(prop, found) }
    }

    /// The handle of the object behind an address is held once more.
    fn cuMemRetainAllocationHandle(handle: *mut CUmemGenericAllocationHandle, addr: *mut c_void) {
        driver()?;
        present(handle)?;
        let mapping = virtual_memory::mapping_at(addr as u64)?;
        // SAFETY: as above.
        unsafe { put(handle, virtual_memory::hold(mapping.object)) }
    }
}
