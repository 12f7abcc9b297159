//! Freeing: the driver unmaps the range, the kernel interposer gives back what the pager put beneath it.

use crate::pager;
use abi::cuda::{CUDA_SUCCESS, CUdeviceptr, CUresult};
use units::DeviceVa;

/// # Safety
/// As `cuMemFree_v2`.
#[allow(non_snake_case)]
pub(crate) unsafe fn cuMemFree_v2(real: unsafe extern "C" fn(CUdeviceptr) -> CUresult, dptr: CUdeviceptr) -> CUresult {
    // SAFETY: the caller's own argument.
    let result = unsafe { real(dptr) };
    if result == CUDA_SUCCESS {
        pager::freed(DeviceVa::new(dptr));
    }
    result
}
