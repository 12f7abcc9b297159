//! Handles: what programs hold instead of pointers to the driver's objects.

use super::lock;
use abi::cuda::{CUDA_ERROR_INVALID_HANDLE, CUresult, Handle};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// The number of the next handle. One count for all kinds and never reused: the types tell the kinds apart in here, but
/// programs reach the driver through C, and so a stale handle, or one of another kind, must be found out by its number.
/// It starts above the special stream handles and above what programs pass as numbers, below all addresses.
static NEXT: AtomicUsize = AtomicUsize::new(0x2_0000_0000);

/// A handle whose number was never given out before.
pub(crate) fn fresh<H: Handle>() -> H {
    H::numbered(NEXT.fetch_add(0x10, Ordering::Relaxed))
}

/// The live objects of one kind, `T`, by their handles, `H`.
pub(crate) struct Handles<H: Handle, T>(Mutex<BTreeMap<H, Arc<T>>>);

impl<H: Handle, T> Handles<H, T> {
    pub(crate) const fn new() -> Self {
        Handles(Mutex::new(BTreeMap::new()))
    }

    /// Adds an object and returns its handle.
    pub(crate) fn add(&self, object: Arc<T>) -> H {
        let handle = fresh();
        self.insert(handle, object);
        handle
    }

    /// Adds an object whose handle was chosen before.
    pub(crate) fn insert(&self, handle: H, object: Arc<T>) {
        lock(&self.0).insert(handle, object);
    }

    /// The object behind a handle.
    pub(crate) fn get(&self, handle: H) -> Result<Arc<T>, CUresult> {
        lock(&self.0).get(&handle).cloned().ok_or(CUDA_ERROR_INVALID_HANDLE)
    }

    /// All that live.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        lock(&self.0).values().cloned().collect()
    }

    /// Removes a handle.
    pub(crate) fn remove(&self, handle: H) -> Result<Arc<T>, CUresult> {
        lock(&self.0).remove(&handle).ok_or(CUDA_ERROR_INVALID_HANDLE)
    }
}
