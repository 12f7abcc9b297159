//! `cuInit`: where a tenant's life begins.

use crate::life;
use abi::cuda::{CUDA_SUCCESS, CUresult};
use std::ffi::c_uint;

/// # Safety
/// As `cuInit`.
#[allow(non_snake_case)]
pub(crate) unsafe fn cuInit(real: unsafe extern "C" fn(c_uint) -> CUresult, flags: c_uint) -> CUresult {
    // SAFETY: the caller's own argument.
    match unsafe { real(flags) } {
        CUDA_SUCCESS => life::start(),
        failed => failed,
    }
}
