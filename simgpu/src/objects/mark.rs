//! One recording of an event: a point in a stream.

use super::lock;
use std::sync::{Condvar, Mutex, PoisonError};
use units::Nanos;

/// One recording of an event.
#[derive(Default)]
pub(crate) struct Mark {
    time: Mutex<Option<Nanos>>,
    reached: Condvar,
}

impl Mark {
    /// Notes that the stream came to the mark at `time`.
    pub(crate) fn reach(&self, time: Nanos) {
        *lock(&self.time) = Some(time);
        self.reached.notify_all();
    }

    /// Waits for the mark; returns when it was reached.
    pub(crate) fn wait(&self) -> Nanos {
        let mut time = lock(&self.time);
        loop {
            match *time {
                Some(time) => return time,
                None => time = self.reached.wait(time).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// When the mark was reached, if it was.
    pub(crate) fn time(&self) -> Option<Nanos> {
        *lock(&self.time)
    }
}
