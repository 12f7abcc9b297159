//! Memory whose addresses the program manages: what may be asked for, and how long it lives.

#[macro_use]
#[path = "driver_support/client.rs"]
mod client;

use abi::cuda::*;
use client::*;
use std::sync::Mutex;

const PIECE: usize = 16 << 20;

/// The tests look at how much memory is free, which is one number for all of them.
static ALONE: Mutex<()> = Mutex::new(());

fn properties(handle_types: u32, compression: u8) -> CUmemAllocationProp {
    CUmemAllocationProp {
        r#type: 1,
        requestedHandleTypes: handle_types,
        location: CUmemLocation { r#type: CU_MEM_LOCATION_TYPE_DEVICE, id: 0 },
        win32HandleMetaData: core::ptr::null_mut(),
        allocFlags: CUmemAllocationPropFlags {
            compressionType: compression,
            gpuDirectRDMACapable: 0,
            usage: 0,
            reserved: [0; 4],
        },
    }
}

fn create(properties: &CUmemAllocationProp) -> Result<CUmemGenericAllocationHandle, CUresult> {
    let mut handle = CUmemGenericAllocationHandle::default();
    match code!(cuMemCreate(&mut handle, PIECE, std::ptr::from_ref(properties).cast(), 0)) {
        CUDA_SUCCESS => Ok(handle),
        code => Err(code),
    }
}

fn map(va: CUdeviceptr, handle: CUmemGenericAllocationHandle) {
    ok!(cuMemMap(va, PIECE, 0, handle, 0));
    ok!(cuMemSetAccess(va, PIECE, [1, 0, 3].as_ptr(), 1));
}

fn free() -> usize {
    let (mut free, mut total) = (0, 0);
    ok!(cuMemGetInfo_v2(&mut free, &mut total));
    free
}

#[test]
fn memory_outlives_its_handle_where_it_is_mapped() {
    let _alone = ALONE.lock();
    start();
    let before = free();
    let mut va = 0;
    ok!(cuMemAddressReserve(&mut va, 2 * PIECE, 0, 0, 0));
    let (first, second) = (va, va + PIECE as u64);
    let handle = create(&properties(0, 0)).expect("memory");
    map(first, handle);
    map(second, handle);
    ok!(cuMemsetD32_v2(first, 7, 1024));
    assert_eq!(words(second, 2), [7, 7], "both addresses show it");
    ok!(cuMemRelease(handle));
    assert_eq!(code!(cuMemRelease(handle)), CUDA_ERROR_INVALID_VALUE);
    ok!(cuMemUnmap(first, PIECE));
    assert_eq!((free(), words(second, 2)), (before - PIECE, vec![7, 7]));
    ok!(cuMemUnmap(second, PIECE));
    assert_eq!(free(), before);
    ok!(cuMemAddressFree(va, 2 * PIECE));
}

#[test]
fn a_retained_handle_is_the_one_that_was_mapped() {
    let _alone = ALONE.lock();
    start();
    let before = free();
    let (mut va, mut retained) = (0, CUmemGenericAllocationHandle::default());
    ok!(cuMemAddressReserve(&mut va, PIECE, 0, 0, 0));
    let handle = create(&properties(0, 0)).expect("memory");
    map(va, handle);
    ok!(cuMemRetainAllocationHandle(&mut retained, (va + 4096) as *mut std::ffi::c_void));
    assert_eq!(retained, handle);
    ok!(cuMemRelease(handle));
    ok!(cuMemRelease(handle));
    assert_eq!(code!(cuMemRelease(handle)), CUDA_ERROR_INVALID_VALUE, "it was held twice");
    ok!(cuMemRetainAllocationHandle(&mut retained, va as *mut std::ffi::c_void));
    assert_eq!(retained, handle, "the memory is mapped still");
    ok!(cuMemUnmap(va, PIECE));
    assert_eq!(free(), before - PIECE, "the handle holds it");
    ok!(cuMemRelease(handle));
    assert_eq!(free(), before);
    let gone = code!(cuMemRetainAllocationHandle(&mut retained, va as *mut std::ffi::c_void));
    assert_eq!(gone, CUDA_ERROR_INVALID_VALUE, "nothing is mapped");
    ok!(cuMemAddressFree(va, PIECE));
}

#[test]
fn properties_are_what_was_asked_for() {
    let _alone = ALONE.lock();
    start();
    for (handle_types, compression) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        let wanted = properties(handle_types, compression);
        let handle = create(&wanted).expect("memory");
        let mut found = properties(9, 9);
        ok!(cuMemGetAllocationPropertiesFromHandle(&mut found, handle));
        assert_eq!((found.requestedHandleTypes, found.allocFlags), (handle_types, wanted.allocFlags));
        let mut va = 0;
        ok!(cuMemAddressReserve(&mut va, PIECE, 0, 0, 0));
        map(va, handle);
        ok!(cuMemsetD32_v2(va, 3, PIECE / 4));
        assert_eq!(words(va + PIECE as u64 - 4, 1), [3]);
        ok!(cuMemUnmap(va, PIECE));
        ok!(cuMemAddressFree(va, PIECE));
        ok!(cuMemRelease(handle));
    }
    assert_eq!(create(&properties(2, 0)), Err(CUDA_ERROR_NOT_SUPPORTED));
    assert_eq!(create(&properties(0, 2)), Err(CUDA_ERROR_INVALID_VALUE));
}
