//! Memory whose addresses the program manages: `cuMemCreate`, `cuMemMap` and what belongs to them.

use super::handles::Handles;
use super::init::driver;
use super::rm::HUGE_PAGE;
use super::{Outcome, current, lock, put};
use abi::cuda::*;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::{Arc, Mutex};
use units::{Bytes, DeviceVa};

/// cuda.h: `CU_MEM_ALLOCATION_TYPE_PINNED`, `CU_MEM_LOCATION_TYPE_DEVICE`.
const TYPE_PINNED: c_int = 1;
const LOCATION_DEVICE: c_int = 1;
/// cuda.h: `CU_MEM_ACCESS_FLAGS_PROT_NONE` and `_READ`; anything above writes as well.
const ACCESS_NONE: c_int = 0;
const ACCESS_READ_WRITE: c_int = 3;

/// cuda.h: `CUmemLocation`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Location {
    kind: c_int,
    id: c_int,
}

/// cuda.h: `CUmemAllocationProp`; what follows the location is not looked at.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Properties {
    kind: c_int,
    handle_types: c_int,
    location: Location,
    win32: *mut c_void,
    flags: [u8; 8],
}

/// cuda.h: `CUmemAccessDesc`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Access {
    location: Location,
    flags: c_int,
}

const _: () = assert!(size_of::<Properties>() == 32 && size_of::<Access>() == 12);

/// Memory without an address. It goes when its handle is released and it is mapped nowhere.
struct Object {
    object: u32,
    bytes: Bytes,
}

impl Drop for Object {
    fn drop(&mut self) {
        if let Ok(driver) = driver() {
            driver.rm.free(self.object);
        }
    }
}

static OBJECTS: Handles<Object> = Handles::new();
static MAPPINGS: Mutex<BTreeMap<u64, Mapping>> = Mutex::new(BTreeMap::new());

/// An object at an address.
#[derive(Clone)]
struct Mapping {
    bytes: Bytes,
    offset: Bytes,
    object: Arc<Object>,
    accessible: bool,
}

fn check(properties: *const Properties) -> Outcome {
    if properties.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    // SAFETY: not null, so the caller's properties, as cuda.h demands.
    let properties = unsafe { properties.read() };
    if properties.kind != TYPE_PINNED || properties.location.kind != LOCATION_DEVICE || properties.location.id != 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    if properties.handle_types != 0 { Err(CUDA_ERROR_NOT_SUPPORTED) } else { Ok(()) }
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
    fn cuMemGetAllocationGranularity(bytes: *mut usize, properties: *const Properties, _option: c_int) {
        driver()?;
        check(properties)?;
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

    fn cuMemCreate(handle: *mut u64, bytes: usize, properties: *const Properties, flags: u64) {
        current::context()?;
        check(properties)?;
        let bytes = pages(bytes)?;
        if flags != 0 || handle.is_null() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let object = Object { object: driver()?.rm.alloc_memory(bytes)?, bytes };
        // SAFETY: as above.
        unsafe { put(handle, OBJECTS.add(Arc::new(object)) as u64) }
    }

    fn cuMemRelease(handle: u64) {
        driver()?;
        OBJECTS.remove(handle as *mut c_void).map(drop).map_err(|_| CUDA_ERROR_INVALID_VALUE)
    }

    fn cuMemMap(address: CUdeviceptr, bytes: usize, offset: usize, handle: u64, flags: u64) {
        current::context()?;
        let driver = driver()?;
        let (va, bytes, offset) = (DeviceVa::new(address), pages(bytes)?, Bytes::new(offset as u64));
        let object = OBJECTS.get(handle as *mut c_void).map_err(|_| CUDA_ERROR_INVALID_VALUE)?;
        let fits = offset.saturating_add(bytes) <= object.bytes && offset.is_multiple_of(HUGE_PAGE);
        let reserved = driver.memory.find(va).is_some_and(|it| !it.is_backed());
        if flags != 0 || !fits || !reserved || !va.is_aligned(HUGE_PAGE) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        driver.memory.check(va, bytes)?;
        // The kernel refuses what overlaps an earlier mapping.
        driver.rm.create_range(va, bytes).map_err(|_| CUDA_ERROR_INVALID_VALUE)?;
        lock(&MAPPINGS).insert(address, Mapping { bytes, offset, object, accessible: false });
        Ok(())
    }

    fn cuMemSetAccess(address: CUdeviceptr, bytes: usize, access: *const Access, count: usize) {
        current::context()?;
        let rm = &driver()?.rm;
        if access.is_null() || count != 1 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: not null, so the caller's one description, as cuda.h demands.
        let access = unsafe { access.read() };
        if access.location.kind != LOCATION_DEVICE || access.location.id != 0 {
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
        context.synchronize()?;
        let mut all = lock(&MAPPINGS);
        let gone = mappings_in(&all, address, pages(bytes)?)?;
        let gone: Vec<(u64, Mapping)> = gone.into_iter().filter_map(|va| Some((va, all.remove(&va)?))).collect();
        drop(all);
        for (va, mapping) in gone {
            rm.free_range(DeviceVa::new(va), mapping.bytes);
        }
        Ok(())
    }

    fn cuMemGetAccess(flags: *mut u64, location: *const Location, address: CUdeviceptr) {
        current::context()?;
        if location.is_null() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let all = lock(&MAPPINGS);
        let (_, mapping) = all.range(..=address).next_back().ok_or(CUDA_ERROR_INVALID_VALUE)?;
        let access: c_uint = if mapping.accessible { ACCESS_READ_WRITE as c_uint } else { 0 };
        // SAFETY: as above.
        unsafe { put(flags, u64::from(access)) }
    }
}
