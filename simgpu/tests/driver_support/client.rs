//! The parts that the driver's tests share: the functions that they call, and a GPU of their own.
#![allow(dead_code, non_snake_case, reason = "every test file needs a part of it")]

use abi::cuda::*;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::path::Path;
use std::sync::OnceLock;

// The names are found in the library under test, which this brings in.
use cuda as _;

unsafe extern "C" {
    pub fn cuInit(flags: c_uint) -> CUresult;
    pub fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, device: CUdevice) -> CUresult;
    pub fn cuDevicePrimaryCtxRetain(context: *mut CUcontext, device: CUdevice) -> CUresult;
    pub fn cuDevicePrimaryCtxRelease_v2(device: CUdevice) -> CUresult;
    pub fn cuCtxSetCurrent(context: CUcontext) -> CUresult;
    pub fn cuCtxGetCurrent(context: *mut CUcontext) -> CUresult;
    pub fn cuCtxCreate_v2(context: *mut CUcontext, flags: c_uint, device: CUdevice) -> CUresult;
    pub fn cuCtxDestroy_v2(context: CUcontext) -> CUresult;
    pub fn cuCtxSynchronize() -> CUresult;
    pub fn cuMemAlloc_v2(dptr: *mut CUdeviceptr, bytes: usize) -> CUresult;
    pub fn cuMemAllocAsync(dptr: *mut CUdeviceptr, bytes: usize, stream: CUstream) -> CUresult;
    pub fn cuMemFreeAsync(dptr: CUdeviceptr, stream: CUstream) -> CUresult;
    pub fn cuMemFree_v2(dptr: CUdeviceptr) -> CUresult;
    pub fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> CUresult;
    pub fn cuMemGetAddressRange_v2(base: *mut CUdeviceptr, bytes: *mut usize, dptr: CUdeviceptr) -> CUresult;
    pub fn cuMemAddressReserve(va: *mut CUdeviceptr, bytes: usize, align: usize, at: u64, flags: u64) -> CUresult;
    pub fn cuMemAddressFree(va: CUdeviceptr, bytes: usize) -> CUresult;
    pub fn cuMemCreate(
        handle: *mut CUmemGenericAllocationHandle,
        bytes: usize,
        properties: *const c_int,
        flags: u64,
    ) -> CUresult;
    pub fn cuMemGetAllocationPropertiesFromHandle(
        properties: *mut CUmemAllocationProp,
        handle: CUmemGenericAllocationHandle,
    ) -> CUresult;
    pub fn cuMemRelease(handle: CUmemGenericAllocationHandle) -> CUresult;
    pub fn cuMemRetainAllocationHandle(handle: *mut CUmemGenericAllocationHandle, at: *mut c_void) -> CUresult;
    pub fn cuMemMap(
        va: CUdeviceptr,
        bytes: usize,
        offset: usize,
        handle: CUmemGenericAllocationHandle,
        flags: u64,
    ) -> CUresult;
    pub fn cuMemUnmap(va: CUdeviceptr, bytes: usize) -> CUresult;
    pub fn cuMemSetAccess(va: CUdeviceptr, bytes: usize, access: *const c_int, count: usize) -> CUresult;
    pub fn cuMemHostAlloc(address: *mut *mut c_void, bytes: usize, flags: c_uint) -> CUresult;
    pub fn cuMemFreeHost(address: *mut c_void) -> CUresult;
    pub fn cuMemHostRegister_v2(address: *mut c_void, bytes: usize, flags: c_uint) -> CUresult;
    pub fn cuMemHostUnregister(address: *mut c_void) -> CUresult;
    pub fn cuMemcpyHtoD_v2(dst: CUdeviceptr, src: *const c_void, bytes: usize) -> CUresult;
    pub fn cuMemcpyDtoH_v2(dst: *mut c_void, src: CUdeviceptr, bytes: usize) -> CUresult;
    pub fn cuMemcpy(dst: CUdeviceptr, src: CUdeviceptr, bytes: usize) -> CUresult;
    pub fn cuMemcpyHtoDAsync_v2(dst: CUdeviceptr, src: *const c_void, bytes: usize, stream: CUstream) -> CUresult;
    pub fn cuMemsetD32_v2(dst: CUdeviceptr, value: c_uint, count: usize) -> CUresult;
    pub fn cuStreamCreate(stream: *mut CUstream, flags: c_uint) -> CUresult;
    pub fn cuStreamDestroy_v2(stream: CUstream) -> CUresult;
    pub fn cuStreamSynchronize(stream: CUstream) -> CUresult;
    pub fn cuStreamQuery(stream: CUstream) -> CUresult;
    pub fn cuStreamWaitEvent(stream: CUstream, event: CUevent, flags: c_uint) -> CUresult;
    pub fn cuStreamWaitValue32_v2(stream: CUstream, at: CUdeviceptr, value: u32, flags: c_uint) -> CUresult;
    pub fn cuStreamWriteValue32_v2(stream: CUstream, at: CUdeviceptr, value: u32, flags: c_uint) -> CUresult;
    pub fn cuStreamBatchMemOp_v2(stream: CUstream, n: c_uint, operations: *const [u64; 6], flags: c_uint) -> CUresult;
    pub fn cuLaunchHostFunc(stream: CUstream, f: unsafe extern "C" fn(*mut c_void), data: *mut c_void) -> CUresult;
    pub fn cuEventCreate(event: *mut CUevent, flags: c_uint) -> CUresult;
    pub fn cuEventDestroy_v2(event: CUevent) -> CUresult;
    pub fn cuEventRecord(event: CUevent, stream: CUstream) -> CUresult;
    pub fn cuEventSynchronize(event: CUevent) -> CUresult;
    pub fn cuEventQuery(event: CUevent) -> CUresult;
    pub fn cuEventElapsedTime(ms: *mut f32, start: CUevent, end: CUevent) -> CUresult;
    pub fn cuModuleLoadData(module: *mut CUmodule, image: *const c_void) -> CUresult;
    pub fn cuModuleGetFunction(function: *mut CUfunction, module: CUmodule, name: *const c_char) -> CUresult;
    pub fn cuLaunchKernel(
        f: CUfunction,
        gx: c_uint,
        gy: c_uint,
        gz: c_uint,
        bx: c_uint,
        by: c_uint,
        bz: c_uint,
        shared: c_uint,
        stream: CUstream,
        params: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) -> CUresult;
    pub fn cuLaunchKernelEx(
        config: *const CUlaunchConfig,
        f: CUfunction,
        params: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) -> CUresult;
    pub fn cuGetProcAddress_v2(
        symbol: *const c_char,
        pfn: *mut *mut c_void,
        version: c_int,
        flags: u64,
        status: *mut c_int,
    ) -> CUresult;
}

