//! Ways by which memory becomes visible from outside the process.

use crate::base::shield::shielded;
use crate::memory::share;
use abi::cuda::{CUdeviceptr, CUmemGenericAllocationHandle, CUresult};
use std::ffi::c_uint;
use units::DeviceVa;

/// The memory at an address is handed out.
pub(crate) fn memory(forward: impl FnOnce() -> CUresult, dptr: CUdeviceptr) -> CUresult {
    match shielded(|| share::leaves(DeviceVa::new(dptr))) {
        Some(Err(code)) => code,
        Some(Ok(())) | None => forward(),
    }
}

/// The memory behind a handle is handed out, or bound to what others see.
pub(crate) fn handle(forward: impl FnOnce() -> CUresult, handle: CUmemGenericAllocationHandle) -> CUresult {
    match shielded(|| share::leaves_by_handle(handle)) {
        Some(Err(code)) => code,
        Some(Ok(())) | None => forward(),
    }
}

/// A handle of the memory at an address is to be written to a place. Without a place none is, and the driver says so.
pub(crate) fn memory_into<T>(forward: impl FnOnce() -> CUresult, place: *const T, dptr: CUdeviceptr) -> CUresult {
    if place.is_null() { forward() } else { memory(forward, dptr) }
}

/// The same of the memory behind a handle.
pub(crate) fn handle_into<T>(
    forward: impl FnOnce() -> CUresult,
    place: *const T,
    of: CUmemGenericAllocationHandle,
) -> CUresult {
    if place.is_null() { forward() } else { handle(forward, of) }
}

/// An attribute of the memory at an address is set or asked for; some are the first step of handing it out.
pub(crate) fn attribute(forward: impl FnOnce() -> CUresult, attribute: c_uint, dptr: CUdeviceptr) -> CUresult {
    if share::is_for_other_devices(attribute) { memory(forward, dptr) } else { forward() }
}

/// Another GPU gets at all memory of the current context.
pub(crate) fn peers(forward: impl FnOnce() -> CUresult) -> CUresult {
    match shielded(share::peers_see_all) {
        Some(Err(code)) => code,
        Some(Ok(())) | None => forward(),
    }
}
