//! Allocations: the pager colours what the driver maps during the call.

use crate::pager;
use abi::cuda::{CUDA_SUCCESS, CUdeviceptr, CUresult};
use units::{Bytes, DeviceVa};

/// # Safety
/// As `cuMemAlloc_v2`.
#[allow(non_snake_case)]
pub(crate) unsafe fn cuMemAlloc_v2(
    real: unsafe extern "C" fn(*mut CUdeviceptr, usize) -> CUresult,
    dptr: *mut CUdeviceptr,
    bytes: usize,
) -> CUresult {
    let call = pager::announce(Bytes::new(bytes as u64));
    // SAFETY: the caller's own arguments.
    let result = unsafe { real(dptr, bytes) };
    // SAFETY: the driver succeeded, so it wrote an address here.
    call.settle((result == CUDA_SUCCESS).then(|| DeviceVa::new(unsafe { dptr.read() })));
    result
}
