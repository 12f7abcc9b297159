//! Copies of every shape, and where memory comes from.

#[macro_use]
#[path = "driver_support/client.rs"]
mod client;

use abi::cuda::*;
use client::*;
use std::ffi::{c_uint, c_void};

unsafe extern "C" {
    fn cuMemcpy2D_v2(copy: *const CUDA_MEMCPY2D) -> CUresult;
    fn cuMemcpy2DAsync_v2(copy: *const CUDA_MEMCPY2D, stream: CUstream) -> CUresult;
    fn cuMemcpy3D_v2(copy: *const CUDA_MEMCPY3D) -> CUresult;
    fn cuMemcpyPeer(d: CUdeviceptr, dc: CUcontext, s: CUdeviceptr, sc: CUcontext, bytes: usize) -> CUresult;
    fn cuMemcpyBatchAsync(
        dsts: *mut CUdeviceptr,
        srcs: *mut CUdeviceptr,
        sizes: *mut usize,
        count: usize,
        attrs: *mut c_void,
        indices: *mut usize,
        attr_count: usize,
        fail: *mut usize,
        stream: CUstream,
    ) -> CUresult;
    fn cuMemsetD2D8_v2(dst: CUdeviceptr, pitch: usize, value: u8, width: usize, height: usize) -> CUresult;
    fn cuMemAllocPitch_v2(
        dptr: *mut CUdeviceptr,
        pitch: *mut usize,
        width: usize,
        height: usize,
        element: c_uint,
    ) -> CUresult;
    fn cuMemPoolCreate(pool: *mut CUmemoryPool, properties: *const c_void) -> CUresult;
    fn cuMemPoolDestroy(pool: CUmemoryPool) -> CUresult;
    fn cuMemPoolGetAttribute(pool: CUmemoryPool, attribute: c_uint, value: *mut c_void) -> CUresult;
    fn cuMemAllocFromPoolAsync(d: *mut CUdeviceptr, n: usize, pool: CUmemoryPool, stream: CUstream) -> CUresult;
    fn cuDeviceGetDefaultMemPool(pool: *mut CUmemoryPool, device: CUdevice) -> CUresult;
    fn cuPointerGetAttributes(n: c_uint, which: *mut c_uint, data: *mut *mut c_void, ptr: CUdeviceptr) -> CUresult;
}

/// A copy of a box from the host, all of whose fields are zero but for the kinds.
fn upload(src: *const u8, dst: CUdeviceptr) -> CUDA_MEMCPY3D {
    // SAFETY: the structure has numbers and pointers only, for which zero is a value.
    let mut copy: CUDA_MEMCPY3D = unsafe { std::mem::zeroed() };
    (copy.srcMemoryType, copy.srcHost) = (CU_MEMORYTYPE_HOST, src.cast());
    (copy.dstMemoryType, copy.dstDevice) = (CU_MEMORYTYPE_DEVICE, dst);
    copy
}

fn bytes(at: CUdeviceptr, count: usize) -> Vec<u8> {
    words(at, count / 4).into_iter().flat_map(u32::to_le_bytes).collect()
}

