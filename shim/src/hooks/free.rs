//! Freeing: the driver unmaps the range, the kernel interposer gives back what the pager put beneath it.

use crate::{announce, exportable, fault, handles};
use abi::cuda::{CUDA_SUCCESS, CUdeviceptr, CUmemGenericAllocationHandle, CUmemoryPool, CUresult};
use units::DeviceVa;

pub(crate) fn linear(forward: impl FnOnce() -> CUresult, dptr: CUdeviceptr) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS {
        fault::shielded(|| announce::freed(DeviceVa::new(dptr)));
    }
    result
}

pub(crate) fn physical(forward: impl FnOnce() -> CUresult, handle: CUmemGenericAllocationHandle) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS {
        fault::shielded(|| handles::released(handle));
    }
    result
}

pub(crate) fn pool(forward: impl FnOnce() -> CUresult, pool: CUmemoryPool) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS {
        fault::shielded(|| exportable::pool_gone(pool));
    }
    result
}
