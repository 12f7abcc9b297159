//! The device's queues, which streams share: what is submitted behind a wait in the same queue waits with it.
//!
//! There is one for all streams where `CUDA_DEVICE_MAX_CONNECTIONS` is 1, and one for each with any other number. Kernels
//! and copies hold nobody up in a queue: the device has them side by side.

use super::command::Command;
use super::lock;
use super::stream::Fence;
use std::sync::{Mutex, OnceLock};

/// The waits in the one queue that may not be over.
static WAITS: Mutex<Vec<Fence>> = Mutex::new(Vec::new());

fn is_one() -> bool {
    static ONE: OnceLock<bool> = OnceLock::new();
    *ONE.get_or_init(|| std::env::var_os("CUDA_DEVICE_MAX_CONNECTIONS").is_some_and(|number| number == "1"))
}

/// What a command that is submitted now stands behind.
pub(super) fn in_front() -> Vec<Fence> {
    if !is_one() {
        return Vec::new();
    }
    let mut waits = lock(&WAITS);
    waits.retain(|wait| !wait.is_reached());
    waits.clone()
}

/// A command was submitted that is over at the fence.
pub(super) fn submitted(is_wait: bool, fence: &Fence) {
    if is_wait && is_one() {
        lock(&WAITS).push(fence.clone());
    }
}

/// Whether the command holds up what is behind it in its queue.
pub(super) fn is_wait(command: &Command) -> bool {
    matches!(command, Command::WaitValue(_) | Command::Await(_))
}
