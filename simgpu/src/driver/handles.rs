//! Handles: what programs hold instead of pointers to the driver's objects.

use super::lock;
use abi::cuda::{CUDA_ERROR_INVALID_HANDLE, CUresult};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// The next handle. One count for all kinds and never reused, so that a stale handle, or one of another kind, is
/// found out. It starts above the special stream handles and above what programs pass as numbers, below all addresses.
static NEXT: AtomicUsize = AtomicUsize::new(0x2_0000_0000);

/// A handle that was never given out before.
pub(crate) fn fresh() -> usize {
    NEXT.fetch_add(0x10, Ordering::Relaxed)
}

/// The live objects of one kind.
pub(crate) struct Handles<T>(Mutex<BTreeMap<usize, Arc<T>>>);

impl<T> Handles<T> {
    pub(crate) const fn new() -> Self {
        Handles(Mutex::new(BTreeMap::new()))
    }

    /// Adds an object and returns its handle.
    pub(crate) fn add(&self, object: Arc<T>) -> *mut c_void {
        let handle = fresh();
        self.insert(handle, object);
        handle as *mut c_void
    }

    /// Adds an object whose handle was chosen before.
    pub(crate) fn insert(&self, handle: usize, object: Arc<T>) {
        lock(&self.0).insert(handle, object);
    }

    /// The object behind a handle.
    pub(crate) fn get(&self, handle: *mut c_void) -> Result<Arc<T>, CUresult> {
        lock(&self.0).get(&(handle as usize)).cloned().ok_or(CUDA_ERROR_INVALID_HANDLE)
    }

    /// All that live.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        lock(&self.0).values().cloned().collect()
    }

    /// Removes a handle.
    pub(crate) fn remove(&self, handle: *mut c_void) -> Result<Arc<T>, CUresult> {
        lock(&self.0).remove(&(handle as usize)).ok_or(CUDA_ERROR_INVALID_HANDLE)
    }
}
