//! The one table of governed driver functions.

/// Calls `$with!` with the table of governed functions.
///
/// Each row is `class kind name(arg: type, …);` and returns [`CUresult`](crate::cuda::CUresult). The class says what the
/// call is about and the kind how it goes about it, so that rows of one class and kind can share a hook:
///
/// * `init`, `resolver`: start, and look-up of functions by name;
/// * `alloc`, `free`, `info`: memory that is given, given back and asked about;
/// * `copy`: traffic on the bus and in the DRAM;
/// * `launch`, `graph`: work for the SMs;
/// * `stream`, `event`, `context`: where work is queued, what is waited for, and whose it is;
/// * `export`: what leaves the process or comes from another one.
///
/// The kind `legacy` is the same thing with the 32-bit sizes and addresses of before CUDA 3.2.
///
/// Names are those that the library exports, every one of CUDA 11.8 to 13.5, with version and stream suffix; `_ptds` and
/// `_ptsz` are the spellings with the per-thread default stream and follow the plain one. Exports, resolver routing and
/// the conformance tests are generated from this table and from nothing else. The types in it are those of
/// [`crate::cuda`] and [`core::ffi`]; the macro's user imports them. An enum is a `c_uint`, and a structure that Missile
/// does not read is a `c_void`. `check_headers.py` beside this crate holds the table against NVIDIA's headers.
#[macro_export]
macro_rules! governed_functions {
    ($with:path) => {
        $with! {
            // Start.
            init begin cuInit(flags: c_uint);

            // Look-up of functions by name.
            resolver plain cuGetProcAddress(symbol: *const c_char, pfn: *mut *mut c_void, version: c_int, flags: u64);
            resolver with_status cuGetProcAddress_v2(symbol: *const c_char, pfn: *mut *mut c_void, version: c_int, flags: u64, status: *mut c_int);

            // Memory that a program gets; kinds by where it lies and how it is freed.
            alloc linear cuMemAlloc_v2(dptr: *mut CUdeviceptr, bytes: usize);
            alloc pitched cuMemAllocPitch_v2(dptr: *mut CUdeviceptr, pitch: *mut usize, width: usize, height: usize, element: c_uint);
            alloc stream_ordered cuMemAllocAsync(dptr: *mut CUdeviceptr, bytes: usize, stream: CUstream);
            alloc stream_ordered cuMemAllocAsync_ptsz(dptr: *mut CUdeviceptr, bytes: usize, stream: CUstream);
            alloc from_pool cuMemAllocFromPoolAsync(dptr: *mut CUdeviceptr, bytes: usize, pool: CUmemoryPool, stream: CUstream);
            alloc from_pool cuMemAllocFromPoolAsync_ptsz(dptr: *mut CUdeviceptr, bytes: usize, pool: CUmemoryPool, stream: CUstream);
            alloc managed cuMemAllocManaged(dptr: *mut CUdeviceptr, bytes: usize, flags: c_uint);
            alloc host cuMemAllocHost_v2(pp: *mut *mut c_void, bytes: usize);
            alloc host cuMemHostAlloc(pp: *mut *mut c_void, bytes: usize, flags: c_uint);
            alloc host cuMemHostRegister(p: *mut c_void, bytes: usize, flags: c_uint);
            alloc host cuMemHostRegister_v2(p: *mut c_void, bytes: usize, flags: c_uint);
            alloc physical cuMemCreate(handle: *mut CUmemGenericAllocationHandle, size: usize, prop: *const CUmemAllocationProp, flags: u64);
            alloc mapping cuMemAddressReserve(ptr: *mut CUdeviceptr, size: usize, alignment: usize, addr: CUdeviceptr, flags: u64);
            alloc mapping cuMemMap(ptr: CUdeviceptr, size: usize, offset: usize, handle: CUmemGenericAllocationHandle, flags: u64);
            alloc mapping cuMemMapArrayAsync(maps: *mut c_void, count: c_uint, stream: CUstream);
            alloc mapping cuMemMapArrayAsync_ptsz(maps: *mut c_void, count: c_uint, stream: CUstream);
            alloc mapping cuMemSetAccess(ptr: CUdeviceptr, size: usize, desc: *const c_void, count: usize);
            alloc array cuArrayCreate_v2(handle: *mut CUarray, desc: *const c_void);
            alloc array cuArray3DCreate_v2(handle: *mut CUarray, desc: *const c_void);
            alloc array cuMipmappedArrayCreate(handle: *mut CUmipmappedArray, desc: *const c_void, levels: c_uint);
            alloc new_pool cuMemPoolCreate(pool: *mut CUmemoryPool, props: *const c_void);
            alloc pool cuMemPoolSetAttribute(pool: CUmemoryPool, attr: c_uint, value: *mut c_void);
            alloc pool cuMemPoolSetAccess(pool: CUmemoryPool, map: *const c_void, count: usize);
            alloc imported_pool cuMemPoolImportFromShareableHandle(pool: *mut CUmemoryPool, handle: *mut c_void, kind: c_uint, flags: u64);
            alloc pool cuMemSetMemPool(location: *mut CUmemLocation, kind: c_uint, pool: CUmemoryPool);
            alloc pool cuDeviceSetMemPool(device: CUdevice, pool: CUmemoryPool);
            alloc pool cuDeviceSetGraphMemAttribute(device: CUdevice, attr: c_uint, value: *mut c_void);
            alloc legacy cuMemAlloc(dptr: *mut CUdeviceptr_v1, bytes: c_uint);
            alloc legacy cuMemAllocPitch(dptr: *mut CUdeviceptr_v1, pitch: *mut c_uint, width: c_uint, height: c_uint, element: c_uint);
            alloc legacy cuMemAllocHost(pp: *mut *mut c_void, bytes: c_uint);
            alloc legacy cuArrayCreate(handle: *mut CUarray, desc: *const c_void);
            alloc legacy cuArray3DCreate(handle: *mut CUarray, desc: *const c_void);

            // Memory that a program gives back.
            free linear cuMemFree_v2(dptr: CUdeviceptr);
            free stream_ordered cuMemFreeAsync(dptr: CUdeviceptr, stream: CUstream);
            free stream_ordered cuMemFreeAsync_ptsz(dptr: CUdeviceptr, stream: CUstream);
            free host cuMemFreeHost(p: *mut c_void);
            free host cuMemHostUnregister(p: *mut c_void);
            free physical cuMemRelease(handle: CUmemGenericAllocationHandle);
            free mapping cuMemUnmap(ptr: CUdeviceptr, size: usize);
            free mapping cuMemAddressFree(ptr: CUdeviceptr, size: usize);
            free array cuArrayDestroy(array: CUarray);
            free array cuMipmappedArrayDestroy(array: CUmipmappedArray);
            free pool cuMemPoolDestroy(pool: CUmemoryPool);
            free trim cuMemPoolTrimTo(pool: CUmemoryPool, keep: usize);
            free trim cuDeviceGraphMemTrim(device: CUdevice);
            free legacy cuMemFree(dptr: CUdeviceptr_v1);

            // Questions about memory, whose answers must fit what the tenant was given.
            info memory cuMemGetInfo_v2(free: *mut usize, total: *mut usize);
            info memory cuDeviceTotalMem_v2(bytes: *mut usize, device: CUdevice);
            info memory cuMemGetAddressRange_v2(base: *mut CUdeviceptr, size: *mut usize, dptr: CUdeviceptr);
            info memory cuPointerGetAttributes(count: c_uint, attributes: *mut c_uint, data: *mut *mut c_void, ptr: CUdeviceptr);
            info memory cuMemGetAllocationGranularity(granularity: *mut usize, prop: *const CUmemAllocationProp, option: c_uint);
            info memory cuMemGetAllocationPropertiesFromHandle(prop: *mut CUmemAllocationProp, handle: CUmemGenericAllocationHandle);
            info retained cuMemRetainAllocationHandle(handle: *mut CUmemGenericAllocationHandle, addr: *mut c_void);
            info memory cuMemPoolGetAttribute(pool: CUmemoryPool, attr: c_uint, value: *mut c_void);
            info memory cuMemPoolGetAccess(flags: *mut c_uint, pool: CUmemoryPool, location: *mut CUmemLocation);
            info memory cuMemGetMemPool(pool: *mut CUmemoryPool, location: *mut CUmemLocation, kind: c_uint);
            info memory cuMemGetDefaultMemPool(pool: *mut CUmemoryPool, location: *mut CUmemLocation, kind: c_uint);
            info memory cuDeviceGetMemPool(pool: *mut CUmemoryPool, device: CUdevice);
            info memory cuDeviceGetDefaultMemPool(pool: *mut CUmemoryPool, device: CUdevice);
            info memory cuDeviceGetGraphMemAttribute(device: CUdevice, attr: c_uint, value: *mut c_void);
            info legacy cuMemGetInfo(free: *mut c_uint, total: *mut c_uint);
            info legacy cuDeviceTotalMem(bytes: *mut c_uint, device: CUdevice);
            info legacy cuMemGetAddressRange(base: *mut CUdeviceptr_v1, size: *mut c_uint, dptr: CUdeviceptr_v1);

            // Copies that return when the caller may reuse the host memory.
            copy h2d cuMemcpyHtoD_v2(dst: CUdeviceptr, src: *const c_void, bytes: usize);
            copy h2d cuMemcpyHtoD_v2_ptds(dst: CUdeviceptr, src: *const c_void, bytes: usize);
            copy d2h cuMemcpyDtoH_v2(dst: *mut c_void, src: CUdeviceptr, bytes: usize);
            copy d2h cuMemcpyDtoH_v2_ptds(dst: *mut c_void, src: CUdeviceptr, bytes: usize);
            copy d2d cuMemcpyDtoD_v2(dst: CUdeviceptr, src: CUdeviceptr, bytes: usize);
            copy d2d cuMemcpyDtoD_v2_ptds(dst: CUdeviceptr, src: CUdeviceptr, bytes: usize);
            copy unified cuMemcpy(dst: CUdeviceptr, src: CUdeviceptr, bytes: usize);
            copy unified cuMemcpy_ptds(dst: CUdeviceptr, src: CUdeviceptr, bytes: usize);
            copy shaped cuMemcpy2D_v2(copy: *const CUDA_MEMCPY2D);
            copy shaped cuMemcpy2D_v2_ptds(copy: *const CUDA_MEMCPY2D);
            copy shaped cuMemcpy2DUnaligned_v2(copy: *const CUDA_MEMCPY2D);
            copy shaped cuMemcpy2DUnaligned_v2_ptds(copy: *const CUDA_MEMCPY2D);
            copy shaped cuMemcpy3D_v2(copy: *const CUDA_MEMCPY3D);
            copy shaped cuMemcpy3D_v2_ptds(copy: *const CUDA_MEMCPY3D);
            copy h2a cuMemcpyHtoA_v2(dst: CUarray, dst_offset: usize, src: *const c_void, bytes: usize);
            copy h2a cuMemcpyHtoA_v2_ptds(dst: CUarray, dst_offset: usize, src: *const c_void, bytes: usize);
            copy a2h cuMemcpyAtoH_v2(dst: *mut c_void, src: CUarray, src_offset: usize, bytes: usize);
            copy a2h cuMemcpyAtoH_v2_ptds(dst: *mut c_void, src: CUarray, src_offset: usize, bytes: usize);
            copy array cuMemcpyDtoA_v2(dst: CUarray, dst_offset: usize, src: CUdeviceptr, bytes: usize);
            copy array cuMemcpyDtoA_v2_ptds(dst: CUarray, dst_offset: usize, src: CUdeviceptr, bytes: usize);
            copy array cuMemcpyAtoD_v2(dst: CUdeviceptr, src: CUarray, src_offset: usize, bytes: usize);
            copy array cuMemcpyAtoD_v2_ptds(dst: CUdeviceptr, src: CUarray, src_offset: usize, bytes: usize);
            copy array cuMemcpyAtoA_v2(dst: CUarray, dst_offset: usize, src: CUarray, src_offset: usize, bytes: usize);
            copy array cuMemcpyAtoA_v2_ptds(dst: CUarray, dst_offset: usize, src: CUarray, src_offset: usize, bytes: usize);
            copy peer cuMemcpyPeer(dst: CUdeviceptr, dst_ctx: CUcontext, src: CUdeviceptr, src_ctx: CUcontext, bytes: usize);
            copy peer cuMemcpyPeer_ptds(dst: CUdeviceptr, dst_ctx: CUcontext, src: CUdeviceptr, src_ctx: CUcontext, bytes: usize);
            copy peer_box cuMemcpy3DPeer(copy: *const CUDA_MEMCPY3D_PEER);
            copy peer_box cuMemcpy3DPeer_ptds(copy: *const CUDA_MEMCPY3D_PEER);

            // Copies that a stream orders.
            copy h2d_async cuMemcpyHtoDAsync_v2(dst: CUdeviceptr, src: *const c_void, bytes: usize, stream: CUstream);
            copy h2d_async cuMemcpyHtoDAsync_v2_ptsz(dst: CUdeviceptr, src: *const c_void, bytes: usize, stream: CUstream);
            copy d2h_async cuMemcpyDtoHAsync_v2(dst: *mut c_void, src: CUdeviceptr, bytes: usize, stream: CUstream);
            copy d2h_async cuMemcpyDtoHAsync_v2_ptsz(dst: *mut c_void, src: CUdeviceptr, bytes: usize, stream: CUstream);
            copy d2d_async cuMemcpyDtoDAsync_v2(dst: CUdeviceptr, src: CUdeviceptr, bytes: usize, stream: CUstream);
            copy d2d_async cuMemcpyDtoDAsync_v2_ptsz(dst: CUdeviceptr, src: CUdeviceptr, bytes: usize, stream: CUstream);
            copy unified_async cuMemcpyAsync(dst: CUdeviceptr, src: CUdeviceptr, bytes: usize, stream: CUstream);
            copy unified_async cuMemcpyAsync_ptsz(dst: CUdeviceptr, src: CUdeviceptr, bytes: usize, stream: CUstream);
            copy shaped_async cuMemcpy2DAsync_v2(copy: *const CUDA_MEMCPY2D, stream: CUstream);
            copy shaped_async cuMemcpy2DAsync_v2_ptsz(copy: *const CUDA_MEMCPY2D, stream: CUstream);
            copy shaped_async cuMemcpy3DAsync_v2(copy: *const CUDA_MEMCPY3D, stream: CUstream);
            copy shaped_async cuMemcpy3DAsync_v2_ptsz(copy: *const CUDA_MEMCPY3D, stream: CUstream);
            copy h2a_async cuMemcpyHtoAAsync_v2(dst: CUarray, dst_offset: usize, src: *const c_void, bytes: usize, stream: CUstream);
            copy h2a_async cuMemcpyHtoAAsync_v2_ptsz(dst: CUarray, dst_offset: usize, src: *const c_void, bytes: usize, stream: CUstream);
            copy a2h_async cuMemcpyAtoHAsync_v2(dst: *mut c_void, src: CUarray, src_offset: usize, bytes: usize, stream: CUstream);
            copy a2h_async cuMemcpyAtoHAsync_v2_ptsz(dst: *mut c_void, src: CUarray, src_offset: usize, bytes: usize, stream: CUstream);
            copy peer_async cuMemcpyPeerAsync(dst: CUdeviceptr, dst_ctx: CUcontext, src: CUdeviceptr, src_ctx: CUcontext, bytes: usize, stream: CUstream);
            copy peer_async cuMemcpyPeerAsync_ptsz(dst: CUdeviceptr, dst_ctx: CUcontext, src: CUdeviceptr, src_ctx: CUcontext, bytes: usize, stream: CUstream);
            copy peer_box_async cuMemcpy3DPeerAsync(copy: *const CUDA_MEMCPY3D_PEER, stream: CUstream);
            copy peer_box_async cuMemcpy3DPeerAsync_ptsz(copy: *const CUDA_MEMCPY3D_PEER, stream: CUstream);
            copy batch cuMemcpyBatchAsync(dsts: *mut CUdeviceptr, srcs: *mut CUdeviceptr, sizes: *mut usize, count: usize, attrs: *mut c_void, attr_indices: *mut usize, attr_count: usize, fail: *mut usize, stream: CUstream);
            copy batch cuMemcpyBatchAsync_ptsz(dsts: *mut CUdeviceptr, srcs: *mut CUdeviceptr, sizes: *mut usize, count: usize, attrs: *mut c_void, attr_indices: *mut usize, attr_count: usize, fail: *mut usize, stream: CUstream);
            copy batch cuMemcpyBatchAsync_v2(dsts: *mut CUdeviceptr, srcs: *mut CUdeviceptr, sizes: *mut usize, count: usize, attrs: *mut c_void, attr_indices: *mut usize, attr_count: usize, stream: CUstream);
            copy batch cuMemcpyBatchAsync_v2_ptsz(dsts: *mut CUdeviceptr, srcs: *mut CUdeviceptr, sizes: *mut usize, count: usize, attrs: *mut c_void, attr_indices: *mut usize, attr_count: usize, stream: CUstream);
            copy box_batch cuMemcpy3DBatchAsync(count: usize, ops: *mut c_void, fail: *mut usize, flags: u64, stream: CUstream);
            copy box_batch cuMemcpy3DBatchAsync_ptsz(count: usize, ops: *mut c_void, fail: *mut usize, flags: u64, stream: CUstream);
            copy box_batch cuMemcpy3DBatchAsync_v2(count: usize, ops: *mut c_void, flags: u64, stream: CUstream);
            copy box_batch cuMemcpy3DBatchAsync_v2_ptsz(count: usize, ops: *mut c_void, flags: u64, stream: CUstream);
            copy hinted cuMemcpyWithAttributesAsync(dst: CUdeviceptr, src: CUdeviceptr, bytes: usize, attr: *mut c_void, stream: CUstream);
            copy hinted cuMemcpyWithAttributesAsync_ptsz(dst: CUdeviceptr, src: CUdeviceptr, bytes: usize, attr: *mut c_void, stream: CUstream);
            copy hinted_box cuMemcpy3DWithAttributesAsync(op: *mut c_void, flags: u64, stream: CUstream);
            copy hinted_box cuMemcpy3DWithAttributesAsync_ptsz(op: *mut c_void, flags: u64, stream: CUstream);
            copy other cuFabricCpyBatchAsync(count: usize, ops: *mut c_void, flags: u64, stream: CUstream);
            copy other cuFabricCpyBatchAsync_ptsz(count: usize, ops: *mut c_void, flags: u64, stream: CUstream);
            copy other cuMemBatchDecompressAsync(params: *mut c_void, count: usize, flags: c_uint, error_index: *mut usize, stream: CUstream);
            copy other cuMemBatchDecompressAsync_ptsz(params: *mut c_void, count: usize, flags: c_uint, error_index: *mut usize, stream: CUstream);

            // Hints that move managed memory over the bus.
            copy prefetch cuMemPrefetchAsync(dptr: CUdeviceptr, count: usize, dst: CUdevice, stream: CUstream);
            copy prefetch cuMemPrefetchAsync_ptsz(dptr: CUdeviceptr, count: usize, dst: CUdevice, stream: CUstream);
            copy prefetch cuMemPrefetchAsync_v2(dptr: CUdeviceptr, count: usize, location: CUmemLocation, flags: c_uint, stream: CUstream);
            copy prefetch cuMemPrefetchAsync_v2_ptsz(dptr: CUdeviceptr, count: usize, location: CUmemLocation, flags: c_uint, stream: CUstream);
            copy prefetch cuMemPrefetchBatchAsync(dptrs: *mut CUdeviceptr, sizes: *mut usize, count: usize, locations: *mut CUmemLocation, location_indices: *mut usize, location_count: usize, flags: u64, stream: CUstream);
            copy prefetch cuMemPrefetchBatchAsync_ptsz(dptrs: *mut CUdeviceptr, sizes: *mut usize, count: usize, locations: *mut CUmemLocation, location_indices: *mut usize, location_count: usize, flags: u64, stream: CUstream);
            copy prefetch cuMemDiscardBatchAsync(dptrs: *mut CUdeviceptr, sizes: *mut usize, count: usize, flags: u64, stream: CUstream);
            copy prefetch cuMemDiscardBatchAsync_ptsz(dptrs: *mut CUdeviceptr, sizes: *mut usize, count: usize, flags: u64, stream: CUstream);
            copy prefetch cuMemDiscardAndPrefetchBatchAsync(dptrs: *mut CUdeviceptr, sizes: *mut usize, count: usize, locations: *mut CUmemLocation, location_indices: *mut usize, location_count: usize, flags: u64, stream: CUstream);
            copy prefetch cuMemDiscardAndPrefetchBatchAsync_ptsz(dptrs: *mut CUdeviceptr, sizes: *mut usize, count: usize, locations: *mut CUmemLocation, location_indices: *mut usize, location_count: usize, flags: u64, stream: CUstream);
            copy prefetch cuMemAdvise(dptr: CUdeviceptr, count: usize, advice: c_uint, device: CUdevice);
            copy prefetch cuMemAdvise_v2(dptr: CUdeviceptr, count: usize, advice: c_uint, location: CUmemLocation);

            // Copies with the 32-bit sizes of before CUDA 3.2, blocking and not.
            copy legacy cuMemcpyHtoD(dst: CUdeviceptr_v1, src: *const c_void, bytes: c_uint);
            copy legacy cuMemcpyDtoH(dst: *mut c_void, src: CUdeviceptr_v1, bytes: c_uint);
            copy legacy cuMemcpyDtoD(dst: CUdeviceptr_v1, src: CUdeviceptr_v1, bytes: c_uint);
            copy legacy cuMemcpyHtoA(dst: CUarray, dst_offset: c_uint, src: *const c_void, bytes: c_uint);
            copy legacy cuMemcpyAtoH(dst: *mut c_void, src: CUarray, src_offset: c_uint, bytes: c_uint);
            copy legacy cuMemcpyDtoA(dst: CUarray, dst_offset: c_uint, src: CUdeviceptr_v1, bytes: c_uint);
            copy legacy cuMemcpyAtoD(dst: CUdeviceptr_v1, src: CUarray, src_offset: c_uint, bytes: c_uint);
            copy legacy cuMemcpyAtoA(dst: CUarray, dst_offset: c_uint, src: CUarray, src_offset: c_uint, bytes: c_uint);
            copy legacy cuMemcpy2D(copy: *const c_void);
            copy legacy cuMemcpy2DUnaligned(copy: *const c_void);
            copy legacy cuMemcpy3D(copy: *const c_void);
            copy legacy cuMemcpyHtoDAsync(dst: CUdeviceptr_v1, src: *const c_void, bytes: c_uint, stream: CUstream);
            copy legacy cuMemcpyDtoHAsync(dst: *mut c_void, src: CUdeviceptr_v1, bytes: c_uint, stream: CUstream);
            copy legacy cuMemcpyDtoDAsync(dst: CUdeviceptr_v1, src: CUdeviceptr_v1, bytes: c_uint, stream: CUstream);
            copy legacy cuMemcpyHtoAAsync(dst: CUarray, dst_offset: c_uint, src: *const c_void, bytes: c_uint, stream: CUstream);
            copy legacy cuMemcpyAtoHAsync(dst: *mut c_void, src: CUarray, src_offset: c_uint, bytes: c_uint, stream: CUstream);
            copy legacy cuMemcpy2DAsync(copy: *const c_void, stream: CUstream);
            copy legacy cuMemcpy3DAsync(copy: *const c_void, stream: CUstream);

            // Launches.
            launch kernel cuLaunchKernel(f: CUfunction, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, shared: c_uint, stream: CUstream, params: *mut *mut c_void, extra: *mut *mut c_void);
            launch kernel cuLaunchKernel_ptsz(f: CUfunction, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, shared: c_uint, stream: CUstream, params: *mut *mut c_void, extra: *mut *mut c_void);
            launch configured cuLaunchKernelEx(config: *const CUlaunchConfig, f: CUfunction, params: *mut *mut c_void, extra: *mut *mut c_void);
            launch configured cuLaunchKernelEx_ptsz(config: *const CUlaunchConfig, f: CUfunction, params: *mut *mut c_void, extra: *mut *mut c_void);
            launch cooperative cuLaunchCooperativeKernel(f: CUfunction, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, shared: c_uint, stream: CUstream, params: *mut *mut c_void);
            launch cooperative cuLaunchCooperativeKernel_ptsz(f: CUfunction, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, shared: c_uint, stream: CUstream, params: *mut *mut c_void);
            launch legacy cuLaunch(f: CUfunction);
            launch legacy cuLaunchGrid(f: CUfunction, width: c_int, height: c_int);
            launch legacy_async cuLaunchGridAsync(f: CUfunction, width: c_int, height: c_int, stream: CUstream);
            launch many cuLaunchCooperativeKernelMultiDevice(launches: *mut c_void, count: c_uint, flags: c_uint);
            launch host_function cuLaunchHostFunc(stream: CUstream, function: CUhostFn, data: *mut c_void);
            launch host_function cuLaunchHostFunc_ptsz(stream: CUstream, function: CUhostFn, data: *mut c_void);
            launch host_function cuLaunchHostFunc_v2(stream: CUstream, function: CUhostFn, data: *mut c_void, sync_mode: c_uint);
            launch host_function cuLaunchHostFunc_v2_ptsz(stream: CUstream, function: CUhostFn, data: *mut c_void, sync_mode: c_uint);
            launch host_function cuStreamAddCallback(stream: CUstream, callback: CUstreamCallback, data: *mut c_void, flags: c_uint);
            launch host_function cuStreamAddCallback_ptsz(stream: CUstream, callback: CUstreamCallback, data: *mut c_void, flags: c_uint);

            // Graphs: run, made ready, changed, built, gone.
            graph launch cuGraphLaunch(exec: CUgraphExec, stream: CUstream);
            graph launch cuGraphLaunch_ptsz(exec: CUgraphExec, stream: CUstream);
            graph upload cuGraphUpload(graph: CUgraphExec, stream: CUstream);
            graph upload cuGraphUpload_ptsz(graph: CUgraphExec, stream: CUstream);
            graph instantiate cuGraphInstantiate(exec: *mut CUgraphExec, graph: CUgraph, error_node: *mut CUgraphNode, log: *mut c_char, log_bytes: usize);
            graph instantiate cuGraphInstantiate_v2(exec: *mut CUgraphExec, graph: CUgraph, error_node: *mut CUgraphNode, log: *mut c_char, log_bytes: usize);
            graph instantiate cuGraphInstantiateWithFlags(exec: *mut CUgraphExec, graph: CUgraph, flags: u64);
            graph instantiate cuGraphInstantiateWithParams(exec: *mut CUgraphExec, graph: CUgraph, params: *mut c_void);
            graph instantiate cuGraphInstantiateWithParams_ptsz(exec: *mut CUgraphExec, graph: CUgraph, params: *mut c_void);
            graph update cuGraphExecBatchMemOpNodeSetParams(exec: CUgraphExec, node: CUgraphNode, params: *const c_void);
            graph update_child cuGraphExecChildGraphNodeSetParams(exec: CUgraphExec, node: CUgraphNode, child: CUgraph);
            graph update cuGraphExecEventRecordNodeSetEvent(exec: CUgraphExec, node: CUgraphNode, event: CUevent);
            graph update cuGraphExecEventWaitNodeSetEvent(exec: CUgraphExec, node: CUgraphNode, event: CUevent);
            graph update cuGraphExecExternalSemaphoresSignalNodeSetParams(exec: CUgraphExec, node: CUgraphNode, params: *const c_void);
            graph update cuGraphExecExternalSemaphoresWaitNodeSetParams(exec: CUgraphExec, node: CUgraphNode, params: *const c_void);
            graph update cuGraphExecHostNodeSetParams(exec: CUgraphExec, node: CUgraphNode, params: *const c_void);
            graph update cuGraphExecKernelNodeSetParams(exec: CUgraphExec, node: CUgraphNode, params: *const c_void);
            graph update cuGraphExecKernelNodeSetParams_v2(exec: CUgraphExec, node: CUgraphNode, params: *const c_void);
            graph update_copy cuGraphExecMemcpyNodeSetParams(exec: CUgraphExec, node: CUgraphNode, copy: *const CUDA_MEMCPY3D, ctx: CUcontext);
            graph update cuGraphExecMemsetNodeSetParams(exec: CUgraphExec, node: CUgraphNode, memset: *const c_void, ctx: CUcontext);
            graph update_any cuGraphExecNodeSetParams(exec: CUgraphExec, node: CUgraphNode, params: *mut c_void);
            graph update_all cuGraphExecUpdate(exec: CUgraphExec, graph: CUgraph, error_node: *mut CUgraphNode, result: *mut c_uint);
            graph update_all cuGraphExecUpdate_v2(exec: CUgraphExec, graph: CUgraph, result: *mut c_void);
            graph update cuGraphNodeSetEnabled(exec: CUgraphExec, node: CUgraphNode, enabled: c_uint);
            graph build cuGraphCreate(graph: *mut CUgraph, flags: c_uint);
            graph build cuGraphClone(clone: *mut CUgraph, original: CUgraph);
            graph build cuGraphAddBatchMemOpNode(node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, count: usize, params: *const c_void);
            graph build cuGraphAddChildGraphNode(node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, count: usize, child: CUgraph);
            graph build cuGraphAddDependencies(graph: CUgraph, from: *const CUgraphNode, to: *const CUgraphNode, count: usize);
            graph build cuGraphAddDependencies_v2(graph: CUgraph, from: *const CUgraphNode, to: *const CUgraphNode, edges: *const c_void, count: usize);
            graph build cuGraphAddEmptyNode(node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, count: usize);
            graph build cuGraphAddEventRecordNode(node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, count: usize, event: CUevent);
            graph build cuGraphAddEventWaitNode(node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, count: usize, event: CUevent);
            graph build cuGraphAddExternalSemaphoresSignalNode(node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, count: usize, params: *const c_void);
            graph build cuGraphAddExternalSemaphoresWaitNode(node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, count: usize, params: *const c_void);
            graph build cuGraphAddHostNode(node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, count: usize, params: *const c_void);
            graph build cuGraphAddKernelNode(node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, count: usize, params: *const c_void);
            graph build cuGraphAddKernelNode_v2(node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, count: usize, params: *const c_void);
            graph build cuGraphAddMemAllocNode(node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, count: usize, params: *mut c_void);
            graph build cuGraphAddMemFreeNode(node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, count: usize, dptr: CUdeviceptr);
            graph build cuGraphAddMemcpyNode(node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, count: usize, copy: *const CUDA_MEMCPY3D, ctx: CUcontext);
            graph build cuGraphAddMemsetNode(node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, count: usize, memset: *const c_void, ctx: CUcontext);
            graph build cuGraphAddNode(node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, count: usize, params: *mut c_void);
            graph build cuGraphAddNode_v2(node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, edges: *const c_void, count: usize, params: *mut c_void);
            graph build cuGraphAddNode_v3(node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, edges: *const c_void, count: usize, params: *mut c_void);
            graph build cuGraphRemoveDependencies(graph: CUgraph, from: *const CUgraphNode, to: *const CUgraphNode, count: usize);
            graph build cuGraphRemoveDependencies_v2(graph: CUgraph, from: *const CUgraphNode, to: *const CUgraphNode, edges: *const c_void, count: usize);
            graph build cuGraphDestroyNode(node: CUgraphNode);
            graph build cuGraphBatchMemOpNodeSetParams(node: CUgraphNode, params: *const c_void);
            graph build cuGraphEventRecordNodeSetEvent(node: CUgraphNode, event: CUevent);
            graph build cuGraphEventWaitNodeSetEvent(node: CUgraphNode, event: CUevent);
            graph build cuGraphExternalSemaphoresSignalNodeSetParams(node: CUgraphNode, params: *const c_void);
            graph build cuGraphExternalSemaphoresWaitNodeSetParams(node: CUgraphNode, params: *const c_void);
            graph build cuGraphHostNodeSetParams(node: CUgraphNode, params: *const c_void);
            graph build cuGraphKernelNodeSetAttribute(node: CUgraphNode, attr: c_uint, value: *const c_void);
            graph build cuGraphKernelNodeSetParams(node: CUgraphNode, params: *const c_void);
            graph build cuGraphKernelNodeSetParams_v2(node: CUgraphNode, params: *const c_void);
            graph build cuGraphMemcpyNodeSetParams(node: CUgraphNode, params: *const CUDA_MEMCPY3D);
            graph build cuGraphMemsetNodeSetParams(node: CUgraphNode, params: *const c_void);
            graph build cuGraphNodeSetParams(node: CUgraphNode, params: *mut c_void);
            graph build cuGraphNodeSetParams_v2(node: CUgraphNode, params: *mut c_void);
            graph build cuGraphKernelNodeCopyAttributes(dst: CUgraphNode, src: CUgraphNode);
            graph build cuGraphConditionalHandleCreate(handle: *mut CUgraphConditionalHandle, graph: CUgraph, ctx: CUcontext, initial: c_uint, flags: c_uint);
            graph destroy_exec cuGraphExecDestroy(exec: CUgraphExec);
            graph destroy cuGraphDestroy(graph: CUgraph);

            // Streams.
            stream create cuStreamCreate(stream: *mut CUstream, flags: c_uint);
            stream create cuStreamCreateWithPriority(stream: *mut CUstream, flags: c_uint, priority: c_int);
            stream destroy cuStreamDestroy(stream: CUstream);
            stream destroy cuStreamDestroy_v2(stream: CUstream);
            stream begin_capture cuStreamBeginCapture(stream: CUstream);
            stream begin_capture cuStreamBeginCapture_ptsz(stream: CUstream);
            stream begin_capture cuStreamBeginCapture_v2(stream: CUstream, mode: c_uint);
            stream begin_capture cuStreamBeginCapture_v2_ptsz(stream: CUstream, mode: c_uint);
            stream begin_capture cuStreamBeginCaptureToGraph(stream: CUstream, graph: CUgraph, dependencies: *const CUgraphNode, edges: *const c_void, count: usize, mode: c_uint);
            stream begin_capture cuStreamBeginCaptureToGraph_ptsz(stream: CUstream, graph: CUgraph, dependencies: *const CUgraphNode, edges: *const c_void, count: usize, mode: c_uint);
            stream begin_capture cuStreamBeginRecaptureToGraph(stream: CUstream, mode: c_uint, graph: CUgraph, callback: CUgraphRecaptureCallback, data: *mut c_void);
            stream begin_capture cuStreamBeginRecaptureToGraph_ptsz(stream: CUstream, mode: c_uint, graph: CUgraph, callback: CUgraphRecaptureCallback, data: *mut c_void);
            stream begin_capture cuStreamBeginCaptureToCig(stream: CUstream, params: *mut c_void);
            stream begin_capture cuStreamBeginCaptureToCig_ptsz(stream: CUstream, params: *mut c_void);
            stream end_capture cuStreamEndCapture(stream: CUstream, graph: *mut CUgraph);
            stream end_capture cuStreamEndCapture_ptsz(stream: CUstream, graph: *mut CUgraph);
            stream end_capture cuStreamEndCaptureToCig(stream: CUstream);
            stream end_capture cuStreamEndCaptureToCig_ptsz(stream: CUstream);
            stream capture cuStreamUpdateCaptureDependencies(stream: CUstream, dependencies: *mut CUgraphNode, count: usize, flags: c_uint);
            stream capture cuStreamUpdateCaptureDependencies_ptsz(stream: CUstream, dependencies: *mut CUgraphNode, count: usize, flags: c_uint);
            stream capture cuStreamUpdateCaptureDependencies_v2(stream: CUstream, dependencies: *mut CUgraphNode, edges: *const c_void, count: usize, flags: c_uint);
            stream capture cuStreamUpdateCaptureDependencies_v2_ptsz(stream: CUstream, dependencies: *mut CUgraphNode, edges: *const c_void, count: usize, flags: c_uint);
            stream capture cuThreadExchangeStreamCaptureMode(mode: *mut c_uint);
            stream attribute cuStreamSetAttribute(stream: CUstream, attr: c_uint, value: *const c_void);
            stream attribute cuStreamSetAttribute_ptsz(stream: CUstream, attr: c_uint, value: *const c_void);
            stream attribute cuStreamCopyAttributes(dst: CUstream, src: CUstream);
            stream attribute cuStreamCopyAttributes_ptsz(dst: CUstream, src: CUstream);

            stream wait cuStreamSynchronize(stream: CUstream);
            stream wait cuStreamSynchronize_ptsz(stream: CUstream);
            stream wait cuStreamQuery(stream: CUstream);
            stream wait cuStreamQuery_ptsz(stream: CUstream);

            // Events.
            event record cuEventRecord(event: CUevent, stream: CUstream);
            event record cuEventRecord_ptsz(event: CUevent, stream: CUstream);
            event record cuEventRecordWithFlags(event: CUevent, stream: CUstream, flags: c_uint);
            event record cuEventRecordWithFlags_ptsz(event: CUevent, stream: CUstream, flags: c_uint);
            event wait cuEventSynchronize(event: CUevent);
            event wait cuEventQuery(event: CUevent);

            // Contexts.
            context wait cuCtxSynchronize();
            context wait_given cuCtxSynchronize_v2(ctx: CUcontext);
            context create cuCtxCreate(ctx: *mut CUcontext, flags: c_uint, device: CUdevice);
            context create cuCtxCreate_v2(ctx: *mut CUcontext, flags: c_uint, device: CUdevice);
            context create cuCtxCreate_v3(ctx: *mut CUcontext, params: *mut c_void, count: c_int, flags: c_uint, device: CUdevice);
            context create cuCtxCreate_v4(ctx: *mut CUcontext, params: *mut c_void, flags: c_uint, device: CUdevice);
            context retain cuDevicePrimaryCtxRetain(ctx: *mut CUcontext, device: CUdevice);
            context create cuCtxAttach(ctx: *mut CUcontext, flags: c_uint);
            context destroy cuCtxDestroy(ctx: CUcontext);
            context destroy cuCtxDestroy_v2(ctx: CUcontext);
            context detach cuCtxDetach(ctx: CUcontext);
            context release cuDevicePrimaryCtxRelease(device: CUdevice);
            context release cuDevicePrimaryCtxRelease_v2(device: CUdevice);
            context release cuDevicePrimaryCtxReset(device: CUdevice);
            context release cuDevicePrimaryCtxReset_v2(device: CUdevice);
            context release cuDevicePrimaryCtxSetFlags(device: CUdevice, flags: c_uint);
            context release cuDevicePrimaryCtxSetFlags_v2(device: CUdevice, flags: c_uint);
            context current cuCtxSetCurrent(ctx: CUcontext);
            context current cuCtxPushCurrent(ctx: CUcontext);
            context current cuCtxPushCurrent_v2(ctx: CUcontext);
            context current cuCtxPopCurrent(ctx: *mut CUcontext);
            context current cuCtxPopCurrent_v2(ctx: *mut CUcontext);
            context green cuGreenCtxCreate(green: *mut CUgreenCtx, desc: CUdevResourceDesc, device: CUdevice, flags: c_uint);
            context release_green cuGreenCtxDestroy(green: CUgreenCtx);
            context green cuCtxFromGreenCtx(ctx: *mut CUcontext, green: CUgreenCtx);
            context green cuGreenCtxStreamCreate(stream: *mut CUstream, green: CUgreenCtx, flags: c_uint, priority: c_int);
            context green cuGreenCtxGetDevResource(green: CUgreenCtx, resource: *mut c_void, kind: c_uint);
            context green cuGreenCtxGetId(green: CUgreenCtx, id: *mut u64);
            context green cuGreenCtxRecordEvent(green: CUgreenCtx, event: CUevent);
            context green cuGreenCtxWaitEvent(green: CUgreenCtx, event: CUevent);
            context green cuDevSmResourceSplitByCount(result: *mut c_void, groups: *mut c_uint, input: *const c_void, remainder: *mut c_void, flags: c_uint, min_count: c_uint);
            context green cuDevSmResourceSplit(result: *mut c_void, groups: c_uint, input: *const c_void, remainder: *mut c_void, flags: c_uint, group_params: *mut c_void);
            context green cuDevResourceGenerateDesc(desc: *mut CUdevResourceDesc, resources: *mut c_void, count: c_uint);
            context peer cuCtxEnablePeerAccess(ctx: CUcontext, flags: c_uint);
            context limit cuCtxSetLimit(limit: c_uint, value: usize);

            // Ways out of the process and into it.
            export attribute cuPointerGetAttribute(data: *mut c_void, attribute: c_uint, ptr: CUdeviceptr);
            export attribute cuPointerSetAttribute(value: *const c_void, attribute: c_uint, ptr: CUdeviceptr);
            export memory cuIpcGetMemHandle(handle: *mut CUipcMemHandle, dptr: CUdeviceptr);
            export ipc cuIpcOpenMemHandle(dptr: *mut CUdeviceptr, handle: CUipcMemHandle, flags: c_uint);
            export ipc cuIpcOpenMemHandle_v2(dptr: *mut CUdeviceptr, handle: CUipcMemHandle, flags: c_uint);
            export ipc cuIpcCloseMemHandle(dptr: CUdeviceptr);
            export ipc cuIpcGetEventHandle(handle: *mut CUipcEventHandle, event: CUevent);
            export ipc cuIpcOpenEventHandle(event: *mut CUevent, handle: CUipcEventHandle);
            export shared_handle cuMemExportToShareableHandle(shareable: *mut c_void, handle: CUmemGenericAllocationHandle, kind: c_uint, flags: u64);
            export shareable cuMemImportFromShareableHandle(handle: *mut CUmemGenericAllocationHandle, shareable: *mut c_void, kind: c_uint);
            export shareable cuMemPoolExportToShareableHandle(handle: *mut c_void, pool: CUmemoryPool, kind: c_uint, flags: u64);
            export shareable cuMemPoolExportPointer(share: *mut c_void, ptr: CUdeviceptr);
            export shareable cuMemPoolImportPointer(dptr: *mut CUdeviceptr, pool: CUmemoryPool, share: *mut c_void);
            export memory cuMemGetHandleForAddressRange(handle: *mut c_void, dptr: CUdeviceptr, size: usize, kind: c_uint, flags: u64);
            export shareable cuMulticastCreate(multicast: *mut CUmemGenericAllocationHandle, prop: *const c_void);
            export shareable cuMulticastAddDevice(multicast: CUmemGenericAllocationHandle, device: CUdevice);
            export bound_handle cuMulticastBindMem(multicast: CUmemGenericAllocationHandle, multicast_offset: usize, handle: CUmemGenericAllocationHandle, mem_offset: usize, size: usize, flags: u64);
            export bound_handle_on cuMulticastBindMem_v2(multicast: CUmemGenericAllocationHandle, device: CUdevice, multicast_offset: usize, handle: CUmemGenericAllocationHandle, mem_offset: usize, size: usize, flags: u64);
            export bound_address cuMulticastBindAddr(multicast: CUmemGenericAllocationHandle, multicast_offset: usize, dptr: CUdeviceptr, size: usize, flags: u64);
            export bound_address_on cuMulticastBindAddr_v2(multicast: CUmemGenericAllocationHandle, device: CUdevice, multicast_offset: usize, dptr: CUdeviceptr, size: usize, flags: u64);
            export shareable cuMulticastUnbind(multicast: CUmemGenericAllocationHandle, device: CUdevice, multicast_offset: usize, size: usize);
            export endpoint cuLogicalEndpointIdReserve(endpoint: *mut CUlogicalEndpointId, count: c_uint);
            export endpoint cuLogicalEndpointIdRelease(endpoint: CUlogicalEndpointId, count: c_uint);
            export endpoint cuLogicalEndpointCreate(endpoint: CUlogicalEndpointId, prop: *const c_void);
            export endpoint cuLogicalEndpointDestroy(endpoint: CUlogicalEndpointId);
            export endpoint cuLogicalEndpointAddDevice(endpoint: CUlogicalEndpointId, device: CUdevice);
            export bound_handle_on cuLogicalEndpointBindMem(endpoint: CUlogicalEndpointId, device: CUdevice, offset: u64, handle: CUmemGenericAllocationHandle, mem_offset: u64, size: u64, flags: u64);
            export bound_address_on cuLogicalEndpointBindAddr(endpoint: CUlogicalEndpointId, device: CUdevice, offset: u64, dptr: *mut c_void, size: u64, flags: u64);
            export endpoint cuLogicalEndpointUnbind(endpoint: CUlogicalEndpointId, device: CUdevice, offset: u64, size: u64);
            export endpoint cuLogicalEndpointExport(handle: *mut c_void, endpoint: CUlogicalEndpointId, kind: c_uint);
            export endpoint cuLogicalEndpointImport(endpoint: CUlogicalEndpointId, handle: *const c_void, kind: c_uint);
            export table cuGetExportTable(table: *mut *const c_void, id: *const c_void);
        }
    };
}
