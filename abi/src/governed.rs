//! The one table of governed driver functions.

/// Calls `$with!` with the table of governed functions.
///
/// Each row is `class name(arg: type, …);` and returns [`CUresult`](crate::cuda::CUresult). The class says what the
/// shim has to ask before it forwards: `init`, `resolver`, `alloc`, `free`, `copy_sync`, `copy_async`, `launch`,
/// `graph`. Names are those that the library exports, with version and stream suffix; `_ptds` and `_ptsz` are the
/// spellings with the per-thread default stream. Exports, resolver routing and the conformance tests are generated
/// from this table and from nothing else. The types in it are those of [`crate::cuda`] and [`core::ffi`]; the macro's
/// user imports them.
#[macro_export]
macro_rules! governed_functions {
    ($with:path) => {
        $with! {
            init cuInit(flags: c_uint);

            resolver cuGetProcAddress(symbol: *const c_char, pfn: *mut *mut c_void, version: c_int, flags: u64);
            resolver cuGetProcAddress_v2(symbol: *const c_char, pfn: *mut *mut c_void, version: c_int, flags: u64, status: *mut c_int);

            alloc cuMemAlloc_v2(dptr: *mut CUdeviceptr, bytes: usize);

            free cuMemFree_v2(dptr: CUdeviceptr);

            copy_sync cuMemcpyHtoD_v2(dst: CUdeviceptr, src: *const c_void, bytes: usize);
            copy_sync cuMemcpyHtoD_v2_ptds(dst: CUdeviceptr, src: *const c_void, bytes: usize);
            copy_sync cuMemcpyDtoH_v2(dst: *mut c_void, src: CUdeviceptr, bytes: usize);
            copy_sync cuMemcpyDtoH_v2_ptds(dst: *mut c_void, src: CUdeviceptr, bytes: usize);

            copy_async cuMemcpyHtoDAsync_v2(dst: CUdeviceptr, src: *const c_void, bytes: usize, stream: CUstream);
            copy_async cuMemcpyHtoDAsync_v2_ptsz(dst: CUdeviceptr, src: *const c_void, bytes: usize, stream: CUstream);
            copy_async cuMemcpyDtoHAsync_v2(dst: *mut c_void, src: CUdeviceptr, bytes: usize, stream: CUstream);
            copy_async cuMemcpyDtoHAsync_v2_ptsz(dst: *mut c_void, src: CUdeviceptr, bytes: usize, stream: CUstream);

            launch cuLaunchKernel(f: CUfunction, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, shared: c_uint, stream: CUstream, params: *mut *mut c_void, extra: *mut *mut c_void);
            launch cuLaunchKernel_ptsz(f: CUfunction, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, shared: c_uint, stream: CUstream, params: *mut *mut c_void, extra: *mut *mut c_void);
            launch cuLaunchKernelEx(config: *const CUlaunchConfig, f: CUfunction, params: *mut *mut c_void, extra: *mut *mut c_void);
            launch cuLaunchKernelEx_ptsz(config: *const CUlaunchConfig, f: CUfunction, params: *mut *mut c_void, extra: *mut *mut c_void);

            graph cuGraphLaunch(graph: CUgraphExec, stream: CUstream);
            graph cuGraphLaunch_ptsz(graph: CUgraphExec, stream: CUstream);
        }
    };
}
