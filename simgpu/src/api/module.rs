//! The functions of modules and kernels.

use super::put;
use crate::objects::driver::driver;
use crate::objects::module::{FUNCTIONS, MODULES, Module};
use crate::objects::{Outcome, current};
use abi::cuda::*;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

fn load(module: *mut CUmodule, image: *const c_void) -> Outcome {
    current::context()?;
    if module.is_null() || image.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    // SAFETY: an image is at least as long as the magic of the binary formats; PTX ends with a NUL at the latest there
    // or is longer, and the comparison stops at the first byte that differs.
    let is_binary = unsafe { starts_with(image.cast(), b"\x7fELF") || starts_with(image.cast(), b"\x50\xed\x55\xba") };
    if is_binary {
        return Err(CUDA_ERROR_INVALID_IMAGE);
    }
    // SAFETY: cuda.h demands that PTX ends with a NUL.
    let text = unsafe { CStr::from_ptr(image.cast()) };
    let text = text.to_str().map_err(|_| CUDA_ERROR_INVALID_IMAGE)?;
    let handle = MODULES.add(Module::read(text)?);
    // SAFETY: not null, and a place for the answer, as cuda.h demands.
    unsafe { put(module, handle) }
}

/// Whether an image begins with `magic`; looks no further than the first difference.
///
/// # Safety
/// `image` has as many readable bytes as agree with `magic`, and one more.
unsafe fn starts_with(image: *const u8, magic: &[u8]) -> bool {
    // SAFETY: `all` stops at the first difference, so the function's contract covers each byte read.
    magic.iter().enumerate().all(|(index, &byte)| unsafe { image.add(index).read() } == byte)
}

export! {
    fn cuModuleLoadData(module: *mut CUmodule, image: *const c_void) {
        load(module, image)
    }

    fn cuModuleLoadDataEx(
        module: *mut CUmodule,
        image: *const c_void,
        _count: c_uint,
        _options: *mut c_int,
        _values: *mut *mut c_void,
    ) {
        load(module, image)
    }

    fn cuModuleUnload(module: CUmodule) {
        current::context()?;
        MODULES.remove(module)?.unload();
        Ok(())
    }

    fn cuModuleGetFunction(function: *mut CUfunction, module: CUmodule, name: *const c_char) {
        current::context()?;
        let module = MODULES.get(module)?;
        if function.is_null() || name.is_null() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: not null, so a NUL-terminated name, as cuda.h demands.
        let name = unsafe { CStr::from_ptr(name) }.to_str().map_err(|_| CUDA_ERROR_NOT_FOUND)?;
        let handle = module.function(name)?;
        // SAFETY: not null, and a place for the answer, as cuda.h demands.
        unsafe { put(function, handle) }
    }

    fn cuFuncSetAttribute(function: CUfunction, _attribute: c_int, _value: c_int) {
        current::context()?;
        FUNCTIONS.get(function).map(drop)
    }

    fn cuFuncGetAttribute(value: *mut c_int, attribute: c_int, function: CUfunction) {
        current::context()?;
        FUNCTIONS.get(function)?;
        let compute = driver()?.machine.spec().compute;
        let version = (compute.0 * 10 + compute.1) as c_int;
        let found = match attribute {
            0 => 1024,                  // MAX_THREADS_PER_BLOCK
            4 => 32,                    // NUM_REGS
            5 | 6 => version,           // PTX_VERSION, BINARY_VERSION
            8 => 48 << 10,              // MAX_DYNAMIC_SHARED_SIZE_BYTES
            _ => 0,
        };
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands.
        unsafe { put(value, found) }
    }
}