/// Calls a driver function and fails the test where the driver says so. The tests pass valid pointers throughout.
macro_rules! ok {
    ($call:expr) => {{
        // SAFETY: the test's arguments are what cuda.h demands: live places, sizes within them, handles of the driver.
        let code = unsafe { $call };
        assert_eq!(code, abi::cuda::CUDA_SUCCESS, "{}", stringify!($call));
    }};
}

/// Calls a driver function for its code.
macro_rules! code {
    ($call:expr) => {{
        // SAFETY: as in `ok`, but for arguments that the driver is to refuse.
        unsafe { $call }
    }};
}

/// A GPU that this process and its children have to themselves: an H200 whose bus is slow enough that no host is
/// slower, and whose sides alternate every 2 MiB.
pub fn gpu() -> &'static Path {
    static DIRECTORY: OnceLock<std::path::PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        if let Some(inherited) = std::env::var_os("SIMGPU_STATE") {
            return inherited.into();
        }
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory").keep();
        let text = include_str!("../../gpus/h200.toml")
            .replace("2d_gbps = 54.5", "2d_gbps = 0.5")
            .replace("d2h_gbps = 54.5", "d2h_gbps = 0.5")
            .replace("0x1cbd6ab000", "0x200000")
            .replace("143770M", "512M");
        let file = directory.join("gpu.toml");
        std::fs::write(&file, text).expect("a writable directory");
        // SAFETY: the tests set variables here only, before the driver starts and under the lock of the `OnceLock`;
        // nothing else in these programs reads the environment meanwhile.
        unsafe {
            std::env::set_var("SIMGPU_STATE", &directory);
            std::env::set_var("SIMGPU_GPU", &file);
        }
        directory
    })
}

