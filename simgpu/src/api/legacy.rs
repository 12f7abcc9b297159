//! Memory and copies with the 32-bit sizes and addresses of before CUDA 3.2, which cannot name the simulated GPU's
//! memory.

use abi::cuda::*;
use std::ffi::{c_int, c_uchar, c_uint, c_ushort, c_void};

unmodelled! {
    fn cuMemAlloc(dptr: *mut CUdeviceptr_v1, bytes: c_uint) needs dptr;
    fn cuMemAllocPitch(
        dptr: *mut CUdeviceptr_v1, pitch: *mut c_uint, width: c_uint, height: c_uint, element: c_uint
    ) needs dptr, pitch;
    fn cuMemAllocHost(pp: *mut *mut c_void, bytes: c_uint) needs pp;
    fn cuMemFree(dptr: CUdeviceptr_v1);
    fn cuMemGetInfo(free: *mut c_uint, total: *mut c_uint) needs free, total;
    fn cuDeviceTotalMem(bytes: *mut c_uint, device: CUdevice) needs bytes;
    fn cuMemGetAddressRange(base: *mut CUdeviceptr_v1, size: *mut c_uint, dptr: CUdeviceptr_v1);
    fn cuArrayCreate(handle: *mut CUarray, desc: *const c_void) needs handle, desc;
    fn cuArray3DCreate(handle: *mut CUarray, desc: *const c_void) needs handle, desc;
    fn cuMemcpyHtoD(dst: CUdeviceptr_v1, src: *const c_void, bytes: c_uint) needs src;
    fn cuMemcpyDtoH(dst: *mut c_void, src: CUdeviceptr_v1, bytes: c_uint) needs dst;
    fn cuMemcpyDtoD(dst: CUdeviceptr_v1, src: CUdeviceptr_v1, bytes: c_uint);
    fn cuMemcpyHtoA(dst: CUarray, dst_offset: c_uint, src: *const c_void, bytes: c_uint) needs dst, src;
    fn cuMemcpyAtoH(dst: *mut c_void, src: CUarray, src_offset: c_uint, bytes: c_uint) needs dst, src;
    fn cuMemcpyDtoA(dst: CUarray, dst_offset: c_uint, src: CUdeviceptr_v1, bytes: c_uint) needs dst;
    fn cuMemcpyAtoD(dst: CUdeviceptr_v1, src: CUarray, src_offset: c_uint, bytes: c_uint) needs src;
    fn cuMemcpyAtoA(dst: CUarray, dst_offset: c_uint, src: CUarray, src_offset: c_uint, bytes: c_uint) needs dst, src;
    fn cuMemcpy2D(copy: *const c_void) needs copy;
    fn cuMemcpy2DUnaligned(copy: *const c_void) needs copy;
    fn cuMemcpy3D(copy: *const c_void) needs copy;
    fn cuMemcpyHtoDAsync(dst: CUdeviceptr_v1, src: *const c_void, bytes: c_uint, stream: CUstream) on stream needs src;
    fn cuMemcpyDtoHAsync(dst: *mut c_void, src: CUdeviceptr_v1, bytes: c_uint, stream: CUstream) on stream needs dst;
    fn cuMemcpyDtoDAsync(dst: CUdeviceptr_v1, src: CUdeviceptr_v1, bytes: c_uint, stream: CUstream) on stream;
    fn cuMemcpyHtoAAsync(
        dst: CUarray, dst_offset: c_uint, src: *const c_void, bytes: c_uint, stream: CUstream
    ) on stream needs dst, src;
    fn cuMemcpyAtoHAsync(
        dst: *mut c_void, src: CUarray, src_offset: c_uint, bytes: c_uint, stream: CUstream
    ) on stream needs dst, src;
    fn cuMemcpy2DAsync(copy: *const c_void, stream: CUstream) on stream needs copy;
    fn cuMemcpy3DAsync(copy: *const c_void, stream: CUstream) on stream needs copy;
    fn cuLaunch(f: CUfunction) needs f;
    fn cuLaunchGrid(f: CUfunction, width: c_int, height: c_int) needs f;
    fn cuLaunchGridAsync(f: CUfunction, width: c_int, height: c_int, stream: CUstream) on stream needs f;
    fn cuMemsetD8(dst: CUdeviceptr_v1, value: c_uchar, count: c_uint);
    fn cuMemsetD2D8(dst: CUdeviceptr_v1, pitch: c_uint, value: c_uchar, width: c_uint, height: c_uint);
    fn cuMemsetD16(dst: CUdeviceptr_v1, value: c_ushort, count: c_uint);
    fn cuMemsetD2D16(dst: CUdeviceptr_v1, pitch: c_uint, value: c_ushort, width: c_uint, height: c_uint);
    fn cuMemsetD32(dst: CUdeviceptr_v1, value: c_uint, count: c_uint);
    fn cuMemsetD2D32(dst: CUdeviceptr_v1, pitch: c_uint, value: c_uint, width: c_uint, height: c_uint);
}
