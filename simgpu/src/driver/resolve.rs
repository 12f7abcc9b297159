//! `cuGetProcAddress`: which function a program means by a name, a CUDA version and a kind of default stream.

use super::{Outcome, put};
use super::{context::*, copy::*, current::*, device::*, errors::*, event::*, graph::*, host_memory::*, init::*};
use super::{launch::*, memory::*, memset::*, module::*, stream_values::*, streams::*, virtual_memory::*};
use abi::cuda::*;
use std::ffi::{CStr, c_char, c_int, c_void};

/// cuda.h: `CUdriverProcAddressQueryResult`.
const FOUND: c_int = 0;
const NOT_FOUND: c_int = 1;
const VERSION_NOT_SUFFICIENT: c_int = 2;

/// One function that programs can ask for.
struct Row {
    /// The name without version and stream suffix.
    name: &'static str,
    /// The first CUDA version that means this function by the name.
    since: c_int,
    function: Function,
    /// The spelling with the per-thread default stream, where there is one.
    per_thread: Option<Function>,
}

/// The address of an exported function.
#[derive(Clone, Copy)]
struct Function(*mut c_void);

// SAFETY: the addresses of functions are constant and only handed out.
unsafe impl Sync for Function {}

macro_rules! table {
    ($($name:literal $since:literal $function:ident $(/ $twin:ident)?;)*) => {
        static TABLE: &[Row] = &[$(Row {
            name: $name,
            since: $since,
            function: Function($function as *mut c_void),
            per_thread: table!(@twin $($twin)?),
        },)*];
    };
    (@twin) => { None };
    (@twin $twin:ident) => { Some(Function($twin as *mut c_void)) };
}

