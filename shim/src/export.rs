//! Memory that leaves the process: its pages have to be those that the driver knows.
//!
//! The driver hands out its own object, to another process (CUDA IPC), another device (RDMA, dma-buf) or another GPU (peer
//! access), and knows nothing of the pages that the pager put in its place. So before memory leaves, its content goes back
//! to the driver's own pages, which are mapped again, and it stays so. While a stream is captured that is not possible,
//! and the call is refused as the driver refuses others then. What leaves through VMM handles or memory pools is
//! never coloured.

use crate::kernel;
use crate::life::{self, Joined};
use crate::log::{info, warning};
use crate::{captures, pager, real};
use abi::cuda::*;
use region::{ColorState, Why};
use std::ffi::{c_int, c_uint};
use std::sync::{Mutex, PoisonError};
use units::{Bytes, DeviceVa};

/// Held while an allocation is moved, so that two threads do not move the same one.
static MOVING: Mutex<()> = Mutex::new(());

/// The memory at `va` is about to be seen from outside. An error is the driver's, for the caller of the export.
pub(crate) fn leaves(va: CUdeviceptr) -> Result<(), CUresult> {
    let Some(joined) = life::joined() else { return Ok(()) };
    let _moving = MOVING.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(base) = kernel::ledger().backed_range(DeviceVa::new(va)) else { return Ok(()) };
    if captures::any() {
        // To move the memory means to wait, which would end the capture. To hand out pages that it is not on is worse
        // than to refuse.
        return Err(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    }
    joined.tenant().passed.count(Why::Exported);
    uncolor(joined, base)
}

/// Other GPUs are about to see all memory of the context: nothing of this process is coloured from now on.
pub(crate) fn peers_see_all() -> Result<(), CUresult> {
    let Some(joined) = life::joined() else { return Ok(()) };
    if devices() < 2 {
        return Ok(());
    }
    if captures::any() {
        return Err(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    }
    let _moving = MOVING.lock().unwrap_or_else(PoisonError::into_inner);
    pager::stop(joined, ColorState::SharedWithPeers);
    let bases = kernel::ledger().backed_ranges();
    bases.into_iter().try_for_each(|base| uncolor(joined, base))
}

fn devices() -> c_int {
    let mut count = 0;
    // SAFETY: the function writes a count.
    match real::cuDeviceGetCount.get().map(|ask| unsafe { ask(&mut count) }) {
        Some(CUDA_SUCCESS) => count,
        _ => 0,
    }
}

/// Puts the content of a coloured range onto the driver's own pages, and these in the place of the pager's.
fn uncolor(joined: &Joined, base: DeviceVa) -> Result<(), CUresult> {
    // The driver lets copies go as far as the program asked for, which may be less than what is mapped. An allocation
    // that is not held any more is being freed.
    let Some(len) = pager::asked_for(base) else { return Ok(()) };
    let aside = Aside::keep(base, len)?;
    // Nobody else frees or moves it meanwhile: the program has it in use, and this thread holds the lock.
    let Some(backing) = kernel::ledger().take_backing(base) else { return Ok(()) };
    if let Err(status) = pager::map_stock(backing.fd, &backing.stock) {
        warning!("cannot put the driver's memory back at {base} (status {status:#x})");
        kernel::ledger().backed(base, backing);
        return Err(CUDA_ERROR_UNKNOWN);
    }
    let restored = aside.restore(base, len);
    pager::give_back(backing);
    pager::uncolored(joined, base);
    info!("{len} at {base} are uncoloured, as they leave the process");
    restored
}

/// The content of a range, kept while its pages are changed.
struct Aside(CUdeviceptr);

impl Aside {
    fn keep(base: DeviceVa, len: Bytes) -> Result<Aside, CUresult> {
        let alloc = real::cuMemAlloc_v2.get().ok_or(CUDA_ERROR_NOT_FOUND)?;
        synchronize()?;
        let mut copy = 0;
        // SAFETY: the function writes an address.
        succeeded(unsafe { alloc(&mut copy, len.as_usize()) })?;
        let aside = Aside(copy);
        copy_within_device(aside.0, base.get(), len)?;
        Ok(aside)
    }

    fn restore(self, base: DeviceVa, len: Bytes) -> Result<(), CUresult> {
        copy_within_device(base.get(), self.0, len)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(free) = real::cuMemFree_v2.get() {
            // SAFETY: the address is of this allocation, which nobody else knows.
            unsafe { free(self.0) };
        }
    }
}

fn copy_within_device(to: CUdeviceptr, from: CUdeviceptr, len: Bytes) -> Result<(), CUresult> {
    let copy = real::cuMemcpyDtoD_v2.get().ok_or(CUDA_ERROR_NOT_FOUND)?;
    // SAFETY: both ranges are allocations of at least this length.
    succeeded(unsafe { copy(to, from, len.as_usize()) })?;
    synchronize()
}

fn synchronize() -> Result<(), CUresult> {
    let wait = real::cuCtxSynchronize.get().ok_or(CUDA_ERROR_NOT_FOUND)?;
    // SAFETY: the function takes nothing.
    succeeded(unsafe { wait() })
}

fn succeeded(result: CUresult) -> Result<(), CUresult> {
    if result == CUDA_SUCCESS { Ok(()) } else { Err(result) }
}

/// cuda.h: `CU_POINTER_ATTRIBUTE_P2P_TOKENS` and `CU_POINTER_ATTRIBUTE_SYNC_MEMOPS`, which programs ask for and set before
/// another device gets at the memory.
pub(crate) fn is_for_other_devices(attribute: c_uint) -> bool {
    matches!(attribute, 5 | 6)
}
