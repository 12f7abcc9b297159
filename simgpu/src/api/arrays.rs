//! Arrays and mipmapped arrays, which the simulated GPU does not have.

use abi::cuda::*;
use std::ffi::{c_uint, c_void};

unmodelled! {
    fn cuArrayCreate_v2(handle: *mut CUarray, desc: *const c_void) needs handle, desc;
    fn cuArray3DCreate_v2(handle: *mut CUarray, desc: *const c_void) needs handle, desc;
    fn cuMipmappedArrayCreate(handle: *mut CUmipmappedArray, desc: *const c_void, levels: c_uint) needs handle, desc;
    fn cuArrayDestroy(array: CUarray) needs array;
    fn cuMipmappedArrayDestroy(array: CUmipmappedArray) needs array;
    fn cuMemMapArrayAsync / cuMemMapArrayAsync_ptsz(
        maps: *mut c_void, count: c_uint, stream: CUstream
    ) on stream needs maps;
    fn cuMemcpyHtoA_v2 / cuMemcpyHtoA_v2_ptds(
        dst: CUarray, dst_offset: usize, src: *const c_void, bytes: usize
    ) needs dst, src;
    fn cuMemcpyAtoH_v2 / cuMemcpyAtoH_v2_ptds(
        dst: *mut c_void, src: CUarray, src_offset: usize, bytes: usize
    ) needs dst, src;
    fn cuMemcpyDtoA_v2 / cuMemcpyDtoA_v2_ptds(
        dst: CUarray, dst_offset: usize, src: CUdeviceptr, bytes: usize
    ) needs dst;
    fn cuMemcpyAtoD_v2 / cuMemcpyAtoD_v2_ptds(
        dst: CUdeviceptr, src: CUarray, src_offset: usize, bytes: usize
    ) needs src;
    fn cuMemcpyAtoA_v2 / cuMemcpyAtoA_v2_ptds(
        dst: CUarray, dst_offset: usize, src: CUarray, src_offset: usize, bytes: usize
    ) needs dst, src;
    fn cuMemcpyHtoAAsync_v2 / cuMemcpyHtoAAsync_v2_ptsz(
        dst: CUarray, dst_offset: usize, src: *const c_void, bytes: usize, stream: CUstream
    ) on stream needs dst, src;
    fn cuMemcpyAtoHAsync_v2 / cuMemcpyAtoHAsync_v2_ptsz(
        dst: *mut c_void, src: CUarray, src_offset: usize, bytes: usize, stream: CUstream
    ) on stream needs dst, src;
}
