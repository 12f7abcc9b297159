//! Events: points in streams that can be waited for, and between which time can be taken.

use super::handles::Handles;
use super::lock;
use super::mark::Mark;
use abi::cuda::{CUevent, CUgraphNode};
use std::ffi::c_uint;
use std::sync::{Arc, Mutex};

/// An event.
pub(crate) struct Event {
    /// As it was made with.
    pub(crate) flags: c_uint,
    last: Mutex<Last>,
}

/// The last recording of an event.
#[derive(Clone, Default)]
pub(crate) enum Last {
    /// There was none.
    #[default]
    Never,
    /// In a stream.
    Recorded(Arc<Mark>),
    /// In the capture of that number, after these nodes of its graph.
    Captured(u64, Vec<CUgraphNode>),
}

impl Event {
    pub(crate) fn new(flags: c_uint) -> Arc<Self> {
        Arc::new(Event { flags, last: Mutex::default() })
    }

    /// The last recording.
    pub(crate) fn last(&self) -> Last {
        lock(&self.last).clone()
    }

    /// The last recording that was no capture's, if there was one.
    pub(crate) fn mark(&self) -> Option<Arc<Mark>> {
        match self.last() {
            Last::Recorded(mark) => Some(mark),
            _ => None,
        }
    }

    /// Notes a recording.
    pub(crate) fn set(&self, last: Last) {
        *lock(&self.last) = last;
    }
}

pub(crate) static EVENTS: Handles<CUevent, Event> = Handles::new();
