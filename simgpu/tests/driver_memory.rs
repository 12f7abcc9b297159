//! Memory, copies and kernels: what a program writes is what it reads.

#[macro_use]
#[path = "driver_support/client.rs"]
mod client;

use abi::cuda::*;
use client::*;
use std::ffi::c_void;

const MIB: usize = 1 << 20;

#[test]
fn data_survive_a_round_trip() {
    start();
    for bytes in [4, 4096, 3 * MIB + 4] {
        let dptr = alloc(bytes);
        let data: Vec<u32> = (0..bytes as u32 / 4).map(|word| word.wrapping_mul(2_654_435_761)).collect();
        ok!(cuMemcpyHtoD_v2(dptr, data.as_ptr().cast(), bytes));
        assert_eq!(words(dptr, bytes / 4), data);
        let copy = alloc(bytes);
        ok!(cuMemcpy(copy, dptr, bytes));
        ok!(cuMemFree_v2(dptr));
        assert_eq!(words(copy, bytes / 4), data);
        ok!(cuMemFree_v2(copy));
    }
}

#[test]
fn kernels_compute() {
    start();
    let (data, sum) = (alloc(MIB * 4), alloc(8));
    assert_eq!(launch(kernel("fill"), 64, NULL, &mut [data, MIB as u64, 5]), CUDA_SUCCESS);
    assert_eq!(launch(kernel("checksum"), 64, NULL, &mut [data, MIB as u64, sum]), CUDA_SUCCESS);
    assert_eq!(words(data, 3), [5, 6, 7]);
    let expected: u64 = (5..5 + MIB as u64).sum();
    assert_eq!(words(sum, 2), [expected as u32, (expected >> 32) as u32]);
    ok!(cuMemsetD32_v2(data, 7, 3));
    assert_eq!(words(data, 4), [7, 7, 7, 8]);
    let unknown = c".version 8.0\n// simgpu: dance\n.visible .entry test() {ret;}\n";
    let mut module = CUmodule::NULL;
    assert_eq!(code!(cuModuleLoadData(&mut module, unknown.as_ptr().cast())), 218, "no kernel behaves so");
    assert_eq!(
        launch(find_kernel(".version 8.0\n.visible .entry test() {ret;}\n"), 1, NULL, &mut [0]),
        CUDA_ERROR_NOT_SUPPORTED
    );
}

#[test]
fn one_buffer_of_parameters_will_do() {
    start();
    let data = alloc(64);
    let (fill, mut buffer, mut length) = (kernel("fill"), [data, 16, 9], 20usize);
    let mut extra = [
        std::ptr::without_provenance_mut::<c_void>(1),
        buffer.as_mut_ptr().cast(),
        std::ptr::without_provenance_mut(2),
        (&raw mut length).cast(),
        core::ptr::null_mut(),
    ];
    let config = CUlaunchConfig {
        gridDimX: 1,
        gridDimY: 1,
        gridDimZ: 1,
        blockDimX: 1,
        blockDimY: 1,
        blockDimZ: 1,
        sharedMemBytes: 0,
        hStream: NULL,
        attrs: core::ptr::null_mut(),
        numAttrs: 0,
    };
    ok!(cuLaunchKernelEx(&config, fill, core::ptr::null_mut(), extra.as_mut_ptr()));
    assert_eq!(words(data, 2), [9, 10]);
}

#[test]
fn wrong_pointers_are_refused() {
    start();
    let dptr = alloc(4096);
    assert_eq!(code!(cuMemFree_v2(0)), CUDA_SUCCESS);
    assert_eq!(code!(cuMemFree_v2(dptr + 512)), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(code!(cuMemFree_v2(0x1234)), CUDA_ERROR_INVALID_VALUE);
    let data = [0u8; 16];
    assert_eq!(code!(cuMemcpyHtoD_v2(dptr + 4090, data.as_ptr().cast(), 16)), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(code!(cuMemAlloc_v2(core::ptr::null_mut(), 16)), CUDA_ERROR_INVALID_VALUE);
    let mut none = 0;
    assert_eq!(code!(cuMemAlloc_v2(&mut none, 1 << 40)), CUDA_ERROR_OUT_OF_MEMORY);
    let (mut base, mut bytes) = (0, 0);
    ok!(cuMemGetAddressRange_v2(&mut base, &mut bytes, dptr + 100));
    assert_eq!((base, bytes), (dptr, 4096));
}

#[test]
fn freed_memory_comes_back() {
    start();
    // Four times what there is, in turns.
    for _ in 0..16 {
        let dptr = alloc(128 * MIB);
        ok!(cuMemFree_v2(dptr));
    }
    let mut dptr = 0;
    ok!(cuMemAllocAsync(&mut dptr, 4 * MIB, NULL));
    ok!(cuMemsetD32_v2(dptr, 1, MIB));
    ok!(cuMemFreeAsync(dptr, NULL));
    ok!(cuStreamSynchronize(NULL));
    assert_eq!(code!(cuMemFree_v2(dptr)), CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn mapped_objects_are_one_stretch_of_addresses() {
    start();
    let piece = 2 * MIB;
    let (mut va, mut handles) = (0, [CUmemGenericAllocationHandle::default(); 2]);
    ok!(cuMemAddressReserve(&mut va, 2 * piece, 0, 0, 0));
    let properties = [1, 0, 1, 0, 0, 0, 0, 0];
    for (index, handle) in handles.iter_mut().enumerate() {
        ok!(cuMemCreate(handle, piece, properties.as_ptr(), 0));
        ok!(cuMemMap(va + (index * piece) as u64, piece, 0, *handle, 0));
    }
    ok!(cuMemSetAccess(va, 2 * piece, [1, 0, 3].as_ptr(), 1));
    ok!(cuMemsetD32_v2(va, 3, 2 * piece / 4));
    assert_eq!(words(va + piece as u64 - 4, 2), [3, 3]);
    // The first object appears where the second was, with its data.
    ok!(cuMemsetD32_v2(va, 8, 1));
    ok!(cuMemUnmap(va, 2 * piece));
    ok!(cuMemMap(va + piece as u64, piece, 0, handles[0], 0));
    ok!(cuMemSetAccess(va + piece as u64, piece, [1, 0, 3].as_ptr(), 1));
    assert_eq!(words(va + piece as u64, 2), [8, 3]);
    assert_eq!(code!(cuMemAddressFree(va, 2 * piece)), CUDA_ERROR_INVALID_VALUE, "still mapped");
    ok!(cuMemUnmap(va + piece as u64, piece));
    ok!(cuMemAddressFree(va, 2 * piece));
    for handle in handles {
        ok!(cuMemRelease(handle));
    }
}
