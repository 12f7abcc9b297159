//! `cuGetProcAddress`: names, versions, default streams.

#[macro_use]
#[path = "driver_support/client.rs"]
mod client;

use abi::cuda::*;
use client::*;
use std::ffi::{CStr, c_int, c_void};

unsafe extern "C" {
    fn cuMemcpyHtoD_v2_ptds(dst: CUdeviceptr, src: *const c_void, bytes: usize) -> CUresult;
    fn cuCtxCreate_v4(context: *mut CUcontext, params: *mut c_void, flags: u32, device: CUdevice) -> CUresult;
}

fn find(name: &CStr, version: c_int, flags: u64) -> (CUresult, *mut c_void, c_int) {
    let (mut found, mut status) = (core::ptr::dangling_mut(), -1);
    let code = code!(cuGetProcAddress_v2(name.as_ptr(), &mut found, version, flags, &mut status));
    (code, found, status)
}

#[test]
fn names_mean_what_their_version_says() {
    assert_eq!(find(c"cuInit", 2000, 0), (CUDA_SUCCESS, cuInit as *mut c_void, 0));
    assert_eq!(find(c"cuMemAlloc", 13000, 0), (CUDA_SUCCESS, cuMemAlloc_v2 as *mut c_void, 0));
    assert_eq!(find(c"cuMemAlloc", 3020, 0).1, cuMemAlloc_v2 as *mut c_void);
    assert_eq!(find(c"cuMemAlloc", 2000, 0), (CUDA_ERROR_NOT_FOUND, core::ptr::null_mut(), 2));
    assert_eq!(find(c"cuCtxCreate", 12000, 0).1, cuCtxCreate_v2 as *mut c_void);
    assert_eq!(find(c"cuCtxCreate", 13000, 0).1, cuCtxCreate_v4 as *mut c_void);
    assert_eq!(find(c"cuGetProcAddress", 12000, 0).1, cuGetProcAddress_v2 as *mut c_void);
    assert_eq!(find(c"cuNothing", 13000, 0), (CUDA_ERROR_NOT_FOUND, core::ptr::null_mut(), 1));
}

#[test]
fn the_default_stream_chooses_the_spelling() {
    let per_thread = CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
    let legacy = CU_GET_PROC_ADDRESS_LEGACY_STREAM;
    assert_eq!(find(c"cuMemcpyHtoD", 13000, per_thread).1, cuMemcpyHtoD_v2_ptds as *mut c_void);
    assert_eq!(find(c"cuMemcpyHtoD", 13000, legacy).1, cuMemcpyHtoD_v2 as *mut c_void);
    assert_eq!(find(c"cuInit", 13000, per_thread).1, cuInit as *mut c_void, "it has no stream");
    assert_eq!(find(c"cuInit", 13000, 4).0, CUDA_ERROR_INVALID_VALUE);
}