table! {
    "cuCtxCreate" 12050 cuCtxCreate_v4;
    "cuCtxCreate" 3020 cuCtxCreate_v2;
    "cuCtxDestroy" 4000 cuCtxDestroy_v2;
    "cuCtxGetCurrent" 4000 cuCtxGetCurrent;
    "cuCtxGetDevice" 2000 cuCtxGetDevice;
    "cuCtxGetFlags" 7000 cuCtxGetFlags;
    "cuCtxGetStreamPriorityRange" 5050 cuCtxGetStreamPriorityRange;
    "cuCtxPopCurrent" 4000 cuCtxPopCurrent_v2;
    "cuCtxPushCurrent" 4000 cuCtxPushCurrent_v2;
    "cuCtxSetCurrent" 4000 cuCtxSetCurrent;
    "cuCtxSynchronize" 2000 cuCtxSynchronize;
    "cuDeviceGet" 2000 cuDeviceGet;
    "cuDeviceGetAttribute" 2000 cuDeviceGetAttribute;
    "cuDeviceGetCount" 2000 cuDeviceGetCount;
    "cuDeviceGetName" 2000 cuDeviceGetName;
    "cuDeviceGetPCIBusId" 4010 cuDeviceGetPCIBusId;
    "cuDeviceGetUuid" 11040 cuDeviceGetUuid_v2;
    "cuDeviceGetUuid" 9020 cuDeviceGetUuid;
    "cuDevicePrimaryCtxGetState" 7000 cuDevicePrimaryCtxGetState;
    "cuDevicePrimaryCtxRelease" 11000 cuDevicePrimaryCtxRelease_v2;
    "cuDevicePrimaryCtxReset" 11000 cuDevicePrimaryCtxReset_v2;
    "cuDevicePrimaryCtxRetain" 7000 cuDevicePrimaryCtxRetain;
    "cuDevicePrimaryCtxSetFlags" 11000 cuDevicePrimaryCtxSetFlags_v2;
    "cuDeviceTotalMem" 3020 cuDeviceTotalMem_v2;
    "cuDriverGetVersion" 2000 cuDriverGetVersion;
    "cuEventCreate" 2000 cuEventCreate;
    "cuEventDestroy" 4000 cuEventDestroy_v2;
    "cuEventElapsedTime" 12080 cuEventElapsedTime_v2;
    "cuEventElapsedTime" 2000 cuEventElapsedTime;
    "cuEventQuery" 2000 cuEventQuery;
    "cuEventRecord" 2000 cuEventRecord / cuEventRecord_ptsz;
    "cuEventRecordWithFlags" 11010 cuEventRecordWithFlags / cuEventRecordWithFlags_ptsz;
    "cuEventSynchronize" 2000 cuEventSynchronize;
    "cuFuncGetAttribute" 2000 cuFuncGetAttribute;
    "cuFuncSetAttribute" 9000 cuFuncSetAttribute;
    "cuGetErrorName" 6000 cuGetErrorName;
    "cuGetErrorString" 6000 cuGetErrorString;
    "cuGetExportTable" 3000 cuGetExportTable;
    "cuGetProcAddress" 11030 cuGetProcAddress;
    "cuGetProcAddress" 12000 cuGetProcAddress_v2;
    "cuGraphLaunch" 10000 cuGraphLaunch / cuGraphLaunch_ptsz;
    "cuInit" 2000 cuInit;
    "cuLaunchHostFunc" 10000 cuLaunchHostFunc / cuLaunchHostFunc_ptsz;
    "cuLaunchKernel" 4000 cuLaunchKernel / cuLaunchKernel_ptsz;
    "cuLaunchKernelEx" 11060 cuLaunchKernelEx / cuLaunchKernelEx_ptsz;
    "cuMemAddressFree" 10020 cuMemAddressFree;
    "cuMemAddressReserve" 10020 cuMemAddressReserve;
    "cuMemAlloc" 3020 cuMemAlloc_v2;
    "cuMemAllocAsync" 11020 cuMemAllocAsync / cuMemAllocAsync_ptsz;
    "cuMemAllocHost" 3020 cuMemAllocHost_v2;
    "cuMemCreate" 10020 cuMemCreate;
    "cuMemFree" 3020 cuMemFree_v2;
    "cuMemFreeAsync" 11020 cuMemFreeAsync / cuMemFreeAsync_ptsz;
    "cuMemFreeHost" 2000 cuMemFreeHost;
    "cuMemGetAccess" 10020 cuMemGetAccess;
    "cuMemGetAddressRange" 3020 cuMemGetAddressRange_v2;
    "cuMemGetAllocationGranularity" 10020 cuMemGetAllocationGranularity;
    "cuMemGetInfo" 3020 cuMemGetInfo_v2;
    "cuMemHostAlloc" 2000 cuMemHostAlloc;
    "cuMemHostGetDevicePointer" 3020 cuMemHostGetDevicePointer_v2;
    "cuMemHostGetFlags" 2030 cuMemHostGetFlags;
    "cuMemHostRegister" 6050 cuMemHostRegister_v2;
    "cuMemHostUnregister" 4000 cuMemHostUnregister;
    "cuMemMap" 10020 cuMemMap;
    "cuMemRelease" 10020 cuMemRelease;
    "cuMemSetAccess" 10020 cuMemSetAccess;
    "cuMemUnmap" 10020 cuMemUnmap;
    "cuMemcpy" 4000 cuMemcpy / cuMemcpy_ptds;
    "cuMemcpyAsync" 4000 cuMemcpyAsync / cuMemcpyAsync_ptsz;
    "cuMemcpyDtoD" 3020 cuMemcpyDtoD_v2 / cuMemcpyDtoD_v2_ptds;
    "cuMemcpyDtoDAsync" 3020 cuMemcpyDtoDAsync_v2 / cuMemcpyDtoDAsync_v2_ptsz;
    "cuMemcpyDtoH" 3020 cuMemcpyDtoH_v2 / cuMemcpyDtoH_v2_ptds;
    "cuMemcpyDtoHAsync" 3020 cuMemcpyDtoHAsync_v2 / cuMemcpyDtoHAsync_v2_ptsz;
    "cuMemcpyHtoD" 3020 cuMemcpyHtoD_v2 / cuMemcpyHtoD_v2_ptds;
    "cuMemcpyHtoDAsync" 3020 cuMemcpyHtoDAsync_v2 / cuMemcpyHtoDAsync_v2_ptsz;
    "cuMemsetD16" 3020 cuMemsetD16_v2 / cuMemsetD16_v2_ptds;
    "cuMemsetD16Async" 3020 cuMemsetD16Async / cuMemsetD16Async_ptsz;
    "cuMemsetD32" 3020 cuMemsetD32_v2 / cuMemsetD32_v2_ptds;
    "cuMemsetD32Async" 3020 cuMemsetD32Async / cuMemsetD32Async_ptsz;
    "cuMemsetD8" 3020 cuMemsetD8_v2 / cuMemsetD8_v2_ptds;
    "cuMemsetD8Async" 3020 cuMemsetD8Async / cuMemsetD8Async_ptsz;
    "cuModuleGetFunction" 2000 cuModuleGetFunction;
    "cuModuleLoadData" 2000 cuModuleLoadData;
    "cuModuleLoadDataEx" 2000 cuModuleLoadDataEx;
    "cuModuleUnload" 2000 cuModuleUnload;
    "cuPointerGetAttribute" 4000 cuPointerGetAttribute;
    "cuStreamBatchMemOp" 11070 cuStreamBatchMemOp_v2 / cuStreamBatchMemOp_v2_ptsz;
    "cuStreamBatchMemOp" 8000 cuStreamBatchMemOp / cuStreamBatchMemOp_ptsz;
    "cuStreamCreate" 2000 cuStreamCreate;
    "cuStreamCreateWithPriority" 5050 cuStreamCreateWithPriority;
    "cuStreamDestroy" 4000 cuStreamDestroy_v2;
    "cuStreamGetCtx" 9020 cuStreamGetCtx / cuStreamGetCtx_ptsz;
    "cuStreamGetFlags" 5050 cuStreamGetFlags / cuStreamGetFlags_ptsz;
    "cuStreamGetPriority" 5050 cuStreamGetPriority / cuStreamGetPriority_ptsz;
    "cuStreamIsCapturing" 10000 cuStreamIsCapturing / cuStreamIsCapturing_ptsz;
    "cuStreamQuery" 2000 cuStreamQuery / cuStreamQuery_ptsz;
    "cuStreamSynchronize" 2000 cuStreamSynchronize / cuStreamSynchronize_ptsz;
    "cuStreamWaitEvent" 3020 cuStreamWaitEvent / cuStreamWaitEvent_ptsz;
    "cuStreamWaitValue32" 11070 cuStreamWaitValue32_v2 / cuStreamWaitValue32_v2_ptsz;
    "cuStreamWaitValue32" 8000 cuStreamWaitValue32 / cuStreamWaitValue32_ptsz;
    "cuStreamWaitValue64" 11070 cuStreamWaitValue64_v2 / cuStreamWaitValue64_v2_ptsz;
    "cuStreamWaitValue64" 9000 cuStreamWaitValue64 / cuStreamWaitValue64_ptsz;
    "cuStreamWriteValue32" 11070 cuStreamWriteValue32_v2 / cuStreamWriteValue32_v2_ptsz;
    "cuStreamWriteValue32" 8000 cuStreamWriteValue32 / cuStreamWriteValue32_ptsz;
    "cuStreamWriteValue64" 11070 cuStreamWriteValue64_v2 / cuStreamWriteValue64_v2_ptsz;
    "cuStreamWriteValue64" 9000 cuStreamWriteValue64 / cuStreamWriteValue64_ptsz;
}

