//! The CUDA driver as an ordinary program sees it: the few functions that the demo's tenants and the examples call.

use libloading::Library;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;

/// A call of the driver failed.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// There is no driver.
    #[error(
        "the CUDA driver cannot be loaded ({0}): install the NVIDIA driver, or use a simulated GPU with --sim h200"
    )]
    NoLibrary(#[from] libloading::Error),
    /// There is no GPU.
    #[error("the CUDA driver finds no GPU ({call} answered {code})")]
    NoGpu {
        /// The function.
        call: &'static str,
        /// Its answer.
        code: c_uint,
    },
    /// The driver refused.
    #[error("{call} failed with CUDA error {code}")]
    Call {
        /// The function.
        call: &'static str,
        /// Its answer.
        code: c_uint,
    },
}

/// A device address.
pub type DevicePointer = u64;
type Handle = *mut c_void;

macro_rules! functions {
    ($($field:ident $symbol:literal ($($argument:ty),*);)*) => {
        struct Functions {
            $($field: unsafe extern "C" fn($($argument),*) -> c_uint,)*
        }

        impl Functions {
            fn load(library: &Library) -> Result<Functions, libloading::Error> {
                Ok(Functions {
                    // SAFETY: the signatures are those of cuda.h, and the library outlives the copied pointers, as
                    // `Driver` never unloads it.
                    $($field: unsafe { *library.get(concat!($symbol, "\0").as_bytes())? },)*
                })
            }
        }
    };
}

functions! {
    init "cuInit" (c_uint);
    device_get "cuDeviceGet" (*mut c_int, c_int);
    device_name "cuDeviceGetName" (*mut c_char, c_int, c_int);
    device_attribute "cuDeviceGetAttribute" (*mut c_int, c_int, c_int);
    retain_context "cuDevicePrimaryCtxRetain" (*mut Handle, c_int);
    set_context "cuCtxSetCurrent" (Handle);
    load_module "cuModuleLoadData" (*mut Handle, *const c_void);
    get_function "cuModuleGetFunction" (*mut Handle, Handle, *const c_char);
    set_function_attribute "cuFuncSetAttribute" (Handle, c_int, c_int);
    allocate "cuMemAlloc_v2" (*mut DevicePointer, usize);
    allocate_host "cuMemHostAlloc" (*mut *mut c_void, usize, c_uint);
    create_stream "cuStreamCreate" (*mut Handle, c_uint);
    wait_for_stream "cuStreamSynchronize" (Handle);
    create_event "cuEventCreate" (*mut Handle, c_uint);
    record_event "cuEventRecord" (Handle, Handle);
    wait_for_event "cuEventSynchronize" (Handle);
    copy_to_device "cuMemcpyHtoDAsync_v2" (DevicePointer, *const c_void, usize, Handle);
    copy_to_host "cuMemcpyDtoHAsync_v2" (*mut c_void, DevicePointer, usize, Handle);
    launch "cuLaunchKernel" (
        Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle, *mut *mut c_void, *mut *mut c_void
    );
}

/// The driver with the first GPU's primary context. Everything that it hands out lives until the process ends.
pub struct Driver {
    call: Functions,
    device: c_int,
    context: Handle,
    _library: Library,
}

// SAFETY: the driver's functions may be called from any thread, and the context handle means the same in each.
unsafe impl Sync for Driver {}
// SAFETY: as above.
unsafe impl Send for Driver {}

/// Page-locked host memory.
#[derive(Clone, Copy)]
pub struct Pinned {
    address: *mut c_void,
    bytes: usize,
}

/// A stream of the driver.
#[derive(Clone, Copy)]
pub struct Stream(Handle);

/// An event of the driver.
#[derive(Clone, Copy)]
pub struct Event(Handle);

/// A kernel of a module.
#[derive(Clone, Copy)]
pub struct Kernel(Handle);

// SAFETY: these are handles and addresses that mean the same in every thread; only the driver follows them.
unsafe impl Send for Pinned {}
// SAFETY: as above.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Send for Kernel {}

impl Driver {
    /// Starts the driver and makes the first GPU's context the calling thread's.
    pub fn start() -> Result<Driver, DriverError> {
        // SAFETY: the driver's library is made to be loaded by any program; its initialisers have no preconditions.
        let library = unsafe { Library::new("libcuda.so.1") }?;
        let call = Functions::load(&library)?;
        let (mut device, mut context) = (0, null_mut());
        // SAFETY: all out parameters are live; the calls come in the order that the driver asks for.
        unsafe {
            check("cuInit", (call.init)(0)).map_err(no_gpu)?;
            check("cuDeviceGet", (call.device_get)(&mut device, 0)).map_err(no_gpu)?;
            check("cuDevicePrimaryCtxRetain", (call.retain_context)(&mut context, device))?;
        }
        let driver = Driver { call, device, context, _library: library };
        driver.enter()?;
        Ok(driver)
    }

    /// Makes the context the calling thread's.
    pub fn enter(&self) -> Result<(), DriverError> {
        // SAFETY: the context is retained until the process ends.
        check("cuCtxSetCurrent", unsafe { (self.call.set_context)(self.context) })
    }

    /// The GPU's name.
    pub fn gpu_name(&self) -> Result<String, DriverError> {
        let mut name = [0; 128];
        // SAFETY: the length given leaves the last byte, a NUL, alone.
        check("cuDeviceGetName", unsafe { (self.call.device_name)(name.as_mut_ptr(), 127, self.device) })?;
        // SAFETY: the array ends in a NUL.
        Ok(unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned())
    }

