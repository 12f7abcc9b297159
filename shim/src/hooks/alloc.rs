//! Allocations: the pager colours the objects that the driver makes during the call.

use crate::announce::{self, Asked};
use crate::{exportable, fault, handles};
use abi::cuda::*;
use region::Why;
use std::ffi::c_void;
use units::{Bytes, DeviceVa};

pub(crate) fn linear(forward: impl FnOnce() -> CUresult, dptr: *mut CUdeviceptr, bytes: usize) -> CUresult {
    at_address(Asked::exactly(Bytes::new(bytes as u64)), None, forward, dptr)
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
    at_address(asked, None, forward, dptr)
}

/// From a pool, or the one that the current GPU allocates from.
pub(crate) fn pooled(forward: impl FnOnce() -> CUresult, bytes: usize, pool: Option<CUmemoryPool>) -> CUresult {
    let asked = Asked { pooled: true, ..Asked::exactly(Bytes::new(bytes as u64)) };
    let exportable = fault::shielded(|| exportable::is_exportable(pool)).unwrap_or(true);
    announced(asked, exportable.then_some(Why::Exportable), forward, |_| None)
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
    let plain = !properties.is_null() && exportable::is_plain(&unsafe { properties.read_unaligned() });
    let asked = Asked::exactly(Bytes::new(bytes as u64));
    let keep = |result| {
        if result == CUDA_SUCCESS
            && let Some(object) = announce::made_here()
        {
            // SAFETY: the driver wrote a handle here.
            handles::made(unsafe { handle.read_unaligned() }, object);
        }
        None
    };
    announced(asked, (!plain).then_some(Why::Exportable), forward, keep)
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
        // SAFETY: the driver wrote a handle here.
        fault::shielded(|| handles::retained(unsafe { handle.read_unaligned() }, DeviceVa::new(address)));
    }
    result
}

/// # Safety
/// As for [`exportable::pool_made`]; `pool` is where the driver wrote a handle, if it succeeded.
pub(crate) unsafe fn pool(
    forward: impl FnOnce() -> CUresult,
    pool: *mut CUmemoryPool,
    properties: *const c_void,
) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS {
        // SAFETY: the driver took both for good.
        fault::shielded(|| unsafe { exportable::pool_made(pool.read_unaligned(), properties) });
    }
    result
}

/// # Safety
/// `pool` is where the driver wrote a handle, if it succeeded.
pub(crate) unsafe fn imported_pool(forward: impl FnOnce() -> CUresult, pool: *mut CUmemoryPool) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS {
        // SAFETY: the driver wrote a handle here.
        fault::shielded(|| exportable::add(unsafe { pool.read_unaligned() }));
    }
    result
}

fn at_address(asked: Asked, not: Option<Why>, forward: impl FnOnce() -> CUresult, dptr: *mut CUdeviceptr) -> CUresult {
    let address = |result| {
        // SAFETY: where the driver succeeded, it wrote an address here.
        (result == CUDA_SUCCESS).then(|| DeviceVa::new(unsafe { dptr.read_unaligned() }))
    };
    announced(asked, not, forward, address)
}

fn announced(
    asked: Asked,
    not: Option<Why>,
    forward: impl FnOnce() -> CUresult,
    address: impl FnOnce(CUresult) -> Option<DeviceVa>,
) -> CUresult {
    let announced = fault::shielded(|| announce::announce(asked, not));
    let result = forward();
    if let Some(call) = announced {
        fault::shielded(|| {
            let va = address(result);
            call.settle(va);
        });
    }
    result
}
