//! Channel groups take turns on the engines, by their slices.

#[macro_use]
#[path = "driver_support/client.rs"]
mod client;
#[path = "driver_support/groups.rs"]
mod groups;
#[path = "driver_support/worker.rs"]
mod worker;

use abi::cuda::CUcontext;
use client::*;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use worker::{Work, Worker};

/// Only one test at a time: they all use the same GPU.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    start();
    turn
}

#[test]
#[ignore = "run by the other tests, as another process"]
fn worker() {
    worker::work();
}

/// The median time of something in a stream, in seconds of the simulated clock.
fn median(times: usize, stream: abi::cuda::CUstream, mut once: impl FnMut()) -> f64 {
    let mut took: Vec<f64> = (0..times).map(|_| time(stream, &mut once)).collect();
    took.sort_by(f64::total_cmp);
    took[times / 2]
}

/// The time of short copies to the device, one after the other; the bus needs 16 us for each.
fn short_copies(device: u64, times: usize) -> f64 {
    let data = [7u8; 4096];
    median(times, NULL, || ok!(cuMemcpyHtoDAsync_v2(device, data.as_ptr().cast(), data.len(), NULL)))
}

/// The time of kernels that need so many microseconds on all SMs, one after the other.
fn kernels(micros: u64, times: usize) -> f64 {
    let spin = kernel("spin");
    median(times, NULL, || assert_eq!(launch(spin, 132, NULL, &mut [micros * 1980]), abi::cuda::CUDA_SUCCESS))
}

#[test]
fn a_context_has_the_groups_of_the_real_one_in_its_order() {
    let _turn = turn();
    let own = Worker::start(Work::Idle, false).tell("layout");
    assert_eq!(own, format!("G{}{}", "Coo".repeat(8), format!("G{}", "Co".repeat(4)).repeat(3)));
    let served = Worker::start(Work::Idle, true).tell("layout");
    let copying = format!("G{}", "Co".repeat(4)).repeat(3);
    assert_eq!(served, format!("G{}{copying}GCo", "Coo".repeat(2)));
    assert_eq!(Worker::start(Work::Idle, false).tell("slices"), "[2048, 1024, 1024, 1024]");
}

#[test]
fn a_second_context_has_groups_of_its_own_and_leaves_none_behind() {
    let _turn = turn();
    let before = groups::groups().len();
    let mut context = CUcontext::NULL;
    ok!(cuCtxCreate_v2(&mut context, 0, 0));
    assert_eq!(groups::groups().len(), before + 4);
    ok!(cuCtxDestroy_v2(context));
    assert_eq!(groups::groups().len(), before);
}

#[test]
fn a_short_copy_beside_a_bulk_copier_waits_for_a_default_slice_and_not_for_one_of_a_microsecond() {
    let _turn = turn();
    let device = alloc(4096);
    let mut bulk = Worker::start(Work::Copies, false);
    in_one_of_ten_tries(|| {
        bulk.tell("slice copy 1024");
        let default = short_copies(device, 101);
        bulk.tell("slice copy 1");
        let short = short_copies(device, 101);
        let seen = format!("{default} s beside slices of 1024 us, {short} s beside slices of 1 us");
        expect(default > 3.0 * short, seen)
    });
    bulk.wait_for(1);
}

#[test]
fn copiers_share_in_proportion_to_their_slices() {
    let _turn = turn();
    let mut copiers = [400, 100].map(|slice| {
        let mut copier = Worker::start(Work::Copies, false);
        copier.tell(&format!("slice copy {slice}"));
        copier
    });
    in_one_of_ten_tries(|| {
        let before = copiers.each_mut().map(Worker::count);
        std::thread::sleep(Duration::from_millis(2_000));
        let after = copiers.each_mut().map(Worker::count);
        let ratio = (after[0] - before[0]) as f64 / (after[1] - before[1]) as f64;
        let seen = format!("{ratio} for slices of 400 and 100 us: {before:?} {after:?}");
        expect((2.7..5.5).contains(&ratio), seen)
    });
}

#[test]
fn a_stopped_group_makes_no_progress_and_goes_on_when_let_go() {
    let _turn = turn();
    let length = Duration::from_millis(300);
    for (work, engine) in [(Work::Copies, "copy"), (Work::Kernels { blocks: 132, micros: 5_000 }, "gr")] {
        let mut worker = Worker::start(work, false);
        worker.wait_for(10);
        worker.tell(&format!("stop {engine}"));
        // What ended before may be told later, so that each look at most finds one thread less that has something to tell.
        let late = (0..=worker::IN_FLIGHT).take_while(|_| worker.count_for(length) > 0).count();
        assert!(late <= worker::IN_FLIGHT, "{engine}: it goes on though it is stopped");
        worker.tell(&format!("go {engine}"));
        worker.wait_for(10);
    }
}

/// Fails if what takes `time` is held up by a worker that was killed during a slice of 0.3 s.
fn check_death(work: Work, engine: &str, time: impl Fn(usize) -> f64) {
    in_one_of_ten_tries(|| {
        let mut busy = Worker::start(work, false);
        busy.tell(&format!("slice {engine} 300000"));
        // Each waits for a slice that began when the one before was done.
        let waited = time(5);
        drop(busy);
        let free = time(1);
        let seen = format!("{engine}: {waited} s beside a slice of 0.3 s, {free} s after its owner's death");
        expect(waited > 2.5 * free, seen)
    });
}

#[test]
fn a_killed_process_holds_nobody_up() {
    let _turn = turn();
    let device = alloc(4096);
    check_death(Work::Copies, "copy", |times| short_copies(device, times));
    check_death(Work::Kernels { blocks: 132, micros: 500_000 }, "gr", |times| kernels(100, times));
}

#[test]
fn contexts_take_turns_on_the_gpu_unless_they_share_it_through_mps() {
    let _turn = turn();
    // Both fit the GPU at the same time.
    let work = Work::Kernels { blocks: 40, micros: 4_000 };
    let speed_beside_another = |mps| {
        let mut one = Worker::start(work, mps);
        let alone = one.count_for(Duration::from_millis(600));
        let _other = Worker::start(work, mps);
        one.count_for(Duration::from_millis(600)) as f64 / alone as f64
    };
    in_one_of_ten_tries(|| {
        let (turns, shared) = (speed_beside_another(false), speed_beside_another(true));
        let seen = format!("{turns} of its speed beside another context, {shared} under MPS");
        expect(turns < 0.7 && turns > 0.25 && shared > 1.3 * turns, seen)
    });
}

#[test]
fn a_short_slice_lets_a_newcomer_preempt_a_long_kernel() {
    let _turn = turn();
    let mut long = Worker::start(Work::Kernels { blocks: 132, micros: 400_000 }, false);
    in_one_of_ten_tries(|| {
        long.tell("slice gr 50000");
        let patient = kernels(100, 5);
        long.tell("slice gr 1");
        let short = kernels(100, 31);
        let seen = format!("{patient} s beside slices of 50 ms of kernels of 400 ms, {short} s beside slices of 1 us");
        // Without preemption a newcomer would wait as long as the kernel runs.
        expect(patient > 5.0 * short && patient < 0.3, seen)
    });
}
