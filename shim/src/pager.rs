//! Colouring: what happens inside the driver's own map request.
//!
//! The driver has just mapped an object at the address that it will return from `cuMemAlloc`; nobody has seen that
//! address yet. The pager makes an object of its own that has enough pages of the tenant's colour, unmaps the range
//! and maps those pages in its place, one call a run of neighbours (packed layout). The driver, copies, frees and
//! kernels notice nothing: the address and its length are the same. If anything fails, one map call puts the driver's
//! object back, since a map replaces what it overlaps (uvm_map_external.c:759-838 of branch 580).

use crate::decision::{Decision, Why};
use crate::kernel::{self, Backing, Donor, Object};
use crate::life::{self, Joined};
use crate::log::{debug, warning};
use crate::{fault, gpus, plan};
use abi::rm;
use abi::uvm::MapExternalAllocation;
use region::{ColorState, GpuKey, HashTable};
use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use units::{Bytes, DeviceVa, PhysAddr};

#[derive(Clone, Copy)]
enum Call {
    /// No governed allocation is under way on this thread.
    None,
    /// One is, and the driver has mapped nothing for it yet.
    Waiting,
    /// The range that it mapped is coloured.
    Colored,
    /// It is not.
    Left(Why),
}

thread_local! {
    static CALL: Cell<Call> = const { Cell::new(Call::None) };
}

/// Set for good once the kernel answered a map call of ours with something unexpected.
static BROKEN: AtomicBool = AtomicBool::new(false);

/// What governed allocations this process holds: bytes, and whether they are coloured.
static HELD: Mutex<Option<HashMap<DeviceVa, (Bytes, bool)>>> = Mutex::new(None);

/// A governed allocation under way on this thread.
pub(crate) struct Announced {
    bytes: Bytes,
}

impl Announced {
    /// Whether it is large enough to be one of those that are coloured or counted as not. Smaller ones are many, the
    /// driver takes them from what it has, and nothing is kept of them.
    fn is_kept(&self, joined: &Joined) -> bool {
        self.bytes >= joined.settings.color_min.min(Bytes::mib(2))
    }
}

/// Announces that this thread is about to ask the driver for `bytes` bytes.
pub(crate) fn announce(bytes: Bytes) -> Announced {
    fault::on_purpose("panic-announce");
    CALL.set(match wanted(bytes) {
        Decision::Govern(()) => Call::Waiting,
        Decision::PassThrough(why) => Call::Left(why),
    });
    Announced { bytes }
}

fn wanted(bytes: Bytes) -> Decision<()> {
    let Some(joined) = life::joined() else { return Decision::PassThrough(Why::NotJoined) };
    if fault::has_failed() {
        return Decision::PassThrough(Why::Fault);
    }
    let settings = &joined.settings;
    if bytes < settings.color_min || settings.color_max.is_some_and(|most| bytes > most) {
        return Decision::PassThrough(Why::OutsideSizes);
    }
    if BROKEN.load(Ordering::Relaxed) {
        return Decision::PassThrough(Why::ColoringOff);
    }
    Decision::Govern(())
}

impl Announced {
    /// The driver answered; counts what became of the allocation at `va`, or of none.
    pub(crate) fn settle(self, va: Option<DeviceVa>) {
        let outcome = CALL.replace(Call::None);
        let (Some(va), Some(joined)) = (va, life::joined()) else { return };
        let colored = matches!(outcome, Call::Colored);
        let left = match outcome {
            Call::Left(why) => Some(why),
            // The driver had memory at hand.
            Call::Waiting => Some(Why::NotOneObject),
            Call::None | Call::Colored => None,
        };
        if let Some(why) = left {
            joined.tenant().passed.count(why);
            debug!("{} at {va} stay uncoloured: {why:?}", self.bytes);
        }
        fault::on_purpose("panic-settle");
        if !self.is_kept(joined) {
            return;
        }
        counter(joined, colored).fetch_add(self.bytes.get(), Ordering::Relaxed);
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        held.get_or_insert_default().insert(va, (self.bytes, colored));
    }
}

