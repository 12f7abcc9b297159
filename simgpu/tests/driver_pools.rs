//! Pools: memory comes and goes in pieces of 32 MiB, and what is freed is used again.

#[macro_use]
#[path = "driver_support/client.rs"]
mod client;

use abi::cuda::*;
use client::*;
use cuda::os::for_each_page_run;
use std::collections::BTreeSet;
use std::sync::Mutex;
use units::{Bytes, DeviceVa};

const MIB: usize = 1 << 20;
const PIECE: usize = 32 * MIB;

unsafe extern "C" {
    fn cuMemPoolCreate(pool: *mut CUmemoryPool, properties: *const u64) -> CUresult;
    fn cuMemPoolDestroy(pool: CUmemoryPool) -> CUresult;
    fn cuMemPoolTrimTo(pool: CUmemoryPool, keep: usize) -> CUresult;
    fn cuMemPoolGetAttribute(pool: CUmemoryPool, attribute: u32, value: *mut u64) -> CUresult;
    fn cuMemPoolSetAttribute(pool: CUmemoryPool, attribute: u32, value: *mut u64) -> CUresult;
    fn cuMemAllocFromPoolAsync(dptr: *mut CUdeviceptr, bytes: usize, pool: CUmemoryPool, stream: CUstream) -> CUresult;
}

/// Every wait trims all pools, and the tests look at how much memory is free.
static ALONE: Mutex<()> = Mutex::new(());

/// A pool of at most so many bytes; 0 for no limit.
fn pool(most: usize) -> CUmemoryPool {
    let mut pool = CUmemoryPool::NULL;
    ok!(cuMemPoolCreate(&mut pool, [1, 1, 0, most as u64, 0, 0, 0, 0, 0, 0, 0].as_ptr()));
    pool
}

fn take(pool: CUmemoryPool, bytes: usize) -> Result<CUdeviceptr, CUresult> {
    let mut dptr = 0;
    match code!(cuMemAllocFromPoolAsync(&mut dptr, bytes, pool, NULL)) {
        CUDA_SUCCESS => Ok(dptr),
        code => Err(code),
    }
}

/// Frees, and waits by something that trims nothing.
fn give_back(dptr: CUdeviceptr) {
    ok!(cuMemFreeAsync(dptr, NULL));
    while code!(cuStreamQuery(NULL)) == CUDA_ERROR_NOT_READY {
        std::thread::yield_now();
    }
}

/// The bytes that are reserved and used, now and at the most.
fn levels(pool: CUmemoryPool) -> [usize; 4] {
    [5, 6, 7, 8].map(|attribute| {
        let mut value = 0;
        ok!(cuMemPoolGetAttribute(pool, attribute, &mut value));
        value as usize
    })
}

fn free() -> usize {
    let (mut free, mut total) = (0, 0);
    ok!(cuMemGetInfo_v2(&mut free, &mut total));
    free
}

fn is_mapped(va: CUdeviceptr) -> bool {
    for_each_page_run(DeviceVa::new(va), Bytes::kib(4), &mut |_, _, _| ()).is_ok()
}

#[test]
fn an_allocation_takes_whole_pieces_in_a_row() {
    let _alone = ALONE.lock();
    start();
    let (before, pool) = (free(), pool(0));
    let large = take(pool, 100 * MIB).expect("memory");
    assert_eq!((levels(pool), free()), ([4 * PIECE, 4 * PIECE, 100 * MIB, 100 * MIB], before - 4 * PIECE));
    assert!(is_mapped(large + 4 * PIECE as u64 - 4096) && !is_mapped(large + 4 * PIECE as u64));
    let small = take(pool, 1000).expect("memory");
    let next = take(pool, 8 * MIB).expect("memory");
    assert_eq!((small, next), (large + 100 * MIB as u64, small + 1024), "both on the last piece");
    ok!(cuMemsetD32_v2(large, 5, 100 * MIB / 4));
    ok!(cuMemsetD32_v2(next, 6, 2 * MIB));
    assert_eq!(words(large + 100 * MIB as u64 - 4, 1), [5]);
    for dptr in [large, small, next] {
        give_back(dptr);
    }
    ok!(cuMemPoolDestroy(pool));
    assert_eq!(free(), before);
}

