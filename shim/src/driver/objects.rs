//! The one registry of the driver's objects that this library has to know: contexts, captures, pools, handles of physical
//! memory, allocations and executable graphs.

mod table;

pub(crate) use table::{Generation, Table};

use super::query::checked;
use crate::base::shield;
use abi::cuda::*;
use region::Direction;
use std::collections::HashMap;
use std::hash::Hash;
use units::{Bytes, DeviceVa};

/// The registry.
pub(crate) struct Objects {
    pub(crate) contexts: Table<CUcontext, Context>,
    pub(crate) captures: Table<CapturedStream, Capture>,
    /// Pools whose memory may be handed to other processes.
    pub(crate) exportable_pools: Table<CUmemoryPool, ()>,
    pub(crate) handles: Table<CUmemGenericAllocationHandle, Physical>,
    /// Allocations of `cuMemAlloc`, with the bytes that the program asked for.
    pub(crate) allocations: Table<DeviceVa, Bytes>,
    /// Executable graphs that copy, with what each node moves.
    pub(crate) graphs: Table<CUgraphExec, HashMap<CUgraphNode, Moved>>,
}

/// The objects of this process.
pub(crate) static OBJECTS: Objects = Objects {
    contexts: Table::new(),
    captures: Table::new(),
    exportable_pools: Table::new(),
    handles: Table::new(),
    allocations: Table::new(),
    graphs: Table::new(),
};

/// A context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    /// The device whose primary context it is.
    pub(crate) primary_of: Option<CUdevice>,
    /// Holds that `cuCtxCreate` and `cuCtxAttach` gave and `cuCtxDetach` takes.
    pub(crate) holds: u32,
}

/// A stream that is captured, by a name that means the same in every thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CapturedStream {
    /// One that the program made.
    Made(CUstream),
    /// The default stream of a thread, in one of its contexts.
    OfThread(u32, CUcontext),
}

/// A capture under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capture {
    /// The context of its stream, where the driver says.
    pub(crate) context: Option<CUcontext>,
}

/// An object of the resource manager's: its client, and its handle there.
pub(crate) type ObjectId = (u32, u32);

/// Physical memory behind a handle of the program's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Physical {
    pub(crate) object: ObjectId,
    /// Holds of the program's on the handle.
    pub(crate) holds: u32,
}

/// Bytes that one or several copies move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Over the bus, by [`Direction`].
    pub(crate) over: [Bytes; Direction::ALL.len()],
    /// Within devices, or from one to another.
    pub(crate) within: Bytes,
}

/// Has the driver free an object: its entry is out of the table while it does, and comes back if it refuses.
pub(crate) fn free<K: Copy + Eq + Hash, V>(
    table: &Table<K, V>,
    key: K,
    forward: impl FnOnce() -> CUresult,
) -> CUresult {
    let taken = shield::shielded(|| table.take(key)).flatten();
    let result = forward();
    if checked(result).is_err()
        && let Some(taken) = taken
    {
        shield::shielded(|| table.put_back(taken));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_keeps_the_entry_of_an_object_that_was_made_meanwhile() {
        let table = Table::new();
        table.insert(7, "first");
        let freed = free(&table, 7, || {
            table.insert(7, "second");
            CUDA_SUCCESS
        });
        assert_eq!(freed, CUDA_SUCCESS);
        assert_eq!(table.look(7, |value| *value).map(|(_, value)| value), Some("second"));
    }

    #[test]
    fn a_free_that_the_driver_refuses_changes_nothing() {
        let table = Table::new();
        table.insert(7, "first");
        let freed = free(&table, 7, || {
            assert!(table.is_empty(), "nobody finds it while the driver decides");
            CUDA_ERROR_INVALID_VALUE
        });
        assert_eq!(freed, CUDA_ERROR_INVALID_VALUE);
        assert_eq!(table.look(7, |value| *value).map(|(_, value)| value), Some("first"));
    }
}
