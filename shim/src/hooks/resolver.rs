//! `cuGetProcAddress`: the driver's own `dlsym`.

use crate::resolve::replace_answer;
use abi::cuda::{CUDA_SUCCESS, CUresult};
use std::ffi::{c_char, c_int, c_void};

type V1 = unsafe extern "C" fn(*const c_char, *mut *mut c_void, c_int, u64) -> CUresult;
type V2 = unsafe extern "C" fn(*const c_char, *mut *mut c_void, c_int, u64, *mut c_int) -> CUresult;

/// # Safety
/// As `cuGetProcAddress`.
#[allow(non_snake_case)]
pub(crate) unsafe fn cuGetProcAddress(
    real: V1,
    symbol: *const c_char,
    pfn: *mut *mut c_void,
    version: c_int,
    flags: u64,
) -> CUresult {
    // SAFETY: the caller's own arguments.
    let result = unsafe { real(symbol, pfn, version, flags) };
    if result == CUDA_SUCCESS {
        // SAFETY: the look-up succeeded.
        unsafe { replace_answer(pfn) };
    }
    result
}

/// # Safety
/// As `cuGetProcAddress_v2`.
#[allow(non_snake_case)]
pub(crate) unsafe fn cuGetProcAddress_v2(
    real: V2,
    symbol: *const c_char,
    pfn: *mut *mut c_void,
    version: c_int,
    flags: u64,
    status: *mut c_int,
) -> CUresult {
    // SAFETY: the caller's own arguments.
    let result = unsafe { real(symbol, pfn, version, flags, status) };
    if result == CUDA_SUCCESS {
        // SAFETY: the look-up succeeded.
        unsafe { replace_answer(pfn) };
    }
    result
}
