//! Kernels and the shape of their launches.

use crate::{Context, DriverError};
use cudarc::driver::{result, sys};
use std::ffi::CStr;
use units::Bytes;

/// A kernel of a module, which stays loaded as long as its context.
#[derive(Clone, Debug)]
pub struct Kernel {
    function: sys::CUfunction,
    _context: Context,
}

// SAFETY: a function's handle means the same in every thread, and only the driver follows it.
unsafe impl Send for Kernel {}
// SAFETY: as above.
unsafe impl Sync for Kernel {}

/// The shape of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The number of blocks.
    pub blocks: u32,
    /// The number of threads in each block.
    pub threads: u32,
    /// The dynamic shared memory of each block.
    pub shared: Bytes,
}

impl Kernel {
    pub(crate) fn load(context: Context, ptx: &CStr, name: &CStr, shared: Bytes) -> Result<Kernel, DriverError> {
        use sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES as SHARED_SIZE;
        // SAFETY: the image is text that ends in NUL.
        let module = unsafe { result::module::load_data(ptx.as_ptr().cast()) };
        let module = module.map_err(DriverError::of("cuModuleLoadData"))?;
        // SAFETY: the module was loaded just now and is not unloaded before its context ends.
        let function = unsafe { result::module::get_function(module, name.to_owned()) };
        let function = function.map_err(DriverError::of("cuModuleGetFunction"))?;
        let shared = i32::try_from(shared.get()).unwrap_or(i32::MAX);
        // SAFETY: the function is one of this context.
        let set = unsafe { result::function::set_function_attribute(function, SHARED_SIZE, shared) };
        set.map_err(DriverError::of("cuFuncSetAttribute"))?;
        Ok(Kernel { function, _context: context })
    }

    pub(crate) fn function(&self) -> sys::CUfunction {
        self.function
    }
}
