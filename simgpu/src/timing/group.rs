//! A channel group as the engines see it: its turns last a slice, and it has none while it is stopped.

use super::clock::now;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::LazyLock;
use units::Nanos;

/// The slice of a new group.
const DEFAULT_SLICE_US: u64 = 1024;

/// The lower part of a key, the number of microseconds in some years.
const NUMBER_BITS: u32 = 48;

/// A channel group of this process.
#[derive(Debug)]
pub(crate) struct Group {
    /// The process's slot plus 1, times 2^48, plus a number that no other group has that was in this slot.
    pub(crate) key: u64,
    /// `NV2080_ENGINE_TYPE_…`.
    pub(crate) engine: u32,
    /// Whether it is the MPS server's, which all processes share: its slice and its channels then mean nothing here.
    pub(crate) is_shared: bool,
    /// In microseconds, as it was asked for.
    slice: AtomicU64,
    stopped: AtomicBool,
}

impl Group {
    /// A new group of the process in the slot.
    pub(crate) fn new(slot: usize, engine: u32, is_shared: bool) -> Self {
        /// Numbers go up from the time at which a process began, so that a process finds none of those that a dead one
        /// with the same slot has left on an engine.
        static FIRST: LazyLock<u64> = LazyLock::new(|| now().get() / 1_000);
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = (*FIRST + MADE.fetch_add(1, Ordering::Relaxed)) & ((1 << NUMBER_BITS) - 1);
        let key = (slot as u64 + 1) << NUMBER_BITS | number;
        let slice = AtomicU64::new(DEFAULT_SLICE_US);
        Group { key, engine, is_shared, slice, stopped: AtomicBool::new(false) }
    }

    /// The slice in microseconds, as it was asked for.
    pub(crate) fn asked_slice(&self) -> u64 {
        self.slice.load(Ordering::Relaxed)
    }

    /// The slice that the hardware gives, which is never 0.
    pub(crate) fn slice(&self) -> Nanos {
        Nanos::new(self.asked_slice().max(1).saturating_mul(1_000))
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Notes a slice in microseconds.
    pub(crate) fn set_slice(&self, micros: u64) {
        self.slice.store(micros, Ordering::Relaxed);
    }

    /// Notes whether all channels are disabled; returns whether this is new.
    pub(crate) fn set_stopped(&self, stopped: bool) -> bool {
        self.stopped.swap(stopped, Ordering::Relaxed) != stopped
    }
}
