//! The line of commands that a stream serves, and points in it.

use super::command::Command;
use super::lock;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use units::Nanos;

/// The commands of a stream.
#[derive(Default)]
pub(super) struct Line {
    pub(super) queue: Mutex<Queue>,
    pub(super) changed: Condvar,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) waiting: VecDeque<Queued>,
    /// How many commands were ever submitted, and how many of them are done.
    pub(super) submitted: u64,
    pub(super) done: u64,
    /// Whether a thread is at the head command, be it the worker or one that serves its own command.
    pub(super) busy: bool,
    pub(super) worker: bool,
    pub(super) closing: bool,
    /// When the last command ended in simulated terms.
    pub(super) ended: Nanos,
}

pub(super) struct Queued {
    pub(super) command: Command,
    pub(super) after: Vec<Fence>,
    pub(super) at: Nanos,
}

/// A point in a stream: reached when that many commands are done.
#[derive(Clone)]
pub(crate) struct Fence {
    pub(super) line: Arc<Line>,
    pub(super) commands: u64,
}

impl Fence {
    /// Waits until the point is reached.
    pub(crate) fn wait(&self) {
        let mut queue = lock(&self.line.queue);
        while queue.done < self.commands {
            queue = self.line.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether the point is reached.
    pub(crate) fn is_reached(&self) -> bool {
        lock(&self.line.queue).done >= self.commands
    }
}

impl Line {
    /// The end of all commands so far.
    pub(super) fn fence(self: &Arc<Self>) -> Fence {
        Fence { line: self.clone(), commands: lock(&self.queue).submitted }
    }
}
