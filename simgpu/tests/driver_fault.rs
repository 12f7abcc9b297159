//! A kernel that touches what is not there ends its context, and only that.

#[macro_use]
#[path = "driver_support/client.rs"]
mod client;

use abi::cuda::*;
use client::*;

#[test]
fn a_fault_sticks_to_its_context() {
    start();
    let (mut old, mut new) = (CUcontext::NULL, CUcontext::NULL);
    ok!(cuCtxGetCurrent(&mut old));
    ok!(cuCtxCreate_v2(&mut new, 0, 0));
    assert_eq!(launch(kernel("fill"), 1, NULL, &mut [0x4000_0000_0000, 16, 1]), CUDA_SUCCESS);
    assert_eq!(code!(cuCtxSynchronize()), CUDA_ERROR_ILLEGAL_ADDRESS);
    let mut dptr = 0;
    assert_eq!(code!(cuMemAlloc_v2(&mut dptr, 16)), CUDA_ERROR_ILLEGAL_ADDRESS);
    ok!(cuCtxDestroy_v2(new));
    ok!(cuCtxGetCurrent(&mut new));
    assert_eq!(new, old, "the destroyed context was on top");
    let dptr = alloc(16);
    ok!(cuMemsetD32_v2(dptr, 1, 4));
    assert_eq!(words(dptr, 1), [1]);
    ok!(cuDevicePrimaryCtxRelease_v2(0));
    assert_eq!(code!(cuCtxSynchronize()), 709, "the context is destroyed");
}
