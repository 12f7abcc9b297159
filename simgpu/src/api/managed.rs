//! Managed memory and the hints about it, which the simulated driver does not have.

use abi::cuda::*;
use std::ffi::{c_uint, c_void};

unmodelled! {
    fn cuMemAllocManaged(dptr: *mut CUdeviceptr, bytes: usize, flags: c_uint) needs dptr;
    fn cuMemPrefetchAsync / cuMemPrefetchAsync_ptsz(
        dptr: CUdeviceptr, count: usize, dst: CUdevice, stream: CUstream
    ) on stream;
    fn cuMemPrefetchAsync_v2 / cuMemPrefetchAsync_v2_ptsz(
        dptr: CUdeviceptr, count: usize, location: CUmemLocation, flags: c_uint, stream: CUstream
    ) on stream;
    fn cuMemPrefetchBatchAsync / cuMemPrefetchBatchAsync_ptsz(
        dptrs: *mut CUdeviceptr,
        sizes: *mut usize,
        count: usize,
        locations: *mut CUmemLocation,
        location_indices: *mut usize,
        location_count: usize,
        flags: u64,
        stream: CUstream,
    ) on stream needs dptrs, sizes, locations, location_indices;
    fn cuMemDiscardBatchAsync / cuMemDiscardBatchAsync_ptsz(
        dptrs: *mut CUdeviceptr, sizes: *mut usize, count: usize, flags: u64, stream: CUstream
    ) on stream needs dptrs, sizes;
    fn cuMemDiscardAndPrefetchBatchAsync / cuMemDiscardAndPrefetchBatchAsync_ptsz(
        dptrs: *mut CUdeviceptr,
        sizes: *mut usize,
        count: usize,
        locations: *mut CUmemLocation,
        location_indices: *mut usize,
        location_count: usize,
        flags: u64,
        stream: CUstream,
    ) on stream needs dptrs, sizes, locations, location_indices;
    fn cuMemAdvise(dptr: CUdeviceptr, count: usize, advice: c_uint, device: CUdevice);
    fn cuMemAdvise_v2(dptr: CUdeviceptr, count: usize, advice: c_uint, location: CUmemLocation);
    fn cuMemBatchDecompressAsync / cuMemBatchDecompressAsync_ptsz(
        params: *mut c_void, count: usize, flags: c_uint, error_index: *mut usize, stream: CUstream
    ) on stream needs params;
}
