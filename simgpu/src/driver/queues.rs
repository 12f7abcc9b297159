//! The device's queues, which streams share: what is submitted behind a wait in the same queue waits with it.
//!
//! `CUDA_DEVICE_MAX_CONNECTIONS` says how many there are; a program that does not ask has 8, and 2 under MPS. A stream takes
//! one without waits while there is one, as was seen on an H200 (`tests/gpu/programs/queues.c`): with `n` queues kernels and
//! copies went through beside up to `n - 1` waiting streams, whichever those were. There, copies sometimes went through
//! beside more of them; here they do not. Kernels and copies hold nobody up in a queue: the device has them side by side.

use super::command::Command;
use super::lock;
use super::stream::Fence;
use std::sync::{Mutex, OnceLock};

/// A wait that may not be over: whose, and where.
struct Wait {
    stream: u64,
    queue: usize,
    until: Fence,
}

static WAITS: Mutex<Vec<Wait>> = Mutex::new(Vec::new());

fn number() -> usize {
    static NUMBER: OnceLock<usize> = OnceLock::new();
    let unasked = || if super::device::has_mps() { 2 } else { 8 };
    let asked = || std::env::var("CUDA_DEVICE_MAX_CONNECTIONS").ok()?.parse().ok();
    *NUMBER.get_or_init(|| asked().unwrap_or_else(unasked).clamp(1, 32))
}

/// The queue that the stream's next command goes to: that of its last wait, or the one with the fewest.
fn queue_of(waits: &[Wait], stream: u64) -> usize {
    let own = waits.iter().rev().find(|wait| wait.stream == stream).map(|wait| wait.queue);
    let waiting = |&queue: &usize| waits.iter().filter(|wait| wait.queue == queue).count();
    own.unwrap_or_else(|| (0..number()).min_by_key(waiting).unwrap_or(0))
}

/// What a command of the stream that is submitted now stands behind.
pub(super) fn in_front(stream: u64) -> Vec<Fence> {
    let mut waits = lock(&WAITS);
    waits.retain(|wait| !wait.until.is_reached());
    let queue = queue_of(&waits, stream);
    waits.iter().filter(|wait| wait.queue == queue).map(|wait| wait.until.clone()).collect()
}

/// A command of the stream was submitted that is over at the fence.
pub(super) fn submitted(is_wait: bool, stream: u64, fence: &Fence) {
    if is_wait {
        let mut waits = lock(&WAITS);
        let queue = queue_of(&waits, stream);
        waits.push(Wait { stream, queue, until: fence.clone() });
    }
}

/// Whether the command holds up what is behind it in its queue.
pub(super) fn is_wait(command: &Command) -> bool {
    matches!(command, Command::WaitValue(_) | Command::Await(_))
}
