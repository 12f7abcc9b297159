//! Which memory may leave the process by a handle: its pages have to stay those that the driver knows.

use crate::real;
use abi::cuda::*;
use std::ffi::{c_uint, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Pools whose memory may be handed to other processes.
static POOLS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
/// How many there are, so that allocations need not look where there are none.
static COUNT: AtomicUsize = AtomicUsize::new(0);

fn pools() -> MutexGuard<'static, Vec<usize>> {
    POOLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// cuda.h: `CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR` and `CU_MEM_HANDLE_TYPE_FABRIC`.
const BY_HANDLE: c_uint = 1 | 8;

/// Whether memory with these properties is plain: not compressible, not for sparse arrays.
///
/// That a handle may be asked for it, or another device may get at it, is no hindrance: PyTorch's expandable segments and
/// JAX always ask that they may, and hardly ever do. As it is done, the memory gets its own pages back
/// ([`crate::export`]).
pub(crate) fn is_plain(properties: &CUmemAllocationProp) -> bool {
    let CUmemAllocationPropFlags { compressionType, usage, .. } = properties.allocFlags;
    properties.requestedHandleTypes & !BY_HANDLE == 0 && compressionType == 0 && usage == 0
}

/// A pool was made, with these properties (cuda.h: `CUmemPoolProps`: a type, then the handle types).
///
/// # Safety
/// `properties` are null or those that the driver accepted.
pub(crate) unsafe fn pool_made(pool: CUmemoryPool, properties: *const c_void) {
    // SAFETY: the caller's; the structure begins with two enumerations.
    if !properties.is_null() && unsafe { properties.cast::<[c_uint; 2]>().read_unaligned() }[1] != 0 {
        add(pool);
    }
}

/// A pool came from another process.
pub(crate) fn add(pool: CUmemoryPool) {
    let mut pools = pools();
    pools.push(pool.addr());
    COUNT.store(pools.len(), Ordering::Relaxed);
}

/// A pool is no more.
pub(crate) fn pool_gone(pool: CUmemoryPool) {
    let mut pools = pools();
    pools.retain(|&known| known != pool.addr());
    COUNT.store(pools.len(), Ordering::Relaxed);
}

/// Whether memory of this pool may leave the process; without one, of the pool that the current GPU allocates from.
pub(crate) fn is_exportable(pool: Option<CUmemoryPool>) -> bool {
    if COUNT.load(Ordering::Relaxed) == 0 {
        return false;
    }
    // Where the driver does not say, the memory might be one of those.
    pool.or_else(current).is_none_or(|pool| pools().contains(&pool.addr()))
}

fn current() -> Option<CUmemoryPool> {
    let (mut device, mut pool) = (0, CUmemoryPool::NULL);
    // SAFETY: the functions write a device and a handle.
    let found = unsafe {
        real::cuCtxGetDevice.get()?(&mut device) == CUDA_SUCCESS
            && real::cuDeviceGetMemPool.get()?(&mut pool, device) == CUDA_SUCCESS
    };
    found.then_some(pool)
}
