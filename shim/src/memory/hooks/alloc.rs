//! Allocations: the pager colours the objects that the driver makes during the call.

use crate::base::shield::shielded;
use crate::driver::objects::{OBJECTS, Physical};
use crate::memory::intent::{self, Asked};
use crate::memory::ledger::ledger;
use crate::memory::{announce, pools};
use abi::cuda::*;
use region::Why;
use std::ffi::c_void;
use units::{Bytes, DeviceVa};

/// An allocation at an address of its own.
pub(crate) fn linear(forward: impl FnOnce() -> CUresult, dptr: *mut CUdeviceptr, bytes: usize) -> CUresult {
    at_address(Asked::exactly(Bytes::new(bytes as u64)), forward, dptr)
}

/// Rows of `width` bytes, each rounded up by the driver to what it likes, at most 512 bytes.
pub(crate) fn pitched(
    forward: impl FnOnce() -> CUresult,
    dptr: *mut CUdeviceptr,
    width: usize,
    height: usize,
) -> CUresult {
    const MOST_PADDING: u64 = 512;
    let (width, height) = (width as u64, height as u64);
    let most = Bytes::new(width.saturating_add(MOST_PADDING).saturating_mul(height));
    let asked = Asked { least: Bytes::new(width.saturating_mul(height)), ..Asked::exactly(most) };
    at_address(asked, forward, dptr)
}

/// From a pool, or the one that the current GPU allocates from.
pub(crate) fn pooled(forward: impl FnOnce() -> CUresult, bytes: usize, pool: Option<CUmemoryPool>) -> CUresult {
    let asked = Asked { pooled: true, ..Asked::exactly(Bytes::new(bytes as u64)) };
    let known = || if pools::is_exportable(pool) { Err(Why::Exportable) } else { Ok(()) };
    announced(asked, known, forward, |_| None)
}

/// Memory without an address, which is coloured as it is mapped.
///
/// # Safety
/// `properties` are null or the caller's, and `handle` is where the driver writes a handle, if it succeeds.
pub(crate) unsafe fn physical(
    forward: impl FnOnce() -> CUresult,
    handle: *mut CUmemGenericAllocationHandle,
    bytes: usize,
    properties: *const CUmemAllocationProp,
) -> CUresult {
    // SAFETY: the caller's own properties, which the driver reads as well.
    let is_plain = || !properties.is_null() && pools::is_plain(&unsafe { properties.read_unaligned() });
    let asked = Asked::exactly(Bytes::new(bytes as u64));
    let keep = |result| {
        if result == CUDA_SUCCESS
            && let Some(object) = intent::made_here()
        {
            // SAFETY: the driver returned success, so it wrote a handle here.
            let handle = unsafe { handle.read_unaligned() };
            OBJECTS.handles.insert(handle, Physical { object, holds: 1 });
        }
        None
    };
    announced(asked, || if is_plain() { Ok(()) } else { Err(Why::Exportable) }, forward, keep)
}

/// A further handle for the memory at an address.
///
/// # Safety
/// `handle` is where the driver writes a handle, if it succeeds.
pub(crate) unsafe fn retained(
    forward: impl FnOnce() -> CUresult,
    handle: *mut CUmemGenericAllocationHandle,
    address: CUdeviceptr,
) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS {
        shielded(|| {
            let Some(object) = ledger().object_at(DeviceVa::new(address)) else { return };
            // SAFETY: the driver returned success, so it wrote a handle here; it may be one that the program has.
            let handle = unsafe { handle.read_unaligned() };
            OBJECTS.handles.change(
                handle,
                || Physical { object, holds: 0 },
                |known| {
                    (known.object, known.holds) = (object, known.holds + 1);
                },
            );
        });
    }
    result
}

/// A pool.
///
/// # Safety
/// As for [`pools::are_exportable`]; `pool` is where the driver writes a handle, if it succeeds.
pub(crate) unsafe fn pool(
    forward: impl FnOnce() -> CUresult,
    pool: *mut CUmemoryPool,
    properties: *const c_void,
) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS {
        // SAFETY: the driver returned success, so `pool` is a handle and `properties` are readable.
        shielded(|| unsafe {
            if pools::are_exportable(properties) {
                OBJECTS.exportable_pools.insert(pool.read_unaligned(), ());
            }
        });
    }
    result
}

/// A pool of another process.
///
/// # Safety
/// `pool` is where the driver writes a handle, if it succeeds.
pub(crate) unsafe fn imported_pool(forward: impl FnOnce() -> CUresult, pool: *mut CUmemoryPool) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS {
        // SAFETY: the driver returned success, so it wrote a handle here.
        shielded(|| OBJECTS.exportable_pools.insert(unsafe { pool.read_unaligned() }, ()));
    }
    result
}

fn at_address(asked: Asked, forward: impl FnOnce() -> CUresult, dptr: *mut CUdeviceptr) -> CUresult {
    let address = |result| {
        // SAFETY: where the driver returned success, it wrote an address here.
        (result == CUDA_SUCCESS).then(|| DeviceVa::new(unsafe { dptr.read_unaligned() }))
    };
    announced(asked, || Ok(()), forward, address)
}

/// Announces an allocation, unless `known` says why it stays as it is, forwards the call and settles.
fn announced(
    asked: Asked,
    known: impl FnOnce() -> Result<(), Why>,
    forward: impl FnOnce() -> CUresult,
    address: impl FnOnce(CUresult) -> Option<DeviceVa>,
) -> CUresult {
    let announced = shielded(|| announce::announce(asked, known()));
    let result = forward();
    if let Some(call) = announced {
        shielded(|| {
            let va = address(result);
            call.settle(va);
        });
    }
    result
}
