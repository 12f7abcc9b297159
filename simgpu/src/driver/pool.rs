//! Pools: where stream-ordered allocations come from.
//!
//! A pool gives memory back as it is freed; there is nothing to trim, and nothing is kept for the next allocation.

use super::handles::Handles;
use super::init::driver;
use super::stream::{DefaultStream, Stream};
use super::{Outcome, current, device, graph, lock, present, put};
use abi::cuda::*;
use std::collections::BTreeMap;
use std::ffi::{c_uint, c_void};
use std::sync::{Arc, Mutex, OnceLock};
use units::{Bytes, DeviceVa};

/// cuda.h: `CU_MEM_ALLOCATION_TYPE_PINNED`.
const TYPE_PINNED: c_uint = 1;
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
            handle_types: 0,
            location: CUmemLocation { r#type: CU_MEM_LOCATION_TYPE_DEVICE, id: 0 },
            win32: core::ptr::null_mut(),
            most: 0,
            usage: 0,
            reserved: [0; 54],
        }
    }

    /// Fails unless they ask for memory of the one device that stays in the process.
    pub(crate) fn check(&self) -> Outcome {
        if self.kind != TYPE_PINNED || !is_device(self.location) || self.reserved != [0; 54] {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        if self.handle_types != 0 { Err(CUDA_ERROR_NOT_SUPPORTED) } else { Ok(()) }
    }
}

/// A pool.
struct Pool {
    id: usize,
    /// The most bytes that it gives out; 0 for no such limit.
    most: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    used: u64,
    used_high: u64,
    threshold: u64,
    no_reuse: [bool; 3],
}

static POOLS: Handles<Pool> = Handles::new();
/// The device's first pool, and the one that allocations come from.
static DEFAULT: OnceLock<Arc<Pool>> = OnceLock::new();
static CURRENT: Mutex<Option<Arc<Pool>>> = Mutex::new(None);
/// What of each pool is in use.
static TAKEN: Mutex<BTreeMap<u64, (Arc<Pool>, u64)>> = Mutex::new(BTreeMap::new());

fn is_device(location: CUmemLocation) -> bool {
    location.r#type == CU_MEM_LOCATION_TYPE_DEVICE && location.id == 0
}

fn create(most: u64) -> Arc<Pool> {
    let id = super::handles::fresh();
    let pool = Arc::new(Pool { id, most, state: Mutex::default() });
    POOLS.insert(id, pool.clone());
    pool
}

fn default_pool() -> Arc<Pool> {
    DEFAULT.get_or_init(|| create(0)).clone()
}

fn current_pool() -> Arc<Pool> {
    lock(&CURRENT).clone().unwrap_or_else(default_pool)
}

fn find(pool: CUmemoryPool) -> Outcome<Arc<Pool>> {
    driver()?;
    default_pool();
    POOLS.get(pool).map_err(|_| CUDA_ERROR_INVALID_VALUE)
}

/// Allocates at once, which is earlier than the stream comes to it and so never wrong. A captured stream takes the
/// allocation as a node.
pub(crate) fn alloc(
    dptr: *mut CUdeviceptr,
    bytes: usize,
    pool: Option<CUmemoryPool>,
    stream: CUstream,
    default: DefaultStream,
) -> Outcome {
    let (context, driver) = (current::context()?, driver()?);
    let stream = Stream::resolve(stream, default)?;
    present(dptr)?;
    let pool = pool.map_or_else(|| Ok(current_pool()), find)?;
    if bytes == 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let va = if stream.is_capturing() {
        let (work, va) = graph::Work::alloc(bytes, context.id)?;
        stream.capture_work(work)?;
        va
    } else {
        let room = |state: &State| pool.most == 0 || state.used.saturating_add(bytes as u64) <= pool.most;
        if !room(&lock(&pool.state)) {
            return Err(CUDA_ERROR_OUT_OF_MEMORY);
        }
        let va = driver.memory.alloc(&driver.rm, Bytes::new(bytes as u64), context.id)?.get();
        let mut state = lock(&pool.state);
        state.used += bytes as u64;
        state.used_high = state.used_high.max(state.used);
        drop(state);
        lock(&TAKEN).insert(va, (pool, bytes as u64));
        va
    };
    // SAFETY: not null, and a place for the answer, as cuda.h demands.
    unsafe { put(dptr, va) }
}