#[test]
fn what_is_freed_is_used_again_until_the_program_waits() {
    let _alone = ALONE.lock();
    start();
    let (before, pool) = (free(), pool(0));
    let (first, second) = (take(pool, 2 * PIECE).expect("memory"), take(pool, 4096).expect("memory"));
    give_back(first);
    assert_eq!(code!(cuMemcpyHtoD_v2(first, [0u32; 4].as_ptr().cast(), 16)), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(levels(pool), [3 * PIECE, 3 * PIECE, 4096, 2 * PIECE + 4096]);
    assert_eq!(take(pool, PIECE + 512), Ok(first), "its gap is the first");
    give_back(first);
    let waits: [fn(); 3] = [
        || ok!(cuStreamSynchronize(NULL)),
        || ok!(cuCtxSynchronize()),
        || {
            let event = event();
            ok!(cuEventRecord(event, NULL));
            ok!(cuEventSynchronize(event));
        },
    ];
    for wait in waits {
        assert_eq!(take(pool, 2 * PIECE), Ok(first));
        give_back(first);
        assert!(is_mapped(first));
        wait();
        assert_eq!((levels(pool), free()), ([PIECE, 3 * PIECE, 4096, 2 * PIECE + 4096], before - PIECE));
        assert!(!is_mapped(first) && is_mapped(second));
    }
    give_back(second);
    ok!(cuMemPoolDestroy(pool));
}

#[test]
fn a_threshold_keeps_memory_until_the_pool_is_trimmed() {
    let _alone = ALONE.lock();
    start();
    let (before, pool) = (free(), pool(0));
    let mut threshold = 2 * PIECE as u64;
    ok!(cuMemPoolSetAttribute(pool, 4, &mut threshold));
    give_back(take(pool, 4 * PIECE).expect("memory"));
    ok!(cuCtxSynchronize());
    assert_eq!(levels(pool), [2 * PIECE, 4 * PIECE, 0, 4 * PIECE]);
    let mut zero = 0;
    ok!(cuMemPoolSetAttribute(pool, 6, &mut zero));
    assert_eq!(levels(pool), [2 * PIECE, 2 * PIECE, 0, 4 * PIECE]);
    ok!(cuMemPoolSetAttribute(pool, 8, &mut zero));
    ok!(cuMemPoolTrimTo(pool, PIECE));
    assert_eq!(levels(pool), [PIECE, 2 * PIECE, 0, 0]);
    ok!(cuMemPoolDestroy(pool));
    assert_eq!(free(), before);
}

#[test]
fn a_pool_that_can_have_no_more_leaves_nothing_behind() {
    let _alone = ALONE.lock();
    start();
    let (before, limited, keeper) = (free(), pool(2 * PIECE), pool(0));
    let kept = take(limited, PIECE).expect("memory");
    assert_eq!(take(limited, PIECE + 1), Err(CUDA_ERROR_OUT_OF_MEMORY));
    assert_eq!(take(keeper, 1 << 40), Err(CUDA_ERROR_OUT_OF_MEMORY));
    assert_eq!(take(keeper, before), Err(CUDA_ERROR_OUT_OF_MEMORY));
    assert_eq!((levels(keeper)[0], levels(keeper)[2], free()), (0, 0, before - PIECE));
    give_back(kept);
    assert_eq!(levels(limited)[0], PIECE);
    let all = take(keeper, before / PIECE * PIECE).expect("memory that the other pool does not need");
    assert_eq!(levels(limited)[0], 0);
    give_back(all);
    ok!(cuMemPoolDestroy(limited));
    ok!(cuMemPoolDestroy(keeper));
}

#[test]
fn a_destroyed_pool_lives_as_long_as_its_memory() {
    let _alone = ALONE.lock();
    start();
    let (before, first) = (free(), pool(0));
    let dptr = take(first, MIB).expect("memory");
    ok!(cuMemPoolDestroy(first));
    ok!(cuMemsetD32_v2(dptr, 9, 4));
    assert_eq!((words(dptr, 1), free()), (vec![9], before - PIECE));
    ok!(cuMemFree_v2(dptr));
    assert_eq!(free(), before);
}

#[test]
fn pools_without_end_share_the_addresses() {
    let _alone = ALONE.lock();
    start();
    let (before, mut seen) = (free(), BTreeSet::new());
    for _ in 0..50 {
        let pools = [pool(0), pool(0)];
        let taken = pools.map(|pool| take(pool, 512).expect("addresses"));
        assert_ne!(taken[0], taken[1]);
        seen.extend(taken);
        for (pool, dptr) in pools.into_iter().zip(taken) {
            ok!(cuMemFree_v2(dptr));
            ok!(cuMemPoolDestroy(pool));
        }
    }
    assert!(seen.len() < 50, "the other tests' ranges are among them: {}", seen.len());
    assert_eq!(free(), before);
}

#[test]
fn a_context_takes_its_memory_with_it() {
    let _alone = ALONE.lock();
    start();
    let (before, pool, mut context) = (free(), pool(0), CUcontext::NULL);
    ok!(cuCtxCreate_v2(&mut context, 0, 0));
    take(pool, MIB).expect("memory");
    ok!(cuCtxDestroy_v2(context));
    assert_eq!((levels(pool)[0], levels(pool)[2], free()), (0, 0, before));
    ok!(cuMemPoolDestroy(pool));
}

#[test]
fn memory_may_be_meant_for_others() {
    let _alone = ALONE.lock();
    start();
    let create = |pool: &mut CUmemoryPool, handle_types: u64| {
        code!(cuMemPoolCreate(pool, [1 | handle_types << 32, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0].as_ptr()))
    };
    let mut pool = CUmemoryPool::NULL;
    assert_eq!(create(&mut pool, 2), CUDA_ERROR_NOT_SUPPORTED);
    assert_eq!(create(&mut pool, 1), CUDA_SUCCESS);
    give_back(take(pool, MIB).expect("memory"));
    ok!(cuMemPoolDestroy(pool));
}

#[test]
fn threads_share_a_pool() {
    let _alone = ALONE.lock();
    start();
    let (before, pool, mut context) = (free(), pool(0), CUcontext::NULL);
    ok!(cuCtxGetCurrent(&mut context));
    std::thread::scope(|scope| {
        for value in 0..4u32 {
            scope.spawn(move || {
                ok!(cuCtxSetCurrent(context));
                let stream = stream(1);
                for round in 0..25 {
                    let (mut dptr, bytes) = (0, MIB * (1 + (round * 7 + value as usize * 5) % 40));
                    ok!(cuMemAllocFromPoolAsync(&mut dptr, bytes, pool, stream));
                    let data = vec![value; 1024];
                    for at in [dptr, dptr + bytes as u64 - 4096] {
                        ok!(cuMemcpyHtoDAsync_v2(at, data.as_ptr().cast(), 4096, stream));
                        ok!(cuStreamSynchronize(stream));
                        assert_eq!(words(at, 1024), data);
                    }
                    ok!(cuMemFreeAsync(dptr, stream));
                }
                ok!(cuStreamSynchronize(stream));
                ok!(cuStreamDestroy_v2(stream));
            });
        }
    });
    ok!(cuCtxSynchronize());
    assert_eq!((levels(pool)[0], free()), (0, before));
    ok!(cuMemPoolDestroy(pool));
}
