//! Starting the driver.

use super::put;
use crate::objects::driver::{self, API_VERSION};
use abi::cuda::*;
use std::ffi::{c_int, c_uint};

export! {
    fn cuInit(flags: c_uint) {
        if flags != 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        driver::start()
    }

    fn cuDriverGetVersion(version: *mut c_int) {
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands.
        unsafe { put(version, API_VERSION) }
    }
}
