//! Memory whose addresses the program manages: `cuMemCreate`, `cuMemMap` and what belongs to them.

use super::handles;
use super::init::driver;
use super::rm::{HUGE_PAGE, Purpose};
use super::{Outcome, current, lock, present, put};
use abi::cuda::*;
use std::collections::BTreeMap;
use std::ffi::{c_uint, c_void};
use std::sync::{Arc, Mutex};
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

/// Memory without an address. It goes when nobody holds its handle and it is mapped nowhere.
struct Object {
    /// The number that the program knows it by, as long as it lives.
    handle: CUmemGenericAllocationHandle,
    object: u32,
    bytes: Bytes,
    handle_types: c_uint,
    flags: CUmemAllocationPropFlags,
}

impl Drop for Object {
    fn drop(&mut self) {
        if let Ok(driver) = driver() {
            driver.rm.free(self.object);
        }
    }
}

/// The handles that the program holds, and how often it does.
static HELD: Mutex<BTreeMap<CUmemGenericAllocationHandle, (Arc<Object>, u32)>> = Mutex::new(BTreeMap::new());
static MAPPINGS: Mutex<BTreeMap<u64, Mapping>> = Mutex::new(BTreeMap::new());

/// Lets the program hold an object once more; returns the handle, which is always the same: "The handle is guaranteed
/// to be the same handle value used to map the memory. [...] The returned handle must be released with corresponding
/// number of calls to `cuMemRelease`" (cuda.h on `cuMemRetainAllocationHandle`).
fn hold(object: Arc<Object>) -> CUmemGenericAllocationHandle {
    let handle = object.handle;
    lock(&HELD).entry(handle).or_insert((object, 0)).1 += 1;
    handle
}

/// Takes one hold of a handle away.
fn release(handle: CUmemGenericAllocationHandle) -> Outcome {
    let mut held = lock(&HELD);
    let (_, holds) = held.get_mut(&handle).ok_or(CUDA_ERROR_INVALID_VALUE)?;
    *holds -= 1;
    let last = if *holds == 0 { held.remove(&handle) } else { None };
    // Its end asks the resource manager, which may take long.
    drop(held);
    drop(last);
    Ok(())
}

/// The object behind a handle that the program holds.
fn held(handle: CUmemGenericAllocationHandle) -> Outcome<Arc<Object>> {
    lock(&HELD).get(&handle).map(|(object, _)| object.clone()).ok_or(CUDA_ERROR_INVALID_VALUE)
}

/// An object at an address.
#[derive(Clone)]
struct Mapping {
    bytes: Bytes,
    offset: Bytes,
    object: Arc<Object>,
    accessible: bool,
}

/// What is asked for, if it can be had.
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

/// The addresses of the mappings that fill a stretch exactly.
fn mappings_in(all: &BTreeMap<u64, Mapping>, va: u64, bytes: Bytes) -> Outcome<Vec<u64>> {
    let end = va.checked_add(bytes.get()).ok_or(CUDA_ERROR_INVALID_VALUE)?;
    let mut next = va;
    let mut found = Vec::new();
    while next < end {
        let mapping = all.get(&next).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        found.push(next);
        next += mapping.bytes.get();
    }
    if next == end { Ok(found) } else { Err(CUDA_ERROR_INVALID_VALUE) }
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
        let mappings = lock(&MAPPINGS);
        if mappings.range(address..end).next().is_some() {
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
        let purpose = if compressible { Purpose::Compressible } else { Purpose::Piece };
        let object = driver()?.rm.alloc_memory(bytes, purpose)?;
        let object = Object { handle: handles::fresh(), object, bytes, handle_types, flags: allocFlags };
        // SAFETY: as above.
        unsafe { put(handle, hold(Arc::new(object))) }
    }

    fn cuMemRelease(handle: CUmemGenericAllocationHandle) {
        driver()?;
        release(handle)
    }

    fn cuMemMap(address: CUdeviceptr, bytes: usize, offset: usize, handle: CUmemGenericAllocationHandle, flags: u64) {
        current::context()?;
        let driver = driver()?;
        let (va, bytes, offset) = (DeviceVa::new(address), pages(bytes)?, Bytes::new(offset as u64));
        let object = held(handle)?;
        let fits = offset.saturating_add(bytes) <= object.bytes && offset.is_multiple_of(HUGE_PAGE);
        let reserved = driver.memory.find(va).is_some_and(|it| !it.is_backed());
        if flags != 0 || !fits || !reserved || !va.is_aligned(HUGE_PAGE) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        driver.memory.check_addresses(va, bytes)?;
        // The kernel refuses what overlaps an earlier mapping.
        driver.rm.create_range(va, bytes).map_err(|_| CUDA_ERROR_INVALID_VALUE)?;
        lock(&MAPPINGS).insert(address, Mapping { bytes, offset, object, accessible: false });
        Ok(())
    }

    fn cuMemSetAccess(address: CUdeviceptr, bytes: usize, desc: *const c_void, count: usize) {
        current::context()?;
        let rm = &driver()?.rm;
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
        let wanted = access.flags != ACCESS_NONE;
        let all = lock(&MAPPINGS);
        let found: Vec<(u64, Mapping)> = mappings_in(&all, address, pages(bytes)?)?
            .into_iter()
            .filter_map(|va| Some((va, all.get(&va)?.clone())))
            .collect();
        drop(all);
        for (va, mapping) in found {
            match (mapping.accessible, wanted) {
                (false, true) => rm.map(DeviceVa::new(va), mapping.bytes, mapping.offset, mapping.object.object)?,
                (true, false) => rm.unmap(DeviceVa::new(va), mapping.bytes)?,
                _ => {}
            }
            if let Some(mapping) = lock(&MAPPINGS).get_mut(&va) {
                mapping.accessible = wanted;
            }
        }
        Ok(())
    }

    fn cuMemUnmap(address: CUdeviceptr, bytes: usize) {
        let context = current::context()?;
        let rm = &driver()?.rm;
        context.synchronize_alone()?;
        let mut all = lock(&MAPPINGS);
        let gone = mappings_in(&all, address, pages(bytes)?)?;
        let gone: Vec<(u64, Mapping)> = gone.into_iter().filter_map(|va| Some((va, all.remove(&va)?))).collect();
        drop(all);
        for (va, mapping) in gone {
            rm.free_range(DeviceVa::new(va), mapping.bytes);
        }
        Ok(())
    }

    fn cuMemGetAccess(flags: *mut u64, location: *const CUmemLocation, address: CUdeviceptr) {
        current::context()?;
        if location.is_null() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let all = lock(&MAPPINGS);
        let mapping = all.range(..=address).next_back().filter(|(start, it)| address - *start < it.bytes.get());
        let (_, mapping) = mapping.ok_or(CUDA_ERROR_INVALID_VALUE)?;
        let access: c_uint = if mapping.accessible { ACCESS_READ_WRITE } else { 0 };
        // SAFETY: as above.
        unsafe { put(flags, u64::from(access)) }
    }

    fn cuMemGetAllocationPropertiesFromHandle(prop: *mut CUmemAllocationProp, handle: CUmemGenericAllocationHandle) {
        driver()?;
        let object = held(handle)?;
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
        let address = addr as u64;
        let all = lock(&MAPPINGS);
        let mapping = all.range(..=address).next_back().filter(|(start, it)| address - *start < it.bytes.get());
        let (_, mapping) = mapping.ok_or(CUDA_ERROR_INVALID_VALUE)?;
        // SAFETY: as above.
        unsafe { put(handle, hold(mapping.object.clone())) }
    }
}