#[test]
fn a_box_lands_where_its_pitches_say() {
    start();
    let host: Vec<u8> = (0..=255).collect();
    let device = alloc(256);
    ok!(cuMemsetD2D8_v2(device, 0, 0, 256, 1));
    // From lines of 8 and slices of 4 lines to lines of 16 and slices of 2.
    let mut copy = upload(host.as_ptr(), device);
    (copy.srcXInBytes, copy.srcY, copy.srcZ, copy.srcPitch, copy.srcHeight) = (1, 1, 1, 8, 4);
    (copy.dstXInBytes, copy.dstPitch, copy.dstHeight) = (3, 16, 2);
    (copy.WidthInBytes, copy.Height, copy.Depth) = (5, 2, 3);
    ok!(cuMemcpy3D_v2(&copy));
    let mut expected = vec![0u8; 256];
    for (z, y, x) in (0..3).flat_map(|z| (0..2).flat_map(move |y| (0..5).map(move |x| (z, y, x)))) {
        expected[(z * 2 + y) * 16 + 3 + x] = ((z + 1) * 32 + (y + 1) * 8 + 1 + x) as u8;
    }
    assert_eq!(bytes(device, 256), expected);

    copy.dstPitch = 7;
    assert_eq!(code!(cuMemcpy3D_v2(&copy)), CUDA_ERROR_INVALID_VALUE, "lines of 8 bytes");
    (copy.dstPitch, copy.Depth) = (16, usize::MAX / 16);
    assert_eq!(code!(cuMemcpy3D_v2(&copy)), CUDA_ERROR_INVALID_VALUE, "past the end");
    (copy.Depth, copy.dstMemoryType) = (1, CU_MEMORYTYPE_ARRAY);
    assert_eq!(code!(cuMemcpy3D_v2(&copy)), CUDA_ERROR_INVALID_VALUE, "no array");
}

