//! Which object of VRAM is behind a handle of the program's (`cuMemCreate`): memory leaves the process by handles.

use crate::kernel;
use abi::cuda::CUmemGenericAllocationHandle;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use units::DeviceVa;

/// An object of VRAM: its client and its handle there.
pub(crate) type ObjectId = (u32, u32);

/// The objects, and how many of the program's holds on a handle there are.
static HANDLES: Mutex<Option<HashMap<CUmemGenericAllocationHandle, (ObjectId, u32)>>> = Mutex::new(None);

fn handles() -> MutexGuard<'static, Option<HashMap<CUmemGenericAllocationHandle, (ObjectId, u32)>>> {
    HANDLES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The driver gave out a handle for an object.
pub(crate) fn made(handle: CUmemGenericAllocationHandle, object: ObjectId) {
    handles().get_or_insert_default().insert(handle, (object, 1));
}

/// The driver gave out a handle for the memory at an address; it may be one that the program has.
pub(crate) fn retained(handle: CUmemGenericAllocationHandle, va: DeviceVa) {
    let Some(object) = kernel::ledger().object_at(va) else { return };
    let mut handles = handles();
    let (known, holds) = handles.get_or_insert_default().entry(handle).or_insert((object, 0));
    (*known, *holds) = (object, *holds + 1);
}

/// The program let go of a handle once.
pub(crate) fn released(handle: CUmemGenericAllocationHandle) {
    let mut handles = handles();
    let Some(all) = handles.as_mut() else { return };
    if let Some((_, holds)) = all.get_mut(&handle) {
        *holds = holds.saturating_sub(1);
        if *holds == 0 {
            all.remove(&handle);
        }
    }
}

/// The object behind a handle.
pub(crate) fn object_of(handle: CUmemGenericAllocationHandle) -> Option<ObjectId> {
    handles().as_ref()?.get(&handle).map(|&(object, _)| object)
}