/// Notes that memory goes, if it is a pool's.
pub(crate) fn forget(va: DeviceVa) {
    if let Some((pool, bytes)) = lock(&TAKEN).remove(&va.get()) {
        lock(&pool.state).used -= bytes;
    }
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
        properties.check()?;
        // SAFETY: not null, and a place for the answer, as cuda.h demands; so below.
        unsafe { put(pool, create(properties.most as u64).id as CUmemoryPool) }
    }

    /// What was allocated from it lives on.
    fn cuMemPoolDestroy(pool: CUmemoryPool) {
        let found = find(pool)?;
        if Arc::ptr_eq(&found, &default_pool()) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let _ = POOLS.remove(pool);
        let mut current = lock(&CURRENT);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &found)) {
            *current = None;
        }
        Ok(())
    }

    fn cuMemPoolTrimTo(pool: CUmemoryPool, _keep: usize) {
        find(pool).map(drop)
    }

    fn cuMemPoolSetAttribute(pool: CUmemoryPool, attr: c_uint, value: *mut c_void) {
        let pool = find(pool)?;
        present(value)?;
        let mut state = lock(&pool.state);
        // SAFETY: not null, so a value of the attribute's type, as cuda.h demands.
        unsafe {
            match attr {
                _ if REUSE.contains(&attr) => {
                    state.no_reuse[attr as usize - 1] = value.cast::<c_uint>().read_unaligned() == 0;
                }
                THRESHOLD => state.threshold = value.cast::<u64>().read_unaligned(),
                // The high marks can only be set to what is now.
                RESERVED_HIGH | USED_HIGH if value.cast::<u64>().read_unaligned() == 0 => state.used_high = state.used,
                _ => return Err(CUDA_ERROR_INVALID_VALUE),
            }
        }
        Ok(())
    }

    fn cuMemPoolGetAttribute(pool: CUmemoryPool, attr: c_uint, value: *mut c_void) {
        let pool = find(pool)?;
        let state = lock(&pool.state);
        // SAFETY: the caller passes null or a place for the attribute's type, as cuda.h demands.
        unsafe {
            match attr {
                _ if REUSE.contains(&attr) => put(value.cast(), c_uint::from(!state.no_reuse[attr as usize - 1])),
                THRESHOLD => put(value.cast(), state.threshold),
                RESERVED | USED => put(value.cast(), state.used),
                RESERVED_HIGH | USED_HIGH => put(value.cast(), state.used_high),
                _ => Err(CUDA_ERROR_INVALID_VALUE),
            }
        }
    }

    /// The device always reaches its own memory, and there is no other.
    fn cuMemPoolSetAccess(pool: CUmemoryPool, map: *const c_void, count: usize) {
        find(pool)?;
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
        find(pool)?;
        check_place(location, TYPE_PINNED)?;
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands; so below.
        unsafe { put(flags, ACCESS_READ_WRITE) }
    }

    fn cuMemSetMemPool(location: *mut CUmemLocation, kind: c_uint, pool: CUmemoryPool) {
        check_place(location, kind)?;
        let pool = find(pool)?;
        *lock(&CURRENT) = Some(pool);
        Ok(())
    }

    fn cuMemGetMemPool(pool: *mut CUmemoryPool, location: *mut CUmemLocation, kind: c_uint) {
        check_place(location, kind)?;
        // SAFETY: as above.
        unsafe { put(pool, current_pool().id as CUmemoryPool) }
    }

    fn cuMemGetDefaultMemPool(pool: *mut CUmemoryPool, location: *mut CUmemLocation, kind: c_uint) {
        check_place(location, kind)?;
        // SAFETY: as above.
        unsafe { put(pool, default_pool().id as CUmemoryPool) }
    }

    fn cuDeviceSetMemPool(device: CUdevice, pool: CUmemoryPool) {
        device::check(device)?;
        let pool = find(pool)?;
        *lock(&CURRENT) = Some(pool);
        Ok(())
    }

    fn cuDeviceGetMemPool(pool: *mut CUmemoryPool, device: CUdevice) {
        device::check(device)?;
        // SAFETY: as above.
        unsafe { put(pool, current_pool().id as CUmemoryPool) }
    }

    fn cuDeviceGetDefaultMemPool(pool: *mut CUmemoryPool, device: CUdevice) {
        device::check(device)?;
        // SAFETY: as above.
        unsafe { put(pool, default_pool().id as CUmemoryPool) }
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
