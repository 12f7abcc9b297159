//! The kernel by which the library under test copies past the copy engine: what it reads and writes, word by word.
//!
//! The words are those of `region/src/handover.rs`: started, left, done, and 64 bytes from the beginning, cancelled.

use super::kernels::Call;
use super::pages;
use crate::kernel::Fault;
use crate::machine::Machine;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use units::DeviceVa;

/// The part of the bus that SMs reach with loads (50.1 of 54.4 GB/s on an H200).
const SHARE: f64 = 0.92;

const STARTED: u64 = 4;
const LEFT: u64 = 8;
const DONE: u64 = 12;
const CANCELLED: u64 = 64;

/// One of the words.
fn word(arguments: &[u64; Call::ARGUMENTS], offset: u64) -> &'static AtomicU32 {
    // SAFETY: the library keeps its words pinned and mapped for ever, and accesses them atomically.
    unsafe { AtomicU32::from_ptr((arguments[4] + offset) as *mut u32) }
}

fn ticket(arguments: &[u64; Call::ARGUMENTS]) -> u32 {
    arguments[5] as u32
}

fn is_cancelled(arguments: &[u64; Call::ARGUMENTS]) -> bool {
    word(arguments, CANCELLED).load(Ordering::SeqCst).wrapping_sub(ticket(arguments)) as i32 >= 0
}

/// Begins the copy, if it was not cancelled. How many nanoseconds it takes.
pub(super) fn begin(machine: &Machine, arguments: &[u64; Call::ARGUMENTS]) -> Result<f64, Fault> {
    let [to, from, whole, rest, ..] = *arguments;
    word(arguments, STARTED).store(ticket(arguments), Ordering::SeqCst);
    fence(Ordering::SeqCst);
    if is_cancelled(arguments) {
        word(arguments, LEFT).store(ticket(arguments), Ordering::SeqCst);
        return Ok(0.0);
    }
    let bytes = whole + rest;
    // SAFETY: the program pinned the range for the device, as a kernel that reads it demands.
    let data = unsafe { core::slice::from_raw_parts(from as *const u8, bytes as usize) };
    pages::write(machine, DeviceVa::new(to), data)?;
    let gbps = machine.spec().bus.h2d_gbps * SHARE;
    Ok(bytes as f64 / gbps)
}

/// Says that the copy is done, if there was one.
pub(super) fn finish(arguments: &[u64; Call::ARGUMENTS]) {
    let left = word(arguments, LEFT).load(Ordering::SeqCst);
    if left != ticket(arguments) {
        word(arguments, DONE).store(ticket(arguments), Ordering::SeqCst);
    }
}
