//! The driver's state: contexts, streams, events, graphs, pools, memory and modules, and the work that they do.
//!
//! Like the real library it holds no memory of its own: it speaks to the kernel modules with RM and UVM requests on the
//! calling thread, and the work of each stream is done by a thread of its own, which takes as long as the shared timing
//! model says. Nothing here has the C ABI or reads a program's pointers but for the data of copies; that is for
//! [`api`](crate::api), which nothing here knows.

use abi::cuda::*;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The answer of a function: nothing, or an error code.
pub(crate) type Outcome<T = ()> = Result<T, CUresult>;

/// Locks; a panic elsewhere leaves the data usable, as no lock is held across anything that may panic halfway.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) mod capture;
mod channels;
pub(crate) mod command;
pub(crate) mod context;
pub(crate) mod current;
pub(crate) mod descriptor;
pub(crate) mod driver;
pub(crate) mod event;
pub(crate) mod exec;
pub(crate) mod fill;
mod first_fit;
pub(crate) mod graph;
mod handles;
pub(crate) mod host_memory;
pub(crate) mod kernels;
pub(crate) mod kind;
mod latency;
pub(crate) mod launch;
mod line;
pub(crate) mod mark;
pub(crate) mod memory;
pub(crate) mod module;
pub(crate) mod node_memory;
mod pages;
pub(crate) mod pool;
mod queues;
pub(crate) mod requests;
mod residents;
pub(crate) mod stream;
pub(crate) mod transfer;
pub(crate) mod virtual_memory;
pub(crate) mod words;
