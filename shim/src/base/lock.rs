//! The lock of the library's own state.
//!
//! The standard library's, a futex word of its own: it allocates nothing, and a fork leaves no queue of waiters behind, as
//! `parking_lot` does (docs/decisions/crates.md). A panic while it is held is caught at the hook's edge and leaves the
//! value usable, so it does not poison.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// A value that one thread at a time gets at.
#[derive(Debug)]
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Lock(Mutex::new(value))
    }

    /// The value, once no other thread has it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value, if no other thread has it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(value) => Some(value),
            Err(TryLockError::Poisoned(value)) => Some(value.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
