//! Memory that leaves the process: its pages have to be those that the driver knows.
//!
//! The driver hands out its own object, to another process (CUDA IPC), another device (RDMA, dma-buf) or another GPU (peer
//! access), and knows nothing of the pages that the pager put in its place. So before memory leaves, its content goes back
//! to the driver's own pages, which are mapped again, and it stays so. While a stream is captured that is not possible,
//! and the call is refused as the driver refuses others then. The same goes for memory that the program mapped itself and
//! exports by its handle, if it is mapped at just one address. What leaves through exportable pools is never coloured.

use super::decision::{self, Leaving, Wish};
use super::ledger::{Mapping, ledger};
use super::{account, color, remap};
use crate::base::lock::Lock;
use crate::base::log::{info, warning};
use crate::driver::objects::OBJECTS;
use crate::driver::{capture, query};
use crate::tenant::membership::{self, Joined};
use abi::cuda::*;
use region::{ColorState, Why};
use std::ffi::c_uint;
use units::{Bytes, DeviceVa};

/// Held while an allocation is moved, so that two threads do not move the same one.
static MOVING: Lock<()> = Lock::new(());

/// The memory at `va` is about to be seen from outside. An error is the driver's, for the caller of the export.
pub(crate) fn leaves(va: DeviceVa) -> Result<(), CUresult> {
    let Some(joined) = membership::joined() else { return Ok(()) };
    let _moving = MOVING.lock();
    let Some((base, mapping)) = ledger().colored_at(va) else { return Ok(()) };
    move_back(joined, base, &mapping)
}

/// The memory behind a handle is about to be seen from outside.
pub(crate) fn leaves_by_handle(handle: CUmemGenericAllocationHandle) -> Result<(), CUresult> {
    let Some(joined) = membership::joined() else { return Ok(()) };
    let Some((_, (client, memory))) = OBJECTS.handles.look(handle, |known| known.object) else { return Ok(()) };
    let _moving = MOVING.lock();
    let mut ledger = ledger();
    let Some(object) = ledger.object(client, memory) else { return Ok(()) };
    if object.overlay.is_none() {
        // What leaves before it is mapped is never coloured.
        ledger.wish(client, memory, Wish::Stock);
        return Ok(());
    }
    let mapping = ledger.colored_of(client, memory);
    drop(ledger);
    match mapping {
        Some((base, mapping)) => move_back(joined, base, &mapping),
        // There is no address at which its content could be moved.
        None => Err(CUDA_ERROR_NOT_SUPPORTED),
    }
}

/// Other GPUs are about to see all memory of the context: nothing of this process is coloured from now on.
pub(crate) fn peers_see_all() -> Result<(), CUresult> {
    let Some(joined) = membership::joined() else { return Ok(()) };
    if query::devices() < 2 {
        return Ok(());
    }
    if capture::any() {
        return Err(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    }
    let _moving = MOVING.lock();
    color::stop(joined, ColorState::SharedWithPeers);
    // What the program maps itself, or takes from pools, other GPUs see by a map request of its own, which the pager
    // answers with the same pages.
    let bases = ledger().colored();
    bases.into_iter().filter(|&base| asked_for(base).is_some()).try_for_each(|base| {
        let mapping = ledger().colored_at(base);
        mapping.map_or(Ok(()), |(base, mapping)| move_back(joined, base, &mapping))
    })
}

/// Bytes that the program asked for at `va`, which is where an allocation of `cuMemAlloc` begins.
fn asked_for(va: DeviceVa) -> Option<Bytes> {
    OBJECTS.allocations.look(va, |&bytes| bytes).map(|(_, bytes)| bytes)
}

/// Puts the content of a coloured range onto the driver's own pages, and these in the place of others.
fn move_back(joined: &Joined, base: DeviceVa, mapping: &Mapping) -> Result<(), CUresult> {
    let Some(shown) = &mapping.shown else { return Ok(()) };
    // What pools cut allocations out of cannot be moved: between those the driver lets nobody copy.
    let is_pools = ledger().object(mapping.client, mapping.memory).is_some_and(|object| object.pooled);
    match decision::leaving(shown.overlay.mappings(), is_pools, capture::any()) {
        Leaving::MoveBack => {}
        // To hand out pages that the memory is not on is worse than to refuse.
        Leaving::RefuseForCapture => return Err(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED),
        Leaving::Refuse => return Err(CUDA_ERROR_NOT_SUPPORTED),
    }
    // The driver lets copies go as far as the program asked for, which may be less than what is mapped.
    let len = asked_for(base).unwrap_or(mapping.len).min(mapping.len);
    quiesce()?;
    let mut aside = vec![0u8; len.min(PIECE).as_usize()];
    let mut at = Bytes::ZERO;
    while at < len {
        let piece = Bytes::min(len - at, PIECE);
        let aside = &mut aside[..piece.as_usize()];
        query::read(aside, base + at)?;
        // Nobody else frees or moves it meanwhile: the program has it in use, and this thread holds the lock.
        let mapped = Bytes::min(mapping.len - at, PIECE);
        if let Err(status) = remap::restore(shown.fd, &remap::part_of(&shown.stock, at, mapped)) {
            warning!("cannot put the driver's memory back at {base} ({status})");
            return Err(CUDA_ERROR_UNKNOWN);
        }
        query::write(base + at, aside)?;
        at += piece;
    }
    // As one mapping, in the driver's own page size.
    if let Err(status) = remap::restore(shown.fd, &shown.stock) {
        warning!("cannot put the driver's memory back at {base} ({status})");
        return Err(CUDA_ERROR_UNKNOWN);
    }
    uncolored(base, mapping);
    joined.tenant().passed.count(Why::Exported);
    info!("{} at {base} are uncoloured, as they leave the process", mapping.len);
    Ok(())
}

/// Bytes that are kept aside at a time, in the host's memory: the GPU's may be full.
const PIECE: Bytes = Bytes::mib(16);

/// Waits for the work of every context of this process, whose streams may write what is moved.
fn quiesce() -> Result<(), CUresult> {
    for (context, _) in OBJECTS.contexts.matching(|_, _| true) {
        // One that ended meanwhile, or is in error, has no work any more.
        let _ = query::synchronize(context);
    }
    query::synchronize_current()
}

/// The coloured mapping at `base`, the only one of its object, shows the object's own pages again.
fn uncolored(base: DeviceVa, mapping: &Mapping) {
    let mut ledger = ledger();
    let shown = ledger.shows(base, None);
    let colored = ledger.color(mapping.client, mapping.memory, None);
    drop(ledger);
    if let Some((size, Some(_))) = colored {
        account::turned(size, false);
    }
    if let Some(shown) = shown {
        shown.overlay.return_mapping();
    }
}

/// cuda.h: `CU_POINTER_ATTRIBUTE_P2P_TOKENS` and `CU_POINTER_ATTRIBUTE_SYNC_MEMOPS`, which programs ask for and set before
/// another device gets at the memory.
pub(crate) fn is_for_other_devices(attribute: c_uint) -> bool {
    matches!(attribute, 5 | 6)
}
