//! The timing model: who shares a bus or a side is slower, who does not is not.

#[macro_use]
#[path = "driver_support/client.rs"]
mod client;
#[path = "driver_support/groups.rs"]
mod groups;
#[path = "driver_support/worker.rs"]
mod worker;

use abi::cuda::CUDA_SUCCESS;
use client::*;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use worker::{Work, Worker};

const MIB: usize = 1 << 20;
/// Only one test at a time: they all use the same GPU.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    start();
    turn
}

/// Bytes a second that one side of the H200 can be read at.
const SIDE: f64 = 2230e9;
/// Seconds that the kernels here read or compute where nobody else does. A thread of the model that the host runs 10 ms
/// late changes it by a tenth.
const READ: f64 = 0.1;
/// Seconds that 2 MiB take on the bus of these tests, by its rate alone.
const COPY: f64 = (2 * MIB) as f64 / 0.5e9;

#[test]
#[ignore = "run by the test of two processes"]
fn worker() {
    worker::work();
}

/// Copies 2 MiB to the device so often; returns the time of the fastest, in seconds.
fn fastest_copy(device: u64, times: usize) -> f64 {
    let data = vec![1u8; 2 * MIB];
    let copy = || time(NULL, || ok!(cuMemcpyHtoDAsync_v2(device, data.as_ptr().cast(), data.len(), NULL)));
    (0..times).map(|_| copy()).fold(f64::INFINITY, f64::min)
}

#[test]
fn a_copy_takes_what_the_bus_needs() {
    let _turn = turn();
    let device = alloc(2 * MIB);
    in_one_of_ten_tries(|| {
        let took = fastest_copy(device, 10);
        assert!(took >= COPY, "{took} s, of which the bus needs {COPY} s");
        expect(took < 1.2 * COPY, format!("{took} s, of which the bus needs {COPY} s"))
    });
    ok!(cuMemFree_v2(device));
}

#[test]
fn processes_share_the_bus() {
    let _turn = turn();
    let device = alloc(2 * MIB);
    let mut other = Worker::start(Work::Copies, false);
    in_one_of_ten_tries(|| {
        let (begin, before, copies) = (Instant::now(), other.count(), 100);
        fastest_copy(device, copies);
        let by_other = other.count() - before;
        let took = begin.elapsed().as_secs_f64();
        // Of what the other process counts, the last copies before the beginning may have been told late.
        let others = by_other.saturating_sub(worker::IN_FLIGHT as u64 + 1) as f64 * COPY / 2.0;
        let all = copies as f64 * COPY + others;
        assert!(all <= took, "copies of {all} s on a bus that was there for {took} s");
        expect(others > 0.5 * copies as f64 * COPY, format!("the other process had the bus for {others} s of {took} s"))
    });
    // The other one dies in the middle of a copy.
    drop(other);
    in_one_of_ten_tries(|| {
        let again = fastest_copy(device, 10);
        expect(again < 1.2 * COPY, format!("{again} s after the other's death, of which the bus needs {COPY} s"))
    });
    ok!(cuMemFree_v2(device));
}

/// A granule of each side, as the sides of these tests alternate every 2 MiB.
fn granules() -> [Vec<u64>; 2] {
    let spec = cuda::machine::Machine::get().expect("a machine").spec();
    let mut sides = [Vec::new(), Vec::new()];
    while sides.iter().any(|side| side.len() < 2) {
        let page = alloc(2 * MIB);
        let whole = (units::DeviceVa::new(page), units::Bytes::mib(2));
        let keep = &mut |_, at, _| sides[spec.side_of(at) as usize].push(page);
        cuda::os::for_each_page_run(whole.0, whole.1, keep).expect("mapped");
    }
    sides
}

/// Launches a kernel of so many blocks with each of the arguments, all at the same time; returns the time of all, in
/// seconds.
fn side_by_side(name: &str, blocks: u32, arguments: &mut [[u64; 5]]) -> f64 {
    let (function, begun) = (kernel(name), event());
    let streams: Vec<_> = arguments.iter().map(|_| (stream(1), event())).collect();
    ok!(cuEventRecord(begun, streams[0].0));
    for (arguments, &(stream, done)) in arguments.iter_mut().zip(&streams) {
        assert_eq!(launch(function, blocks, stream, arguments), CUDA_SUCCESS);
        ok!(cuEventRecord(done, stream));
    }
    let took = elapsed(begun, &streams.iter().map(|&(_, done)| done).collect::<Vec<_>>());
    for (stream, done) in streams {
        ok!(cuStreamDestroy_v2(stream));
        ok!(cuEventDestroy_v2(done));
    }
    took
}

/// Reads each of the pages with a kernel of 66 SMs, all at the same time; returns how often the time is [`READ`].
fn read(pages: &[u64]) -> f64 {
    let passes = (SIDE * READ / (2 * MIB) as f64) as u64;
    let mut arguments: Vec<_> = pages.iter().map(|&page| [page, 2 * MIB as u64, passes, 0, 0]).collect();
    side_by_side("stream", 66, &mut arguments) / READ
}

#[test]
fn kernels_share_a_side_and_not_the_other() {
    let _turn = turn();
    let [near, far] = granules();
    in_one_of_ten_tries(|| {
        let alone = read(&near[..1]);
        assert!(alone > 0.95, "{alone} of what the side allows");
        let (apart, together) = (read(&[near[0], far[0]]), read(&near[..2]));
        let as_they_should = alone < 1.2 && apart < 1.25 && together > 1.85 && together < 2.3;
        expect(as_they_should, format!("{alone} alone, {apart} on different sides, {together} on the same side"))
    });
}

#[test]
fn kernels_share_the_sms() {
    let _turn = turn();
    let cycles = (1980e6 * READ) as u64;
    in_one_of_ten_tries(|| {
        let both = side_by_side("spin", 132, &mut [[cycles, 0, 0, 0, 0]; 2]) / READ;
        assert!(both >= 1.0, "{both} for two kernels");
        expect(both > 1.85 && both < 2.3, format!("{both} for two kernels"))
    });
}