/// The driver freed the allocation at `va`.
pub(crate) fn freed(va: DeviceVa) {
    let Some(joined) = life::joined() else { return };
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((bytes, colored)) = held.as_mut().and_then(|held| held.remove(&va)) {
        counter(joined, colored).fetch_sub(bytes.get(), Ordering::Relaxed);
    }
}

/// The tenant has another slot now: what it holds is charged there.
pub(crate) fn moved_to(old: &Joined, new: &Joined) {
    for (from, to) in [
        (&old.tenant().maps, &new.tenant().maps),
        (&old.tenant().colored_bytes, &new.tenant().colored_bytes),
        (&old.tenant().uncolored_bytes, &new.tenant().uncolored_bytes),
    ] {
        to.fetch_add(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

fn counter(joined: &Joined, colored: bool) -> &std::sync::atomic::AtomicU64 {
    if colored { &joined.tenant().colored_bytes } else { &joined.tenant().uncolored_bytes }
}

/// The driver mapped a range. If it is the one of a governed allocation of this thread, colours it.
pub(crate) fn range_mapped(fd: c_int, map: &MapExternalAllocation) {
    let Call::Waiting = CALL.get() else { return };
    let Some(joined) = life::joined().filter(|_| !fault::has_failed()) else { return };
    CALL.set(match recolor(joined, fd, map) {
        Ok(()) => Call::Colored,
        Err(why) => Call::Left(why),
    });
}

/// The tenant's colour on the GPU of the map request, and the object behind it, if the range may be coloured.
fn candidate(joined: &Joined, map: &MapExternalAllocation) -> Result<(HashTable, u32, Object), Why> {
    if map.attributes_count != 1 {
        return Err(Why::SharedWithPeers);
    }
    let object = kernel::ledger().object(map.client, map.memory).ok_or(Why::NotOneObject)?;
    if map.offset != 0 || map.length != object.size.get() {
        return Err(Why::NotOneObject);
    }
    if object.compressible {
        return Err(Why::Compressible);
    }
    let (hash, color) = gpus::color_on(joined, GpuKey::from_uuid(map.attributes[0].gpu)).map_err(|state| {
        joined.tenant().color_state.store(state.code(), Ordering::Relaxed);
        Why::ColoringOff
    })?;
    joined.tenant().color.store(color, Ordering::Relaxed);
    joined.tenant().color_state.store(ColorState::On.code(), Ordering::Relaxed);
    if !Bytes::new(map.length).is_multiple_of(Bytes::new(hash.page_bytes.into())) {
        return Err(Why::NotOneObject);
    }
    Ok((hash, color, object))
}

fn recolor(joined: &Joined, fd: c_int, map: &MapExternalAllocation) -> Result<(), Why> {
    let (hash, color, object) = candidate(joined, map)?;
    let donor = make_donor(map, &object, hash.colors())?;
    let settled = choose_runs(&hash, color, &donor, Bytes::new(map.length))
        .and_then(|runs| back_by_runs(joined, fd, map, donor, runs));
    if settled.is_err() {
        free_donor(donor);
    }
    settled
}

/// An object in the driver's own client, so many times larger than the range as there are colours.
fn make_donor(map: &MapExternalAllocation, object: &Object, colors: u32) -> Result<Donor, Why> {
    let size = Bytes::new(map.length.saturating_mul(colors.into()));
    let (handle, memory) =
        kernel::rm_alloc_memory(object.fd, map.client, object.parent, size).map_err(|_| Why::NoDonor)?;
    let donor = Donor {
        fd: object.fd,
        client: map.client,
        parent: object.parent,
        handle,
        phys: PhysAddr::new(memory.offset),
        size,
    };
    if memory.is_contiguous() {
        return Ok(donor);
    }
    free_donor(donor);
    Err(Why::NotContiguous)
}

fn choose_runs(hash: &HashTable, color: u32, donor: &Donor, need: Bytes) -> Result<Vec<plan::Run>, Why> {
    plan::runs_of_color(hash, color, donor.phys, donor.size, need).ok_or(Why::NoDonor)
}

/// Charges the runs to the tenant and maps them in the place of the driver's object; on failure that is back.
fn back_by_runs(
    joined: &Joined,
    fd: c_int,
    map: &MapExternalAllocation,
    donor: Donor,
    runs: Vec<plan::Run>,
) -> Result<(), Why> {
    let layout = joined.region.layout();
    layout.charge_maps(joined.slot, runs.len() as u64).map_err(|_| Why::OverBudget)?;
    let va = DeviceVa::new(map.base);
    if let Err(status) = map_runs(fd, map, va, donor.handle, &runs) {
        layout.return_maps(joined.slot, runs.len() as u64);
        restore(joined, fd, map, status);
        return Err(Why::MapFailed);
    }
    kernel::ledger().backed(va, Backing { len: Bytes::new(map.length), stock: Box::new(*map), fd, donor, runs });
    Ok(())
}

fn map_runs(fd: c_int, map: &MapExternalAllocation, va: DeviceVa, donor: u32, runs: &[plan::Run]) -> Result<(), u32> {
    let status = kernel::uvm_unmap(fd, va, Bytes::new(map.length), map.attributes[0].gpu);
    if status != rm::NV_OK {
        return Err(status);
    }
    // On the heap: 9 KiB would be a lot for a stack that is the host's.
    let mut request = Box::new(*map);
    request.memory = donor;
    let mut at = va;
    for run in runs {
        (request.base, request.length, request.offset) = (at.get(), run.len.get(), run.offset.get());
        match kernel::uvm_map(fd, &mut request) {
            rm::NV_OK => at = at + run.len,
            status => return Err(status),
        }
    }
    Ok(())
}

/// Puts the driver's own object back, and colours nothing more in this process.
fn restore(joined: &Joined, fd: c_int, map: &MapExternalAllocation, status: u32) {
    stop(joined, ColorState::MapFailed);
    if let Err(again) = map_stock(fd, map) {
        warning!("cannot put the driver's memory back at {:#x} (status {again:#x})", map.base);
    }
    warning!("memory is not coloured any more: the kernel answered a map call with status {status:#x}");
}

/// Colours nothing more in this process.
pub(crate) fn stop(joined: &Joined, why: ColorState) {
    BROKEN.store(true, Ordering::Relaxed);
    joined.tenant().color_state.store(why.code(), Ordering::Relaxed);
}

/// Maps the driver's own object where it was.
pub(crate) fn map_stock(fd: c_int, map: &MapExternalAllocation) -> Result<(), u32> {
    let mut request = Box::new(*map);
    // Pieces of 4 KiB pages split at any page, so the one map replaces whatever is there; if not, unmap and try again.
    if kernel::uvm_map(fd, &mut request) == rm::NV_OK {
        return Ok(());
    }
    kernel::uvm_unmap(fd, DeviceVa::new(map.base), Bytes::new(map.length), map.attributes[0].gpu);
    match kernel::uvm_map(fd, &mut request) {
        rm::NV_OK => Ok(()),
        status => Err(status),
    }
}

/// How many bytes the program asked for at `va`, which is where an allocation begins.
pub(crate) fn asked_for(va: DeviceVa) -> Option<Bytes> {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    held.as_ref()?.get(&va).map(|(bytes, _)| *bytes)
}

/// The coloured allocation at `va` is as the driver made it again.
pub(crate) fn uncolored(joined: &Joined, va: DeviceVa) {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((bytes, colored @ true)) = held.as_mut().and_then(|held| held.get_mut(&va)) {
        *colored = false;
        counter(joined, true).fetch_sub(bytes.get(), Ordering::Relaxed);
        counter(joined, false).fetch_add(bytes.get(), Ordering::Relaxed);
    }
}

/// The range over a backing is gone: gives back its object and its maps.
pub(crate) fn give_back(backing: Backing) {
    free_donor(backing.donor);
    forget(backing);
}

/// A backing is gone with its whole client: gives back its maps.
pub(crate) fn forget(backing: Backing) {
    if let Some(joined) = life::joined() {
        joined.region.layout().return_maps(joined.slot, backing.runs.len() as u64);
    }
}

fn free_donor(donor: Donor) {
    let status = kernel::rm_free(donor.fd, donor.client, donor.parent, donor.handle);
    if status != rm::NV_OK {
        debug!("an object of the pager's was not freed (status {status:#x})");
    }
}
