//! The driver, loaded and started.

use crate::{DriverError, Gpu, Library};
use cudarc::driver::{result, sys};
use std::ffi::c_void;

/// Every function that this crate calls through cudarc: all of them are in the drivers of CUDA 11.8 to 13. cudarc looks
/// each up at its first call, and panics where it is not there.
const FUNCTIONS: [&str; 30] = [
    "cuGetErrorName",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceGetUuid_v2",
    "cuDeviceGetAttribute",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuMemGetInfo_v2",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemHostAlloc",
    "cuMemFreeHost",
    "cuMemcpyHtoD_v2",
    "cuMemcpyDtoH_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuModuleLoadData",
    "cuModuleGetFunction",
    "cuFuncSetAttribute",
    "cuLaunchKernel",
    "cuStreamCreate",
    "cuStreamSynchronize",
    "cuStreamDestroy_v2",
    "cuEventCreate",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuEventDestroy_v2",
];

/// The driver of this process, which has started and has every function that this crate calls.
#[derive(Clone, Copy, Debug)]
pub struct Driver(());

impl Driver {
    /// Loads and starts the driver.
    pub fn start() -> Result<Driver, DriverError> {
        let library = Library::load()?;
        library.init()?;
        Driver::of(&library)
    }

    /// Takes a library that has started; cudarc loads it once more by itself and keeps it until the process ends.
    pub fn of(library: &Library) -> Result<Driver, DriverError> {
        if let Some(name) = library.other_of_cudarc() {
            return Err(DriverError::TwoLibraries { name });
        }
        // SAFETY: `library` is loaded under one of the names that cudarc tries, so it finds one and does not panic.
        let library = unsafe { sys::culib() };
        for function in FUNCTIONS {
            // SAFETY: the symbol is looked up, not used.
            let found = unsafe { library.get::<*mut c_void>(function.as_bytes()) };
            found.map_err(|source| DriverError::NoFunction { function, source })?;
        }
        Ok(Driver(()))
    }

    /// The number of GPUs that the driver shows to this process.
    pub fn gpu_count(self) -> Result<u32, DriverError> {
        let count = result::device::get_count().map_err(DriverError::of("cuDeviceGetCount"))?;
        Ok(u32::try_from(count).unwrap_or(0))
    }

    /// The GPU with this ordinal, in the driver's order.
    pub fn gpu(self, index: u32) -> Result<Gpu, DriverError> {
        let count = self.gpu_count()?;
        let ordinal = i32::try_from(index).ok().filter(|_| index < count);
        let ordinal = ordinal.ok_or(DriverError::NoSuchGpu { index, count })?;
        Ok(Gpu::new(result::device::get(ordinal).map_err(DriverError::of("cuDeviceGet"))?))
    }
}