#[test]
fn rectangles_come_back_from_pitched_memory() {
    start();
    let (mut device, mut pitch) = (0, 0);
    ok!(cuMemAllocPitch_v2(&mut device, &mut pitch, 20, 3, 4));
    assert_eq!(pitch, 512);
    let host: Vec<u8> = (0..60).collect();
    let mut back = vec![0u8; 60];
    let stream = stream(1);
    // SAFETY: as in `upload`.
    let mut copy: CUDA_MEMCPY2D = unsafe { std::mem::zeroed() };
    (copy.WidthInBytes, copy.Height) = (20, 3);
    (copy.srcMemoryType, copy.srcHost, copy.srcPitch) = (CU_MEMORYTYPE_HOST, host.as_ptr().cast(), 20);
    (copy.dstMemoryType, copy.dstDevice, copy.dstPitch) = (CU_MEMORYTYPE_DEVICE, device, pitch);
    ok!(cuMemcpy2DAsync_v2(&copy, stream));
    ok!(cuStreamSynchronize(stream));
    (copy.srcMemoryType, copy.srcDevice, copy.srcPitch) = (CU_MEMORYTYPE_UNIFIED, device, pitch);
    (copy.dstMemoryType, copy.dstHost, copy.dstPitch) = (CU_MEMORYTYPE_HOST, back.as_mut_ptr().cast(), 20);
    ok!(cuMemcpy2D_v2(&copy));
    assert_eq!(back, host);
    copy.dstMemoryType = 9;
    assert_eq!(code!(cuMemcpy2D_v2(&copy)), CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn a_batch_is_done_as_a_whole_or_not_at_all() {
    start();
    let (stream, device, host) = (stream(1), alloc(64), [1u32, 2, 3, 4]);
    ok!(cuMemsetD32_v2(device, 0, 16));
    ok!(cuCtxSynchronize());
    let (mut from, mut to) = ([host.as_ptr() as u64, device], [device, device + 32]);
    let (mut sizes, mut attributes, mut first, mut fail) = ([16usize, 8], [1u32, 0, 0, 0, 0, 0], [0usize], 7usize);
    let mut batch = |sizes: &mut [usize; 2], to: &mut [u64; 2], stream, fail: &mut usize| {
        code!(cuMemcpyBatchAsync(
            to.as_mut_ptr(),
            from.as_mut_ptr(),
            sizes.as_mut_ptr(),
            2,
            attributes.as_mut_ptr().cast(),
            first.as_mut_ptr(),
            1,
            fail,
            stream,
        ))
    };
    assert_eq!(batch(&mut sizes, &mut [device, device + 60], stream, &mut fail), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(fail, 1, "the second one");
    ok!(cuStreamSynchronize(stream));
    assert_eq!(words(device, 4), [0; 4]);
    assert_eq!(batch(&mut sizes, &mut to, NULL, &mut fail), CUDA_ERROR_INVALID_VALUE, "the legacy stream");
    assert_eq!(fail, usize::MAX);
    assert_eq!(batch(&mut sizes, &mut to, stream, &mut fail), CUDA_SUCCESS);
    ok!(cuStreamSynchronize(stream));
    assert_eq!(words(device, 10), [1, 2, 3, 4, 0, 0, 0, 0, 1, 2]);
}

#[test]
fn addresses_that_are_nobodys_are_refused() {
    start();
    let (device, mut context) = (alloc(4 << 20), CUcontext::NULL);
    ok!(cuCtxGetCurrent(&mut context));
    ok!(cuMemcpyPeer(device, context, device + 4096, context, 4096));
    assert_eq!(code!(cuMemcpyPeer(device, CUcontext::NULL, device, context, 4)), CUDA_ERROR_INVALID_CONTEXT);
    ok!(cuMemFree_v2(device));
    let data = [0u32; 4];
    for address in [0, 1, 0x1000, device, u64::MAX - 7, 1 << 63] {
        assert_eq!(code!(cuMemcpy(address, data.as_ptr() as u64, 8)), CUDA_ERROR_INVALID_VALUE, "{address:#x}");
        assert_eq!(code!(cuMemcpyHtoD_v2(address, data.as_ptr().cast(), 8)), CUDA_ERROR_INVALID_VALUE, "{address:#x}");
    }
}

#[test]
fn a_reservation_without_memory_is_no_place_for_data() {
    start();
    let (mut va, data) = (0, [0u32; 4]);
    ok!(cuMemAddressReserve(&mut va, 2 << 20, 0, 0, 0));
    assert_eq!(code!(cuMemcpyHtoD_v2(va, data.as_ptr().cast(), 16)), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(code!(cuMemsetD32_v2(va, 0, 4)), CUDA_ERROR_INVALID_VALUE);
    ok!(cuMemAddressFree(va, 2 << 20));
    ok!(cuCtxSynchronize());
}

#[test]
fn pools_count_what_they_give() {
    start();
    let stream = stream(1);
    let mut properties = [0u64; 11];
    (properties[0], properties[1], properties[3]) = (1, 1, 1 << 20);
    let (mut pool, mut default, mut dptr, mut used) = (CUmemoryPool::NULL, CUmemoryPool::NULL, 0, 9u64);
    ok!(cuMemPoolCreate(&mut pool, properties.as_ptr().cast()));
    ok!(cuMemAllocFromPoolAsync(&mut dptr, 4096, pool, stream));
    ok!(cuMemPoolGetAttribute(pool, 7, (&raw mut used).cast()));
    assert_eq!(used, 4096);
    let mut none = 0;
    assert_eq!(code!(cuMemAllocFromPoolAsync(&mut none, 1 << 20, pool, stream)), CUDA_ERROR_OUT_OF_MEMORY);
    ok!(cuMemFreeAsync(dptr, stream));
    ok!(cuStreamSynchronize(stream));
    ok!(cuMemPoolGetAttribute(pool, 7, (&raw mut used).cast()));
    assert_eq!(used, 0);
    ok!(cuMemPoolDestroy(pool));
    assert_eq!(code!(cuMemAllocFromPoolAsync(&mut none, 16, pool, stream)), CUDA_ERROR_INVALID_VALUE);
    ok!(cuDeviceGetDefaultMemPool(&mut default, 0));
    assert_eq!(code!(cuMemPoolDestroy(default)), CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn what_is_not_known_of_an_address_is_zero() {
    start();
    let dptr = alloc(4096);
    let (mut kind, mut start, mut size) = (9u32, 9u64, 9usize);
    let mut which = [2, 11, 12];
    let mut ask = |ptr| {
        let mut data: [*mut c_void; 3] = [(&raw mut kind).cast(), (&raw mut start).cast(), (&raw mut size).cast()];
        ok!(cuPointerGetAttributes(3, which.as_mut_ptr(), data.as_mut_ptr(), ptr));
        (kind, start, size)
    };
    assert_eq!(ask(dptr + 8), (2, dptr, 4096));
    assert_eq!(ask(0x1234), (0, 0, 0));
}
