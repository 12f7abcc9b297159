//! Memory that belongs to a node of a graph.

use super::driver::driver;
use super::requests::HUGE_PAGE;
use super::{Outcome, lock};
use abi::cuda::*;
use std::collections::BTreeSet;
use std::sync::Mutex;
use units::{Bytes, DeviceVa};

/// The memory of allocation nodes that lives.
static MEMORY: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// The memory of an allocation node.
pub(crate) struct NodeMemory {
    pub(crate) va: DeviceVa,
    /// How much was asked for.
    pub(crate) bytes: usize,
}

impl NodeMemory {
    /// Takes memory of its own mapping, whose address nobody gets after it.
    pub(crate) fn take(bytes: usize, owner: CUcontext) -> Outcome<Self> {
        let driver = driver()?;
        let whole = Bytes::new(bytes as u64).max(HUGE_PAGE);
        let va = driver.memory.alloc(&driver.rm, whole, owner)?;
        lock(&MEMORY).insert(va.get());
        Ok(NodeMemory { va, bytes })
    }
}

impl Drop for NodeMemory {
    fn drop(&mut self) {
        lock(&MEMORY).remove(&self.va.get());
        if let Ok(driver) = driver() {
            // The program may have freed it already, or the context that it belonged to is gone.
            let _ = driver.memory.free(&driver.rm, self.va);
        }
    }
}

/// Whether an address is that of an allocation node.
pub(crate) fn is_memory(va: CUdeviceptr) -> bool {
    lock(&MEMORY).contains(&va)
}
