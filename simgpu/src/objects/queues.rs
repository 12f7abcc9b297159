//! The device's queues, which streams share: what is submitted behind a wait in the same queue waits with it.
//!
//! Some are for kernels and some for copies; a wait goes to one of the kind that its stream's last command went to. How many
//! there are for kernels is `CUDA_DEVICE_MAX_CONNECTIONS`: 8, and 2 under MPS, where nothing is asked for; and with two there
//! are four for copies (seen on an H200, `tests/gpu/programs/queues.c`; for other numbers the same ratio is supposed, but with
//! one there is one in all). A stream takes the one with the fewest waiting streams: with `n` queues, all went through beside up to
//! `n - 1` waiting streams, whichever those were. What is no wait holds nobody up: the device has kernels and copies side by
//! side.

use super::command::Command;
use super::line::Fence;
use super::lock;
use crate::os::rm::groups::has_mps;
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};

/// The kind of commands that a queue is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Kernels,
    Copies,
}

/// The last wait of a stream in a queue, if it may not be over: those before it are over when it is.
struct Wait {
    stream: u64,
    kind: Kind,
    queue: usize,
    until: Fence,
}

#[derive(Default)]
struct Queues {
    waits: Vec<Wait>,
    /// By stream: where its last command went, if not to kernels.
    last: BTreeMap<u64, Kind>,
}

static QUEUES: Mutex<Queues> = Mutex::new(Queues { waits: Vec::new(), last: BTreeMap::new() });

fn number(kind: Kind) -> usize {
    static ASKED: OnceLock<usize> = OnceLock::new();
    let unasked = || if has_mps() { 2 } else { 8 };
    let asked = || std::env::var("CUDA_DEVICE_MAX_CONNECTIONS").ok()?.parse().ok();
    let kernels = *ASKED.get_or_init(|| asked().unwrap_or_else(unasked).clamp(1, 32));
    match kind {
        Kind::Kernels => kernels,
        Kind::Copies if kernels == 1 => 1,
        Kind::Copies => 2 * kernels,
    }
}

impl Queues {
    /// The queue of the stream's next command: to the queue of its last wait, or to the one with the fewest.
    fn place(&self, stream: u64, command: &Command) -> (Kind, usize) {
        let kind = match command {
            Command::Copy(_) => Kind::Copies,
            Command::Launch(_) | Command::Graph(_) => Kind::Kernels,
            _ => self.last.get(&stream).copied().unwrap_or(Kind::Kernels),
        };
        // Of one queue in all, both kinds are the same.
        let kind = if number(kind) == 1 { Kind::Kernels } else { kind };
        let there = || self.waits.iter().filter(move |wait| wait.kind == kind);
        let own = there().rev().find(|wait| wait.stream == stream).map(|wait| wait.queue);
        let waiting = |&queue: &usize| there().filter(|wait| wait.queue == queue).count();
        (kind, own.unwrap_or_else(|| (0..number(kind)).min_by_key(waiting).unwrap_or(0)))
    }
}

/// The queue of a command, what is in front of it there, and whether it holds up what comes behind.
pub(super) struct Place {
    stream: u64,
    kind: Kind,
    queue: usize,
    waits: bool,
    pub(super) in_front: Vec<Fence>,
}

impl Place {
    /// The place of a command of the stream that is submitted now.
    pub(super) fn of(stream: u64, command: &Command) -> Place {
        let mut queues = lock(&QUEUES);
        queues.waits.retain(|wait| !wait.until.is_reached());
        let (kind, queue) = queues.place(stream, command);
        // What the stream itself waits for is in front anyway.
        let others =
            queues.waits.iter().filter(|wait| (wait.kind, wait.queue) == (kind, queue) && wait.stream != stream);
        let in_front = others.map(|wait| wait.until.clone()).collect();
        let waits = matches!(command, Command::WaitValue(_) | Command::Await(_));
        Place { stream, kind, queue, waits, in_front }
    }

    /// The command was submitted, and is over at the fence.
    pub(super) fn submitted(&self, fence: &Fence) {
        let mut queues = lock(&QUEUES);
        queues.last.insert(self.stream, self.kind);
        if self.waits {
            let Place { stream, kind, queue, .. } = *self;
            queues.waits.retain(|wait| (wait.stream, wait.kind, wait.queue) != (stream, kind, queue));
            queues.waits.push(Wait { stream, kind, queue, until: fence.clone() });
        }
    }
}
