//! The timing model: who shares a bus or a side is slower, who does not is not.

#[macro_use]
#[path = "driver_support/client.rs"]
mod client;

use client::*;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
/// Only one test at a time: they all use the same GPU.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    start();
    turn
}

/// What a side of the H200 can be read at, in bytes a second, and how long the kernels here read.
const SIDE: f64 = 2230e9;
const READ: Duration = Duration::from_millis(40);

/// Copies to the device for a while; 2 MiB take 4 ms on the bus of these tests. Returns the copies a second.
fn copy_for(length: Duration) -> f64 {
    let (data, device) = (vec![1u8; 2 * MIB], alloc(2 * MIB));
    let begin = Instant::now();
    let mut copies = 0;
    while begin.elapsed() < length {
        ok!(cuMemcpyHtoD_v2(device, data.as_ptr().cast(), data.len()));
        copies += 1;
    }
    ok!(cuMemFree_v2(device));
    f64::from(copies) / begin.elapsed().as_secs_f64()
}

/// Another process, which copies for two seconds.
#[test]
#[ignore = "run by the test of two processes"]
fn copier() {
    start();
    copy_for(Duration::from_secs(2));
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().expect("a child");
        self.0.wait().expect("a child");
    }
}

#[test]
fn processes_share_the_bus() {
    let _turn = turn();
    let alone = copy_for(Duration::from_millis(300));
    let program = std::env::current_exe().expect("this program");
    let arguments = ["--exact", "copier", "--ignored"];
    let child = Command::new(program).args(arguments).stdout(Stdio::null()).spawn().expect("a child");
    let child = Killed(child);
    std::thread::sleep(Duration::from_millis(400));
    let shared = copy_for(Duration::from_millis(600));
    // The child dies in the middle of a copy.
    drop(child);
    let again = copy_for(Duration::from_millis(600));
    assert!((190.0..245.0).contains(&alone), "{alone} copies a second alone, of 238 by the bus");
    assert!((0.4..0.65).contains(&(shared / alone)), "{shared} of {alone} copies a second");
    assert!(again / alone > 0.85, "{again} of {alone} copies a second after the other's death");
}

/// A granule of each side, as the sides of these tests alternate every 2 MiB.
fn granules() -> [Vec<u64>; 2] {
    let spec = cuda::machine::Machine::get().expect("a machine").spec();
    let mut sides = [Vec::new(), Vec::new()];
    while sides.iter().any(|side| side.len() < 2) {
        let page = alloc(2 * MIB);
        let whole = (units::DeviceVa::new(page), units::Bytes::mib(2));
        let keep = &mut |_, at, _| sides[spec.side_of(at) as usize].push(page);
        cuda::kernel::for_each_page_run(whole.0, whole.1, keep).expect("mapped");
    }
    sides
}

/// Reads each of the pages with a kernel of 66 SMs at the same time; returns the time of all.
fn read(pages: &[u64]) -> f64 {
    let function = kernel("missile_stream");
    let passes = (SIDE * READ.as_secs_f64() / (2 * MIB) as f64) as u64;
    let streams: Vec<_> = pages.iter().map(|_| stream(1)).collect();
    let begin = Instant::now();
    for (&page, &stream) in pages.iter().zip(&streams) {
        let mut arguments = [page, 2 * MIB as u64, passes, 0, 0];
        assert_eq!(launch(function, 66, stream, &mut arguments), abi::cuda::CUDA_SUCCESS);
    }
    for stream in streams {
        ok!(cuStreamSynchronize(stream));
        ok!(cuStreamDestroy_v2(stream));
    }
    begin.elapsed().as_secs_f64() / READ.as_secs_f64()
}

#[test]
fn kernels_share_a_side_and_not_the_other() {
    let _turn = turn();
    let [near, far] = granules();
    let alone = read(&near[..1]);
    let apart = read(&[near[0], far[0]]);
    let together = read(&near[..2]);
    assert!((0.95..1.2).contains(&alone), "{alone} of what the side allows");
    assert!((0.95..1.25).contains(&apart), "{apart} on different sides");
    assert!((1.85..2.3).contains(&together), "{together} on the same side");
}

#[test]
fn kernels_share_the_sms() {
    let _turn = turn();
    let (spin, streams) = (kernel("missile_spin"), [stream(1), stream(1)]);
    let cycles = (1980e6 * READ.as_secs_f64()) as u64;
    let begin = Instant::now();
    for stream in streams {
        assert_eq!(launch(spin, 132, stream, &mut [cycles]), abi::cuda::CUDA_SUCCESS);
    }
    for stream in streams {
        ok!(cuStreamSynchronize(stream));
    }
    let both = begin.elapsed().as_secs_f64() / READ.as_secs_f64();
    assert!((1.85..2.3).contains(&both), "{both}");
}