    /// A `CU_DEVICE_ATTRIBUTE_…` by its number.
    pub fn attribute(&self, number: c_int) -> Result<u32, DriverError> {
        let mut value = 0;
        // SAFETY: `value` is live.
        let code = unsafe { (self.call.device_attribute)(&mut value, number, self.device) };
        check("cuDeviceGetAttribute", code)?;
        Ok(u32::try_from(value).unwrap_or(0))
    }

    /// The kernel of that name in a module, with room for dynamic shared memory.
    pub fn kernel(&self, ptx: &CStr, name: &CStr, shared_bytes: u32) -> Result<Kernel, DriverError> {
        const MAX_DYNAMIC_SHARED_SIZE_BYTES: c_int = 8;
        let (mut module, mut function) = (null_mut(), null_mut());
        // SAFETY: the out parameters are live, module text and name end in NUL.
        unsafe {
            check("cuModuleLoadData", (self.call.load_module)(&mut module, ptx.as_ptr().cast()))?;
            check("cuModuleGetFunction", (self.call.get_function)(&mut function, module, name.as_ptr()))?;
            let set =
                (self.call.set_function_attribute)(function, MAX_DYNAMIC_SHARED_SIZE_BYTES, shared_bytes as c_int);
            check("cuFuncSetAttribute", set)?;
        }
        Ok(Kernel(function))
    }

    /// Device memory.
    pub fn allocate(&self, bytes: usize) -> Result<DevicePointer, DriverError> {
        let mut pointer = 0;
        // SAFETY: `pointer` is live.
        check("cuMemAlloc", unsafe { (self.call.allocate)(&mut pointer, bytes) })?;
        Ok(pointer)
    }

    /// Page-locked host memory.
    pub fn allocate_host(&self, bytes: usize) -> Result<Pinned, DriverError> {
        let mut address = null_mut();
        // SAFETY: `address` is live.
        check("cuMemHostAlloc", unsafe { (self.call.allocate_host)(&mut address, bytes, 0) })?;
        Ok(Pinned { address, bytes })
    }

    /// A stream that does not wait for the default one.
    pub fn stream(&self) -> Result<Stream, DriverError> {
        const NON_BLOCKING: c_uint = 1;
        let mut stream = null_mut();
        // SAFETY: `stream` is live.
        check("cuStreamCreate", unsafe { (self.call.create_stream)(&mut stream, NON_BLOCKING) })?;
        Ok(Stream(stream))
    }

    /// An event without a time.
    pub fn event(&self) -> Result<Event, DriverError> {
        const DISABLE_TIMING: c_uint = 2;
        let mut event = null_mut();
        // SAFETY: `event` is live.
        check("cuEventCreate", unsafe { (self.call.create_event)(&mut event, DISABLE_TIMING) })?;
        Ok(Event(event))
    }

    /// Has the event happen when the stream's work so far is done.
    pub fn record(&self, event: Event, stream: Stream) -> Result<(), DriverError> {
        // SAFETY: both handles live until the process ends.
        check("cuEventRecord", unsafe { (self.call.record_event)(event.0, stream.0) })
    }

    /// Waits for an event; one that was never recorded has happened.
    pub fn wait_for_event(&self, event: Event) -> Result<(), DriverError> {
        // SAFETY: the handle lives until the process ends.
        check("cuEventSynchronize", unsafe { (self.call.wait_for_event)(event.0) })
    }

    /// Waits for all of a stream's work.
    pub fn wait(&self, stream: Stream) -> Result<(), DriverError> {
        // SAFETY: the handle lives until the process ends.
        check("cuStreamSynchronize", unsafe { (self.call.wait_for_stream)(stream.0) })
    }

    /// Copies all of the host memory to the device, in the stream.
    pub fn copy_to_device(&self, to: DevicePointer, from: Pinned, stream: Stream) -> Result<(), DriverError> {
        // SAFETY: the host memory is of that size and lives until the process ends; the driver checks the rest.
        let code = unsafe { (self.call.copy_to_device)(to, from.address, from.bytes, stream.0) };
        check("cuMemcpyHtoDAsync", code)
    }

    /// Fills all of the host memory from the device, in the stream.
    #[allow(dead_code, reason = "not every program that includes this file reads back")]
    pub fn copy_to_host(&self, to: Pinned, from: DevicePointer, stream: Stream) -> Result<(), DriverError> {
        // SAFETY: as above, and nothing but the driver reads or writes the host memory.
        let code = unsafe { (self.call.copy_to_host)(to.address, from, to.bytes, stream.0) };
        check("cuMemcpyDtoHAsync", code)
    }

    /// Launches blocks of 1024 threads of the kernel in the stream.
    ///
    /// # Safety
    /// The arguments must be those of the kernel's signature.
    pub unsafe fn launch(
        &self,
        kernel: Kernel,
        blocks: u32,
        shared_bytes: u32,
        arguments: &mut [*mut c_void],
        stream: Stream,
    ) -> Result<(), DriverError> {
        let arguments = arguments.as_mut_ptr();
        // SAFETY: the handles live until the process ends; the caller vouches for the arguments, which are read
        // before the call returns.
        let code = unsafe {
            (self.call.launch)(kernel.0, blocks, 1, 1, 1024, 1, 1, shared_bytes, stream.0, arguments, null_mut())
        };
        check("cuLaunchKernel", code)
    }
}

fn check(call: &'static str, code: c_uint) -> Result<(), DriverError> {
    if code == 0 { Ok(()) } else { Err(DriverError::Call { call, code }) }
}

fn no_gpu(error: DriverError) -> DriverError {
    match error {
        DriverError::Call { call, code } => DriverError::NoGpu { call, code },
        error => error,
    }
}
