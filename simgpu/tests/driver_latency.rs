//! The latency kernel: what a prober sees of the memory hash.

#[macro_use]
#[path = "driver_support/client.rs"]
mod client;

use abi::cuda::CUDA_SUCCESS;
use client::*;
use units::{Bytes, DeviceVa, PhysAddr};

const MIB: usize = 1 << 20;
const SMS: usize = 132;

/// Times addresses from every SM: a row of cycles for each, and the SMs of the rows.
fn timed(addresses: &[u64], reps: u64) -> (Vec<Vec<u32>>, Vec<u32>) {
    let count = addresses.len();
    let (listed, out, smids) = (alloc(count * 8), alloc(count * SMS * 4), alloc(SMS * 4));
    ok!(cuMemcpyHtoD_v2(listed, addresses.as_ptr().cast(), count * 8));
    let mut arguments = [listed, count as u64, reps, out, smids];
    assert_eq!(launch(kernel("latency"), SMS as u32, NULL, &mut arguments), CUDA_SUCCESS);
    ok!(cuCtxSynchronize());
    let rows = words(out, count * SMS).chunks(count).map(<[u32]>::to_vec).collect();
    let sms = words(smids, SMS);
    for dptr in [listed, out, smids] {
        ok!(cuMemFree_v2(dptr));
    }
    (rows, sms)
}

fn place(address: u64) -> PhysAddr {
    let mut place = None;
    let keep = &mut |_, at, _| place = Some(at);
    cuda::os::for_each_page_run(DeviceVa::new(address), Bytes::new(4), keep).expect("mapped");
    place.expect("a page")
}

#[test]
fn latency_tells_the_sides_apart() {
    start();
    let pages: Vec<u64> = (0..4).map(|_| alloc(2 * MIB)).collect();
    let (rows, sms) = timed(&pages, 8);
    let spec = cuda::machine::Machine::get().expect("a machine").spec();
    for (row, sm) in rows.iter().zip(sms) {
        for (&page, &cycles) in pages.iter().zip(row) {
            let near = spec.side_of(place(page)) == spec.sm_side(sm);
            assert_eq!(cycles < spec.latency.far_cycles, near, "SM {sm} page {page:#x}: {cycles}");
        }
    }
}

#[test]
fn lines_of_one_slice_have_one_fingerprint() {
    start();
    let page = alloc(2 * MIB);
    let lines: Vec<u64> = (0..96).map(|line| page + line * 128).collect();
    let (rows, _) = timed(&lines, 8);
    let spec = cuda::machine::Machine::get().expect("a machine").spec();
    let apart = |a: usize, b: usize| {
        let cycles = rows.iter().map(|row| u64::from(row[a].abs_diff(row[b])));
        cycles.sum::<u64>() as f64 / SMS as f64
    };
    for a in 0..lines.len() {
        for b in 0..a {
            let same = spec.hash.slice_of(place(lines[a])) == spec.hash.slice_of(place(lines[b]));
            assert_eq!(apart(a, b) < 6.0, same, "lines {a} and {b} are {} cycles apart on average", apart(a, b));
        }
    }
}

#[test]
fn without_a_try_there_is_no_time() {
    start();
    let (rows, sms) = timed(&[alloc(4096)], 0);
    assert!(rows.iter().all(|row| row == &[u32::MAX]));
    assert_eq!(sms, (0..SMS as u32).collect::<Vec<_>>());
}

#[test]
fn a_large_probe_keeps_the_sms_as_long_as_on_a_real_gpu() {
    start();
    let base = alloc(16 * MIB);
    let lines: Vec<u64> = (0..100_000).map(|line| base + line * 128).collect();
    let (begun, done) = (event(), event());
    ok!(cuEventRecord(begun, NULL));
    let (rows, _) = timed(&lines, 8);
    ok!(cuEventRecord(done, NULL));
    let (took, real) = (elapsed(begun, &[done]), 100_000.0 * 8.0 * 432.0 / 1980e6);
    assert_eq!((rows.len(), rows[0].len()), (SMS, lines.len()));
    assert!(took >= real, "{took} s, of which the SMs were busy {real} s");
}
