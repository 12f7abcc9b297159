//! The CUDA driver as a program finds it that links to nothing: by name, in one of three ways.
//!
//! The ways are what this client is for, so it calls functions at the addresses that they give, which cudarc, with one
//! way of its own, cannot.

use client::{DriverError, Extents, Library};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::ptr::{null, null_mut};
use units::{Bytes, DeviceVa};

/// How functions are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Via {
    /// `dlsym` on the library's handle
    Lookup,
    /// The driver's own `cuGetProcAddress_v2`
    ProcAddress,
    /// The `cuGetProcAddress` that the driver's `cuGetProcAddress_v2` gives
    Nested,
}

/// A call failed; [`Cuda::codes`] has its code.
#[derive(Debug)]
pub struct Failed;

/// A kernel of a module.
#[derive(Clone, Copy)]
pub struct Kernel(*mut c_void);

/// The type of `cuGetProcAddress_v2`.
type ProcAddress = unsafe extern "C" fn(*const c_char, *mut *mut c_void, c_int, u64, *mut c_int) -> c_uint;

/// The CUDA version whose functions are asked for.
const VERSION: c_int = 12_000;

/// The driver.
pub struct Cuda {
    library: Library,
    via: Via,
    codes: BTreeMap<&'static str, c_uint>,
}

macro_rules! call {
    ($cuda:ident, $plain:literal $exported:literal ($($argument:expr => $ty:ty),* $(,)?)) => {{
        let code = match $cuda.find($plain, $exported) {
            // SAFETY: the type is that of the function of this name in cuda.h; the caller's arguments are live.
            Some(found) => unsafe {
                let function: unsafe extern "C" fn($($ty),*) -> c_uint = std::mem::transmute(found);
                function($($argument),*)
            },
            None => u32::MAX,
        };
        $cuda.note($exported, code)
    }};
}

impl Cuda {
    /// Loads the driver's library.
    pub fn load(via: Via) -> Result<Cuda, DriverError> {
        Ok(Cuda { library: Library::load()?, via, codes: BTreeMap::new() })
    }