/// What a name means; the status says why it means nothing.
fn find(name: &str, version: c_int, per_thread: bool) -> Result<*mut c_void, c_int> {
    let rows = || TABLE.iter().filter(|row| row.name == name);
    let Some(row) = rows().filter(|row| row.since <= version).max_by_key(|row| row.since) else {
        return Err(if rows().next().is_some() { VERSION_NOT_SUFFICIENT } else { NOT_FOUND });
    };
    Ok(row.per_thread.filter(|_| per_thread).unwrap_or(row.function).0)
}

fn resolve(symbol: *const c_char, pfn: *mut *mut c_void, version: c_int, flags: u64, status: *mut c_int) -> Outcome {
    if symbol.is_null() || pfn.is_null() || flags > CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    // SAFETY: not null, so a NUL-terminated name, as cuda.h demands.
    let name = unsafe { CStr::from_ptr(symbol) }.to_str().unwrap_or_default();
    let found = find(name, version, flags == CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM);
    if !status.is_null() {
        // SAFETY: not null, and a place for the status, as cuda.h demands.
        unsafe { put(status, found.err().unwrap_or(FOUND)) }?;
    }
    // SAFETY: not null, and a place for the answer, as cuda.h demands.
    unsafe { put(pfn, found.unwrap_or(core::ptr::null_mut())) }?;
    found.map(drop).map_err(|_| CUDA_ERROR_NOT_FOUND)
}

export! {
    fn cuGetProcAddress(symbol: *const c_char, pfn: *mut *mut c_void, version: c_int, flags: u64) {
        resolve(symbol, pfn, version, flags, core::ptr::null_mut())
    }

    fn cuGetProcAddress_v2(
        symbol: *const c_char,
        pfn: *mut *mut c_void,
        version: c_int,
        flags: u64,
        status: *mut c_int,
    ) {
        resolve(symbol, pfn, version, flags, status)
    }
}
