//! The functions of the CUDA driver that a probe calls, loaded at run time.

use crate::BenchError;
use abi::cuda::{CUDA_SUCCESS, CUcontext, CUdevice, CUdeviceptr, CUfunction, CUmodule, CUresult, CUstream};
use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use libloading::Library;

/// Declares the driver's functions: the struct that holds them, its loading, and one checked method for each.
macro_rules! driver {
    ($($symbol:literal $method:ident($($arg:ident: $type:ty),*);)*) => {
        /// `libcuda.so.1`, and the functions of it that are used.
        pub(crate) struct Driver {
            name_of: unsafe extern "C" fn(CUresult, *mut *const c_char) -> CUresult,
            $($method: unsafe extern "C" fn($($type),*) -> CUresult,)*
            // The functions above are in it: it stays loaded as long as they are there.
            _library: Library,
        }

        impl Driver {
            /// Loads the driver.
            pub(crate) fn load() -> Result<Driver, BenchError> {
                // SAFETY: libcuda.so.1 is the system's CUDA driver, whose constructors every CUDA program runs.
                let library = unsafe { Library::new("libcuda.so.1") }.map_err(BenchError::NoLibrary)?;
                Ok(Driver {
                    // SAFETY: cuda.h declares `cuGetErrorName(CUresult, const char **)`.
                    name_of: unsafe { function(&library, "cuGetErrorName") }?,
                    // SAFETY: each type below is the one that cuda.h declares for the symbol.
                    $($method: unsafe { function(&library, $symbol) }?,)*
                    _library: library,
                })
            }

            $(
                #[doc = concat!("Calls `", $symbol, "`; pointers must be as cuda.h asks.")]
                #[allow(clippy::too_many_arguments)]
                pub(crate) unsafe fn $method(&self, $($arg: $type),*) -> Result<(), BenchError> {
                    // SAFETY: the caller vouches for the arguments, and `load` for the function.
                    match unsafe { (self.$method)($($arg),*) } {
                        CUDA_SUCCESS => Ok(()),
                        code => Err(BenchError::Call { call: $symbol, code, name: self.error_name(code) }),
                    }
                }
            )*
        }
    };
}

driver! {
    "cuInit" init(flags: c_uint);
    "cuDeviceGetCount" device_count(count: *mut c_int);
    "cuDeviceGet" device(device: *mut CUdevice, ordinal: c_int);
    "cuDeviceGetName" device_name(name: *mut c_char, length: c_int, device: CUdevice);
    "cuDeviceGetUuid_v2" device_uuid(uuid: *mut [u8; 16], device: CUdevice);
    "cuDeviceGetAttribute" device_attribute(value: *mut c_int, attribute: c_int, device: CUdevice);
    "cuDevicePrimaryCtxRetain" retain_context(context: *mut CUcontext, device: CUdevice);
    "cuDevicePrimaryCtxRelease_v2" release_context(device: CUdevice);
    "cuCtxSetCurrent" set_context(context: CUcontext);
    "cuCtxSynchronize" synchronize();
    "cuMemGetInfo_v2" memory_info(free: *mut usize, total: *mut usize);
    "cuMemAlloc_v2" allocate(address: *mut CUdeviceptr, bytes: usize);
    "cuMemFree_v2" free(address: CUdeviceptr);
    "cuMemcpyHtoD_v2" copy_to_device(to: CUdeviceptr, from: *const c_void, bytes: usize);
    "cuMemcpyDtoH_v2" copy_from_device(to: *mut c_void, from: CUdeviceptr, bytes: usize);
    "cuModuleLoadData" load_module(module: *mut CUmodule, image: *const c_void);
    "cuModuleGetFunction" module_function(function: *mut CUfunction, module: CUmodule, name: *const c_char);
    "cuFuncSetAttribute" set_function_attribute(function: CUfunction, attribute: c_int, value: c_int);
    "cuLaunchKernel" launch(
        function: CUfunction,
        grid_x: c_uint, grid_y: c_uint, grid_z: c_uint,
        block_x: c_uint, block_y: c_uint, block_z: c_uint,
        shared_bytes: c_uint, stream: CUstream, arguments: *mut *mut c_void, extra: *mut *mut c_void
    );
}

/// A function of the driver, which must be of type `F`.
unsafe fn function<F: Copy>(library: &Library, symbol: &'static str) -> Result<F, BenchError> {
    // SAFETY: the caller vouches that the symbol is a function of type `F`.
    let found = unsafe { library.get::<F>(symbol.as_bytes()) };
    found.map(|function| *function).map_err(|source| BenchError::NoFunction { call: symbol, source })
}

impl Driver {
    /// What the driver calls an error.
    fn error_name(&self, code: CUresult) -> String {
        let mut name = core::ptr::null();
        // SAFETY: `name` is a place for a pointer.
        if unsafe { (self.name_of)(code, &mut name) } != CUDA_SUCCESS || name.is_null() {
            return "an unknown error".to_owned();
        }
        // SAFETY: on success the driver gives a NUL-terminated string that lives as long as itself.
        unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
    }
}
