//! Allocations: the pager colours what the driver maps during the call.

use crate::{fault, pager};
use abi::cuda::{CUDA_SUCCESS, CUdeviceptr, CUresult};
use units::{Bytes, DeviceVa};

pub(crate) fn linear(forward: impl FnOnce() -> CUresult, dptr: *mut CUdeviceptr, bytes: usize) -> CUresult {
    let announced = fault::shielded(|| pager::announce(Bytes::new(bytes as u64)));
    let result = forward();
    if let Some(call) = announced {
        // SAFETY: where the driver succeeded, it wrote an address here.
        let va = (result == CUDA_SUCCESS).then(|| DeviceVa::new(unsafe { dptr.read_unaligned() }));
        fault::shielded(|| call.settle(va));
    }
    result
}