    /// The worst code of each function called so far.
    pub fn codes(&self) -> &BTreeMap<&'static str, c_uint> {
        &self.codes
    }

    fn note(&mut self, call: &'static str, code: c_uint) -> Result<(), Failed> {
        let worst = self.codes.entry(call).or_default();
        *worst = code.max(*worst);
        if code == 0 { Ok(()) } else { Err(Failed) }
    }

    /// A function, by its name for `cuGetProcAddress` or by its exported one.
    fn find(&self, plain: &str, exported: &str) -> Option<*mut c_void> {
        if self.via == Via::Lookup {
            return self.library.address(exported);
        }
        let first = self.library.address("cuGetProcAddress_v2")?;
        // SAFETY: the function of this name has this type.
        let first: ProcAddress = unsafe { std::mem::transmute(first) };
        let ask = |by: ProcAddress, name: &str| {
            let name = CString::new(name).ok()?;
            let mut found = null_mut();
            // SAFETY: the name ends in NUL and `found` is live; a status is not asked for.
            let code = unsafe { by(name.as_ptr(), &mut found, VERSION, 0, null_mut()) };
            (code == 0 && !found.is_null()).then_some(found)
        };
        if self.via == Via::ProcAddress {
            return ask(first, plain);
        }
        let second = ask(first, "cuGetProcAddress")?;
        // SAFETY: for CUDA 12 the answer is the second version of the function.
        ask(unsafe { std::mem::transmute::<*mut c_void, ProcAddress>(second) }, plain)
    }

    /// Starts the driver and makes the first GPU's context this thread's.
    pub fn start(&mut self) -> Result<(), Failed> {
        let (mut device, mut context) = (0, null_mut());
        call!(self, "cuInit" "cuInit" (0 => c_uint))?;
        call!(self, "cuDeviceGet" "cuDeviceGet" (&mut device => *mut c_int, 0 => c_int))?;
        call!(self, "cuDevicePrimaryCtxRetain" "cuDevicePrimaryCtxRetain" (
            &mut context => *mut *mut c_void, device => c_int
        ))?;
        call!(self, "cuCtxSetCurrent" "cuCtxSetCurrent" (context => *mut c_void))
    }

    /// A kernel of a module.
    pub fn kernel(&mut self, ptx: &str, name: &str) -> Result<Kernel, Failed> {
        let (ptx, name) = (CString::new(ptx).map_err(|_| Failed)?, CString::new(name).map_err(|_| Failed)?);
        let (mut module, mut kernel) = (null_mut(), null_mut());
        call!(self, "cuModuleLoadData" "cuModuleLoadData" (
            &mut module => *mut *mut c_void, ptx.as_ptr() => *const c_char
        ))?;
        call!(self, "cuModuleGetFunction" "cuModuleGetFunction" (
            &mut kernel => *mut *mut c_void, module => *mut c_void, name.as_ptr() => *const c_char
        ))?;
        Ok(Kernel(kernel))
    }

    /// Device memory.
    pub fn allocate(&mut self, bytes: usize) -> Result<u64, Failed> {
        let mut address = 0;
        call!(self, "cuMemAlloc" "cuMemAlloc_v2" (&mut address => *mut u64, bytes => usize))?;
        Ok(address)
    }

    /// Gives device memory back.
    pub fn free(&mut self, address: u64) -> Result<(), Failed> {
        call!(self, "cuMemFree" "cuMemFree_v2" (address => u64))
    }

    /// How much device memory is free.
    pub fn free_bytes(&mut self) -> Result<usize, Failed> {
        let (mut free, mut total) = (0, 0);
        call!(self, "cuMemGetInfo" "cuMemGetInfo_v2" (&mut free => *mut usize, &mut total => *mut usize))?;
        Ok(free)
    }

    /// Copies to the device.
    pub fn copy_in(&mut self, to: u64, from: &[u32]) -> Result<(), Failed> {
        call!(self, "cuMemcpyHtoD" "cuMemcpyHtoD_v2" (
            to => u64, from.as_ptr() => *const u32, size_of_val(from) => usize
        ))
    }

    /// Copies from the device.
    pub fn copy_out(&mut self, to: &mut [u32], from: u64) -> Result<(), Failed> {
        call!(self, "cuMemcpyDtoH" "cuMemcpyDtoH_v2" (
            to.as_mut_ptr() => *mut u32, from => u64, size_of_val(to) => usize
        ))
    }

    /// Launches one block of a kernel whose arguments are these numbers, and waits for it.
    pub fn launch(&mut self, kernel: Kernel, arguments: &mut [u64]) -> Result<(), Failed> {
        // The machine is little-endian: where a number of 64 bits lies, one of 32 does.
        let mut places: Vec<*mut u64> = arguments.iter_mut().map(std::ptr::from_mut).collect();
        call!(self, "cuLaunchKernel" "cuLaunchKernel" (
            kernel.0 => *mut c_void,
            1 => c_uint, 1 => c_uint, 1 => c_uint, 256 => c_uint, 1 => c_uint, 1 => c_uint,
            0 => c_uint, null_mut() => *mut c_void,
            places.as_mut_ptr() => *mut *mut u64, null() => *const c_void,
        ))?;
        call!(self, "cuCtxSynchronize" "cuCtxSynchronize" ())
    }

    /// The VRAM behind a range, where something in this process knows it.
    pub fn extents(&self, address: u64, bytes: u64) -> Option<Value> {
        let extents = Extents::find()?.behind(DeviceVa::new(address), Bytes::new(bytes))?;
        let shown = extents.iter().map(|extent| json!({ "va": extent.va, "bytes": extent.bytes, "phys": extent.phys }));
        Some(shown.collect())
    }
}
