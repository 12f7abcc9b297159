//! Streams, events and stream memory operations: what waits for what.

#[macro_use]
#[path = "driver_support/client.rs"]
mod client;

use abi::cuda::*;
use client::*;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering};

const NON_BLOCKING: u32 = 1;
/// Some 20 ms on the simulated clock of 1.98 GHz.
const LONG: u64 = 40_000_000;

/// A word that streams wait for.
fn word() -> &'static AtomicU32 {
    let mut address = core::ptr::null_mut();
    ok!(cuMemHostAlloc(&mut address, 4096, 0));
    // SAFETY: the driver's fresh memory is aligned, zeroed, and never freed by these tests.
    unsafe { AtomicU32::from_ptr(address.cast()) }
}

fn address(word: &AtomicU32) -> CUdeviceptr {
    word.as_ptr() as CUdeviceptr
}

#[test]
fn streams_wait_for_a_value_and_write_one() {
    start();
    let (first, second) = (stream(NON_BLOCKING), stream(NON_BLOCKING));
    let (gate, passed) = (word(), word());
    ok!(cuStreamWaitValue32_v2(first, address(gate), 2, CU_STREAM_WAIT_VALUE_GEQ));
    ok!(cuStreamWriteValue32_v2(first, address(passed), 7, 0));
    ok!(cuStreamSynchronize(second));
    assert_eq!(code!(cuStreamQuery(first)), CUDA_ERROR_NOT_READY);
    ok!(cuStreamWriteValue32_v2(second, address(gate), 1, 0));
    ok!(cuStreamSynchronize(second));
    assert_eq!(passed.load(Ordering::Acquire), 0, "1 is less than 2");
    gate.store(2, Ordering::Release);
    ok!(cuStreamSynchronize(first));
    assert_eq!(passed.load(Ordering::Acquire), 7);

    let device = alloc(64);
    ok!(cuMemsetD32_v2(device, 0, 16));
    ok!(cuStreamSynchronize(NULL));
    let batch = [[1, device, 5, 1, 0, 0], [2, device + 4, 6, 0, 0, 0]];
    ok!(cuStreamBatchMemOp_v2(first, 2, batch.as_ptr(), 0));
    ok!(cuStreamWriteValue32_v2(second, device, 5, 0));
    ok!(cuStreamSynchronize(first));
    assert_eq!(words(device, 2), [5, 6]);
    assert_eq!(code!(cuStreamWaitValue32_v2(first, 0x1000, 0, 0)), CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn events_order_streams_and_take_time() {
    start();
    let (first, second) = (stream(NON_BLOCKING), stream(NON_BLOCKING));
    let (begun, done) = (event(), event());
    let (gate, passed) = (word(), word());
    assert_eq!(code!(cuEventQuery(done)), CUDA_SUCCESS, "never recorded");
    ok!(cuEventRecord(begun, first));
    ok!(cuStreamWaitValue32_v2(first, address(gate), 1, CU_STREAM_WAIT_VALUE_GEQ));
    assert_eq!(launch(kernel("spin"), 1, first, &mut [LONG]), CUDA_SUCCESS);
    ok!(cuEventRecord(done, first));
    ok!(cuStreamWaitEvent(second, done, 0));
    ok!(cuStreamWriteValue32_v2(second, address(passed), 1, 0));
    assert_eq!(code!(cuEventQuery(done)), CUDA_ERROR_NOT_READY);
    assert_eq!(passed.load(Ordering::Acquire), 0);
    gate.store(1, Ordering::Release);
    ok!(cuEventSynchronize(done));
    ok!(cuStreamSynchronize(second));
    assert_eq!(passed.load(Ordering::Acquire), 1);
    let took = elapsed(begun, &[done]);
    assert!(took >= 0.020, "{took} s for a kernel of 20.2 ms");
}

#[test]
fn events_tell_how_long_a_kernel_took() {
    start();
    let (stream, spin) = (stream(NON_BLOCKING), kernel("spin"));
    let spins = |cycles| time(stream, || assert_eq!(launch(spin, 1, stream, &mut [cycles]), CUDA_SUCCESS));
    in_one_of_ten_tries(|| {
        let (long, short) = (spins(LONG), spins(LONG / 4));
        assert!(long >= 0.0202 && short >= 0.00505, "{long} s and {short} s for kernels of 20.2 and 5.05 ms");
        expect(long < 0.024 && short < 0.0065, format!("{long} s and {short} s for kernels of 20.2 and 5.05 ms"))
    });
}

#[test]
fn the_legacy_stream_waits_and_is_waited_for() {
    start();
    let (blocking, free) = (stream(0), stream(NON_BLOCKING));
    let (gate, seen, after) = (word(), word(), word());
    ok!(cuStreamWaitValue32_v2(blocking, address(gate), 1, 0));
    ok!(cuStreamWriteValue32_v2(NULL, address(seen), 1, 0));
    ok!(cuStreamWriteValue32_v2(blocking, address(after), 1, 0));
    ok!(cuStreamWriteValue32_v2(free, address(gate), 0, 0));
    ok!(cuStreamSynchronize(free));
    assert_eq!(code!(cuStreamQuery(NULL)), CUDA_ERROR_NOT_READY);
    assert_eq!((seen.load(Ordering::Acquire), after.load(Ordering::Acquire)), (0, 0));
    gate.store(1, Ordering::Release);
    ok!(cuStreamSynchronize(NULL));
    assert_eq!(seen.load(Ordering::Acquire), 1);
    ok!(cuStreamSynchronize(blocking));
    assert_eq!(after.load(Ordering::Acquire), 1);
}

#[test]
fn pageable_sources_are_read_at_the_call_and_pinned_ones_later() {
    start();
    let (stream, gate, device) = (stream(NON_BLOCKING), word(), alloc(8));
    let pinned = word();
    let mut pageable = 1u32;
    pinned.store(1, Ordering::Release);
    ok!(cuStreamWaitValue32_v2(stream, address(gate), 1, 0));
    ok!(cuMemcpyHtoDAsync_v2(device, (&raw const pageable).cast(), 4, stream));
    ok!(cuMemcpyHtoDAsync_v2(device + 4, pinned.as_ptr().cast(), 4, stream));
    pageable += 1;
    pinned.store(2, Ordering::Release);
    gate.store(1, Ordering::Release);
    ok!(cuStreamSynchronize(stream));
    assert_eq!(words(device, 2), [1, 2], "the program's variable is {pageable} by now");
}

#[test]
fn host_functions_run_in_order() {
    unsafe extern "C" fn increment(data: *mut c_void) {
        // SAFETY: the test passes a live word.
        unsafe { AtomicU32::from_ptr(data.cast()) }.fetch_add(1, Ordering::AcqRel);
    }
    start();
    let (stream, count) = (stream(0), word());
    for _ in 0..100 {
        ok!(cuLaunchHostFunc(stream, increment, count.as_ptr().cast()));
    }
    ok!(cuStreamSynchronize(stream));
    assert_eq!(count.load(Ordering::Acquire), 100);
}

#[test]
fn work_of_a_destroyed_stream_goes_on_and_is_waited_for() {
    start();
    for (kind, wait_for_all) in [(0, true), (NON_BLOCKING, true), (0, false)] {
        let (stream, done) = (stream(kind), word());
        assert_eq!(launch(kernel("spin"), 1, stream, &mut [LONG]), CUDA_SUCCESS);
        ok!(cuStreamWriteValue32_v2(stream, address(done), 1, 0));
        ok!(cuStreamDestroy_v2(stream));
        assert_eq!(code!(cuStreamQuery(stream)), CUDA_ERROR_INVALID_HANDLE);
        if wait_for_all {
            ok!(cuCtxSynchronize());
        } else {
            // The legacy stream waits for every blocking one.
            ok!(cuStreamSynchronize(NULL));
        }
        assert_eq!(done.load(Ordering::Acquire), 1, "stream of kind {kind}, all: {wait_for_all}");
    }
}

#[test]
fn memory_is_registered_once() {
    start();
    let mut memory = vec![0u8; 8192];
    let address: *mut c_void = memory.as_mut_ptr().cast();
    ok!(cuMemHostRegister_v2(address, 8192, 0));
    assert_eq!(code!(cuMemHostRegister_v2(address, 16, 0)), CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    ok!(cuMemHostUnregister(address));
    assert_eq!(code!(cuMemHostUnregister(address)), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
}