/// Starts the driver and makes the primary context current to this thread.
pub fn start() {
    gpu();
    ok!(cuInit(0));
    let mut context = CUcontext::NULL;
    ok!(cuDevicePrimaryCtxRetain(&mut context, 0));
    ok!(cuCtxSetCurrent(context));
}

/// Device memory.
pub fn alloc(bytes: usize) -> CUdeviceptr {
    let mut dptr = 0;
    ok!(cuMemAlloc_v2(&mut dptr, bytes));
    dptr
}

/// A stream.
pub fn stream(flags: c_uint) -> CUstream {
    let mut stream = CUstream::NULL;
    ok!(cuStreamCreate(&mut stream, flags));
    stream
}

/// An event.
pub fn event() -> CUevent {
    let mut event = CUevent::NULL;
    ok!(cuEventCreate(&mut event, 0));
    event
}

/// A kernel that behaves as named, under a name of its own.
pub fn kernel(behaviour: &str) -> CUfunction {
    find_kernel(&format!(".version 8.0\n.target sm_90\n// simgpu: {behaviour}\n.visible .entry test() {{ret;}}\n"))
}

/// The kernel `test` of a PTX text.
pub fn find_kernel(text: &str) -> CUfunction {
    let image = CString::new(text).expect("no NUL");
    let (mut module, mut function) = (CUmodule::NULL, CUfunction::NULL);
    ok!(cuModuleLoadData(&mut module, image.as_ptr().cast()));
    ok!(cuModuleGetFunction(&mut function, module, c"test".as_ptr()));
    function
}

/// Launches a kernel of `blocks` blocks.
pub fn launch(f: CUfunction, blocks: c_uint, stream: CUstream, arguments: &mut [u64]) -> CUresult {
    // On this little-endian platform a pointer to 64 bits is one to its lower 32 as well.
    let mut params: Vec<*mut c_void> = arguments.iter_mut().map(|argument| (argument as *mut u64).cast()).collect();
    code!(cuLaunchKernel(f, blocks, 1, 1, 32, 1, 1, 0, stream, params.as_mut_ptr(), core::ptr::null_mut()))
}

/// Seconds of the simulated clock from an event to the last of some others.
pub fn elapsed(from: CUevent, to: &[CUevent]) -> f64 {
    let milliseconds = |&to: &CUevent| {
        let mut milliseconds = 0.0;
        ok!(cuEventSynchronize(to));
        ok!(cuEventElapsedTime(&mut milliseconds, from, to));
        f64::from(milliseconds)
    };
    to.iter().map(milliseconds).fold(0.0, f64::max) / 1e3
}

/// Seconds of the simulated clock that a stream takes for what `work` puts into it.
pub fn time(stream: CUstream, work: impl FnOnce()) -> f64 {
    let (begun, done) = (event(), event());
    ok!(cuEventRecord(begun, stream));
    work();
    ok!(cuEventRecord(done, stream));
    let took = elapsed(begun, &[done]);
    [begun, done].into_iter().for_each(|event| ok!(cuEventDestroy_v2(event)));
    took
}

/// Fails unless one of ten tries succeeds. This is for upper bounds, and for ratios that need several threads to keep the
/// simulated device busy: other load on the host makes its threads late, and so times longer, but a model that does
/// otherwise succeeds in no try. What holds by construction is asserted in each.
pub fn in_one_of_ten_tries(mut attempt: impl FnMut() -> Result<(), String>) {
    let mut failures = Vec::new();
    for _ in 0..10 {
        match attempt() {
            Ok(()) => return,
            Err(failure) => failures.push(failure),
        }
    }
    panic!("{}", failures.join("\n"));
}

/// `Err` with what was seen, where it is not as it should be.
pub fn expect(holds: bool, seen: String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(seen) }
}

/// The 32-bit words at an address.
pub fn words(at: CUdeviceptr, count: usize) -> Vec<u32> {
    let mut words = vec![0u32; count];
    ok!(cuMemcpyDtoH_v2(words.as_mut_ptr().cast(), at, count * 4));
    words
}

pub const NULL: CUstream = CUstream::NULL;
