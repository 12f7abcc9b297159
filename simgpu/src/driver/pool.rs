//! Pools: where stream-ordered allocations come from.
//!
//! A pool keeps what is freed for later allocations. What it holds above its threshold and does not need goes back as
//! the program waits for a stream, an event or a context.

mod arena;

use super::handles::Handles;
use super::init::driver;
use super::stream::{DefaultStream, Stream};
use super::{Outcome, current, device, graph, lock, present, put};
use abi::cuda::*;
use arena::Arena;
use std::collections::BTreeMap;
use std::ffi::{c_uint, c_void};
use std::sync::{Arc, Mutex, OnceLock};
use units::{Bytes, DeviceVa};

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

/// A pool.
struct Pool {
    id: CUmemoryPool,
    arena: Arena,
    settings: Mutex<Settings>,
}

#[derive(Default)]
struct Settings {
    /// How much it may hold without need when the program has waited.
    threshold: Bytes,
    no_reuse: [bool; 3],
}

static POOLS: Handles<CUmemoryPool, Pool> = Handles::new();
/// The device's first pool, and the one that allocations come from.
static DEFAULT: OnceLock<Arc<Pool>> = OnceLock::new();
static CURRENT: Mutex<Option<Arc<Pool>>> = Mutex::new(None);
/// What is allocated, with the pool that it came from.
static TAKEN: Mutex<BTreeMap<u64, (Arc<Pool>, Bytes)>> = Mutex::new(BTreeMap::new());

fn is_device(location: CUmemLocation) -> bool {
    location.r#type == CU_MEM_LOCATION_TYPE_DEVICE && location.id == 0
}

/// Makes a pool that gives out so many bytes at most; 0 for no such limit.
fn create(most: u64) -> Arc<Pool> {
    let id = super::handles::fresh();
    let most = (most != 0).then_some(Bytes::new(most));
    let pool = Arc::new(Pool { id, arena: Arena::new(most), settings: Mutex::default() });
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
        let bytes = Bytes::new(bytes as u64);
        let taken = pool.arena.take(driver, bytes).or_else(|code| {
            // There may be memory that pools hold without need.
            if code != CUDA_ERROR_OUT_OF_MEMORY {
                return Err(code);
            }
            POOLS.all().iter().for_each(|pool| pool.arena.trim_if_idle(&driver.rm, Bytes::ZERO));
            pool.arena.take(driver, bytes)
        });
        let va = taken?;
        lock(&TAKEN).insert(va.get(), (pool, bytes));
        driver.memory.add_pooled(va, bytes, context.id);
        va.get()
    };
    // SAFETY: not null, and a place for the answer, as cuda.h demands.
    unsafe { put(dptr, va) }
}

/// Gives memory back to its pool, after the books of the device's memory forgot it: from now on another allocation may
/// have its address.
pub(crate) fn give_back(va: DeviceVa) {
    // Whoever frees the last memory of a destroyed pool ends it, without a lock.
    let taken = lock(&TAKEN).remove(&va.get());
    if let Some((pool, bytes)) = taken {
        pool.arena.give_back(va, bytes);
    }
}

/// Gives back what pools hold above their thresholds and do not need, now that the program has waited for work to end.
pub(crate) fn after_waiting() {
    if let Ok(driver) = driver() {
        for pool in POOLS.all() {
            let threshold = lock(&pool.settings).threshold;
            pool.arena.trim_if_idle(&driver.rm, threshold);
        }
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
        properties.check_for_pool()?;
        // SAFETY: not null, and a place for the answer, as cuda.h demands; so below.
        unsafe { put(pool, create(properties.most as u64).id) }
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

    fn cuMemPoolTrimTo(pool: CUmemoryPool, keep: usize) {
        find(pool)?.arena.trim(&driver()?.rm, Bytes::new(keep as u64));
        Ok(())
    }

    fn cuMemPoolSetAttribute(pool: CUmemoryPool, attr: c_uint, value: *mut c_void) {
        let pool = find(pool)?;
        present(value)?;
        let mut settings = lock(&pool.settings);
        // SAFETY: not null, so a value of the attribute's type, as cuda.h demands.
        unsafe {
            match attr {
                _ if REUSE.contains(&attr) => {
                    settings.no_reuse[attr as usize - 1] = value.cast::<c_uint>().read_unaligned() == 0;
                }
                THRESHOLD => settings.threshold = Bytes::new(value.cast::<u64>().read_unaligned()),
                // The high marks can only be set to what is now.
                RESERVED_HIGH if value.cast::<u64>().read_unaligned() == 0 => pool.arena.reset_reserved(),
                USED_HIGH if value.cast::<u64>().read_unaligned() == 0 => pool.arena.reset_used(),
                _ => return Err(CUDA_ERROR_INVALID_VALUE),
            }
        }
        Ok(())
    }

    fn cuMemPoolGetAttribute(pool: CUmemoryPool, attr: c_uint, value: *mut c_void) {
        let pool = find(pool)?;
        let settings = lock(&pool.settings);
        // SAFETY: the caller passes null or a place for the attribute's type, as cuda.h demands.
        unsafe {
            match attr {
                _ if REUSE.contains(&attr) => put(value.cast(), c_uint::from(!settings.no_reuse[attr as usize - 1])),
                THRESHOLD => put(value.cast(), settings.threshold.get()),
                RESERVED => put(value.cast(), pool.arena.reserved().now.get()),
                RESERVED_HIGH => put(value.cast(), pool.arena.reserved().high.get()),
                USED => put(value.cast(), pool.arena.used().now.get()),
                USED_HIGH => put(value.cast(), pool.arena.used().high.get()),
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
        unsafe { put(pool, current_pool().id) }
    }

    fn cuMemGetDefaultMemPool(pool: *mut CUmemoryPool, location: *mut CUmemLocation, kind: c_uint) {
        check_place(location, kind)?;
        // SAFETY: as above.
        unsafe { put(pool, default_pool().id) }
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
        unsafe { put(pool, current_pool().id) }
    }

    fn cuDeviceGetDefaultMemPool(pool: *mut CUmemoryPool, device: CUdevice) {
        device::check(device)?;
        // SAFETY: as above.
        unsafe { put(pool, default_pool().id) }
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
