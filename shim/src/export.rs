//! Memory that leaves the process: its pages have to be those that the driver knows.
//!
//! The driver hands out its own object, to another process (CUDA IPC), another device (RDMA, dma-buf) or another GPU (peer
//! access), and knows nothing of the pages that the pager put in its place. So before memory leaves, its content goes back
//! to the driver's own pages, which are mapped again, and it stays so. While a stream is captured that is not possible,
//! and the call is refused as the driver refuses others then. The same goes for memory that the program mapped itself and
//! exports by its handle, if it is mapped at just one address. What leaves through exportable pools is never coloured.

use crate::kernel::{self, Mapping, Wish};
use crate::life::{self, Joined};
use crate::log::{info, warning};
use crate::{announce, captures, handles, pager, real};
use abi::cuda::*;
use abi::uvm::MapExternalAllocation;
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
    let Some((base, mapping)) = kernel::ledger().colored_at(DeviceVa::new(va)) else { return Ok(()) };
    if captures::any() {
        // To move the memory means to wait, which would end the capture. To hand out pages that it is not on is worse
        // than to refuse.
        return Err(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    }
    uncolor(joined, base, &mapping)
}

/// The memory behind a handle is about to be seen from outside.
pub(crate) fn leaves_by_handle(handle: CUmemGenericAllocationHandle) -> Result<(), CUresult> {
    let (Some(joined), Some((client, memory))) = (life::joined(), handles::object_of(handle)) else { return Ok(()) };
    let _moving = MOVING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut ledger = kernel::ledger();
    let Some(object) = ledger.object(client, memory) else { return Ok(()) };
    if object.overlay.is_none() {
        // What leaves before it is mapped is never coloured.
        ledger.wish(client, memory, Wish::Stock);
        return Ok(());
    }
    let mappings = ledger.colored_of(client, memory);
    drop(ledger);
    match &mappings[..] {
        [_] if captures::any() => Err(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED),
        [(base, mapping)] => uncolor(joined, *base, mapping),
        // There is no address, or more than one, at which its content could be moved.
        _ => Err(CUDA_ERROR_NOT_SUPPORTED),
    }
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
    // What the program maps itself, or takes from pools, other GPUs see by a map request of its own, which the pager
    // answers with the same pages.
    let bases = kernel::ledger().colored();
    bases.into_iter().filter(|&base| announce::asked_for(base).is_some()).try_for_each(|base| {
        let mapping = kernel::ledger().colored_at(base);
        mapping.map_or(Ok(()), |(base, mapping)| uncolor(joined, base, &mapping))
    })
}

fn devices() -> c_int {
    let mut count = 0;
    // SAFETY: the function writes a count.
    match real::cuDeviceGetCount.get().map(|ask| unsafe { ask(&mut count) }) {
        Some(CUDA_SUCCESS) => count,
        _ => 0,
    }
}

/// Puts the content of a coloured range onto the driver's own pages, and these in the place of others.
fn uncolor(joined: &Joined, base: DeviceVa, mapping: &Mapping) -> Result<(), CUresult> {
    let Some(shown) = &mapping.shown else { return Ok(()) };
    // What the program mapped itself, perhaps at several addresses, cannot be moved while it is looked at elsewhere; nor
    // can what pools cut allocations out of, between which the driver lets nobody copy.
    let pooled = kernel::ledger().object(mapping.client, mapping.memory).is_some_and(|object| object.pooled);
    if pooled || shown.overlay.mappings() != 1 {
        return Err(CUDA_ERROR_NOT_SUPPORTED);
    }
    // The driver lets copies go as far as the program asked for, which may be less than what is mapped.
    let len = announce::asked_for(base).unwrap_or(mapping.len).min(mapping.len);
    synchronize()?;
    let mut aside = vec![0u8; len.min(PIECE).as_usize()];
    let mut at = Bytes::ZERO;
    while at < len {
        let piece = Bytes::min(len - at, PIECE);
        let aside = &mut aside[..piece.as_usize()];
        copy_to_host(aside, base + at)?;
        // Nobody else frees or moves it meanwhile: the program has it in use, and this thread holds the lock.
        let mapped = Bytes::min(mapping.len - at, PIECE);
        if let Err(status) = pager::map_stock(shown.fd, &part_of(&shown.stock, at, mapped)) {
            warning!("cannot put the driver's memory back at {base} (status {status:#x})");
            return Err(CUDA_ERROR_UNKNOWN);
        }
        copy_to_device(base + at, aside)?;
        at += piece;
    }
    // As one mapping, in the driver's own page size.
    if let Err(status) = pager::map_stock(shown.fd, &shown.stock) {
        warning!("cannot put the driver's memory back at {base} (status {status:#x})");
        return Err(CUDA_ERROR_UNKNOWN);
    }
    pager::uncolored(base, mapping);
    joined.tenant().passed.count(Why::Exported);
    info!("{} at {base} are uncoloured, as they leave the process", mapping.len);
    Ok(())
}

/// How much is kept aside at a time, in the host's memory: the GPU's may be full.
const PIECE: Bytes = Bytes::mib(16);

/// The driver's request, for a part of what it maps.
fn part_of(stock: &MapExternalAllocation, at: Bytes, len: Bytes) -> MapExternalAllocation {
    let (base, offset) = (stock.base + at.get(), stock.offset + at.get());
    MapExternalAllocation { base, offset, length: len.get(), ..*stock }
}

fn copy_to_host(to: &mut [u8], from: DeviceVa) -> Result<(), CUresult> {
    let copy = real::cuMemcpyDtoH_v2.get().ok_or(CUDA_ERROR_NOT_FOUND)?;
    // SAFETY: the source is a part of an allocation, and the copy is done as it returns.
    succeeded(unsafe { copy(to.as_mut_ptr().cast(), from.get(), to.len()) })
}

fn copy_to_device(to: DeviceVa, from: &[u8]) -> Result<(), CUresult> {
    let copy = real::cuMemcpyHtoD_v2.get().ok_or(CUDA_ERROR_NOT_FOUND)?;
    // SAFETY: as above.
    succeeded(unsafe { copy(to.get(), from.as_ptr().cast(), from.len()) })?;
    // From memory that is not pinned the call may return before the device has all of it.
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
