//! Memory whose addresses the program manages: objects without an address, and where they are mapped.

use super::driver::driver;
use super::requests::Purpose;
use super::{Outcome, handles, lock};
use abi::cuda::*;
use std::collections::BTreeMap;
use std::ffi::c_uint;
use std::sync::{Arc, Mutex};
use units::{Bytes, DeviceVa};

/// Memory without an address. It goes when nobody holds its handle and it is mapped nowhere.
pub(crate) struct Object {
    /// The number that the program knows it by, as long as it lives.
    handle: CUmemGenericAllocationHandle,
    object: u32,
    pub(crate) bytes: Bytes,
    pub(crate) handle_types: c_uint,
    pub(crate) flags: CUmemAllocationPropFlags,
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
pub(crate) fn hold(object: Arc<Object>) -> CUmemGenericAllocationHandle {
    let handle = object.handle;
    lock(&HELD).entry(handle).or_insert((object, 0)).1 += 1;
    handle
}

/// Takes one hold of a handle away.
pub(crate) fn release(handle: CUmemGenericAllocationHandle) -> Outcome {
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
pub(crate) fn held(handle: CUmemGenericAllocationHandle) -> Outcome<Arc<Object>> {
    lock(&HELD).get(&handle).map(|(object, _)| object.clone()).ok_or(CUDA_ERROR_INVALID_VALUE)
}

/// An object at an address.
#[derive(Clone)]
pub(crate) struct Mapping {
    bytes: Bytes,
    offset: Bytes,
    pub(crate) object: Arc<Object>,
    pub(crate) accessible: bool,
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

/// Makes an object; returns its handle.
pub(crate) fn create(
    bytes: Bytes,
    handle_types: c_uint,
    flags: CUmemAllocationPropFlags,
    compressible: bool,
) -> Outcome<CUmemGenericAllocationHandle> {
    let purpose = if compressible { Purpose::Compressible } else { Purpose::Piece };
    let object = driver()?.rm.alloc_memory(bytes, purpose)?;
    Ok(hold(Arc::new(Object { handle: handles::fresh(), object, bytes, handle_types, flags })))
}

/// Maps a part of an object into a reservation; nobody may touch it yet.
pub(crate) fn map(va: DeviceVa, bytes: Bytes, offset: Bytes, object: Arc<Object>) -> Outcome {
    // The resource manager refuses what overlaps an earlier mapping.
    driver()?.rm.create_range(va, bytes).map_err(|_| CUDA_ERROR_INVALID_VALUE)?;
    lock(&MAPPINGS).insert(va.get(), Mapping { bytes, offset, object, accessible: false });
    Ok(())
}

/// Lets the device touch the mappings that fill a stretch, or not.
pub(crate) fn set_access(address: u64, bytes: Bytes, wanted: bool) -> Outcome {
    let rm = &driver()?.rm;
    let all = lock(&MAPPINGS);
    let found: Vec<(u64, Mapping)> =
        mappings_in(&all, address, bytes)?.into_iter().filter_map(|va| Some((va, all.get(&va)?.clone()))).collect();
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

/// Takes the mappings that fill a stretch away.
pub(crate) fn unmap(address: u64, bytes: Bytes) -> Outcome {
    let rm = &driver()?.rm;
    let mut all = lock(&MAPPINGS);
    let gone = mappings_in(&all, address, bytes)?;
    let gone: Vec<(u64, Mapping)> = gone.into_iter().filter_map(|va| Some((va, all.remove(&va)?))).collect();
    drop(all);
    for (va, mapping) in gone {
        rm.free_range(DeviceVa::new(va), mapping.bytes);
    }
    Ok(())
}

/// Whether something is mapped in a stretch.
pub(crate) fn has_mappings(stretch: std::ops::Range<u64>) -> bool {
    lock(&MAPPINGS).range(stretch).next().is_some()
}

/// The mapping that an address lies in.
pub(crate) fn mapping_at(address: u64) -> Outcome<Mapping> {
    let all = lock(&MAPPINGS);
    let found = all.range(..=address).next_back().filter(|(start, it)| address - *start < it.bytes.get());
    found.map(|(_, mapping)| mapping.clone()).ok_or(CUDA_ERROR_INVALID_VALUE)
}
