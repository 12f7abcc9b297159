//! Colouring: what happens inside the driver's own map request.
//!
//! A hook announces an allocation; the objects of VRAM that the driver makes during that call are marked. As such an
//! object is first mapped, in the same call or in a later one (`cuMemSetAccess`, for memory that the program maps
//! itself), and before anybody has seen the address, the pager replaces its pages of other colours by pages of donors
//! ([`crate::overlay`]). The driver, copies, frees and kernels notice nothing: address, length and object are the same.
//!
//! If anything fails while the object is fresh, one map call puts the driver's pages back, since a map replaces what it
//! overlaps (uvm_map_external.c:759-838 of branch 580). If an object that has content already cannot be shown as it
//! was, or its own pages cannot be put back, the driver is told that its map request failed, as if it were out of
//! memory: the program gets an error and never wrong data or an address with nothing behind it.

use crate::decision::{Decision, Why};
use crate::donors::{self, Source};
use crate::handles::ObjectId;
use crate::kernel::{self, Gone, Mapping, Object, Shown, Wish};
use crate::life::{self, Joined};
use crate::log::{debug, warning};
use crate::overlay::Overlay;
use crate::{fault, gpus, proof, room};
use abi::rm;
use abi::uvm::MapExternalAllocation;
use region::{ColorState, GpuKey};
use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use units::{Bytes, DeviceVa};

/// What a governed allocation asks for, and so which objects made during it are its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// The least that its object has.
    pub(crate) least: Bytes,
    /// Less than this it has.
    pub(crate) below: Bytes,
    /// What the driver takes is for later allocations too: any number of objects, of any size that may be coloured.
    pub(crate) pooled: bool,
}

impl Asked {
    /// One object of just this size, but for the driver's rounding.
    pub(crate) fn exactly(bytes: Bytes) -> Asked {
        Asked { least: bytes, below: bytes.saturating_add(Bytes::mib(2)), pooled: false }
    }
}

#[derive(Clone, Copy)]
enum Call {
    /// No governed allocation is under way on this thread.
    None,
    /// One is; objects of its size are to be coloured.
    Open(Asked),
    /// One is, and the driver has made its object: the client, and the handle there.
    Made(ObjectId),
    /// One is whose objects stay as they are, and are counted; the last that was made.
    Left(Option<ObjectId>),
    /// The pager's own, to try itself on.
    Proof,
}

thread_local! {
    static CALL: Cell<Call> = const { Cell::new(Call::None) };
}

/// Set for good once the kernel answered a map call of ours with something unexpected.
static BROKEN: AtomicBool = AtomicBool::new(false);

/// One thread changes mappings at a time: of two that map one object at once, the second must find what the first made.
/// The kernel does one call at a time anyway.
static PAGING: Mutex<()> = Mutex::new(());

/// How much the program asked for at each address that `cuMemAlloc` gave it.
static ASKED: Mutex<Option<HashMap<DeviceVa, Bytes>>> = Mutex::new(None);

/// A governed allocation under way on this thread.
pub(crate) struct Announced {
    asked: Asked,
}

/// Allocations smaller than this are many; the driver takes them from what it has, and nothing is kept of them.
fn least_kept(joined: &Joined) -> Bytes {
    joined.settings.color_min.min(Bytes::mib(2))
}

/// Announces that this thread is about to ask the driver for memory, which may be refused colours for a reason that the
/// caller knows.
pub(crate) fn announce(asked: Asked, not: Option<Why>) -> Announced {
    fault::on_purpose("panic-announce");
    let decision = match not {
        Some(why) => Decision::PassThrough(why),
        None => wanted(&asked),
    };
    CALL.set(match decision {
        Decision::Govern(()) => Call::Open(asked),
        Decision::PassThrough(why) => {
            life::passed(why);
            debug!("{} stay uncoloured: {why:?}", asked.least);
            let kept = life::joined().is_some_and(|joined| asked.least >= least_kept(joined));
            if kept || asked.pooled { Call::Left(None) } else { Call::None }
        }
    });
    Announced { asked }
}

fn wanted(asked: &Asked) -> Decision<()> {
    let Some(joined) = life::joined() else { return Decision::PassThrough(Why::NotJoined) };
    if fault::has_failed() {
        return Decision::PassThrough(Why::Fault);
    }
    let settings = &joined.settings;
    let too_small = !asked.pooled && asked.least < settings.color_min;
    if too_small || settings.color_max.is_some_and(|most| asked.least > most) {
        return Decision::PassThrough(Why::OutsideSizes);
    }
    if BROKEN.load(Ordering::Relaxed) {
        return Decision::PassThrough(Why::ColoringOff);
    }
    let Some(gpu) = gpus::current(joined) else { return Decision::PassThrough(Why::Unproven) };
    // Where nothing can be coloured, that is said as the memory is mapped.
    if !gpus::may_color(joined, gpu) {
        return Decision::Govern(());
    }
    match proof::given(joined, gpu).and_then(|()| room::for_donors(asked.least)) {
        Ok(()) => Decision::Govern(()),
        Err(why) => Decision::PassThrough(why),
    }
}

impl Announced {
    /// The driver answered; keeps what was asked for at `va`, if it is an allocation of its own.
    pub(crate) fn settle(self, va: Option<DeviceVa>) {
        let call = CALL.replace(Call::None);
        let (Some(va), Some(joined)) = (va, life::joined()) else { return };
        fault::on_purpose("panic-settle");
        if self.asked.pooled {
            return;
        }
        if let Call::Open(_) = call {
            // The driver had memory at hand.
            joined.tenant().passed.count(Why::NotOneObject);
        }
        if self.asked.least >= least_kept(joined) {
            let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
            asked.get_or_insert_default().insert(va, self.asked.least);
        }
    }
}

/// The driver freed the allocation at `va`.
pub(crate) fn freed(va: DeviceVa) {
    let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(asked) = asked.as_mut() {
        asked.remove(&va);
    }
}

/// How many bytes the program asked for at `va`, which is where an allocation of `cuMemAlloc` begins.
pub(crate) fn asked_for(va: DeviceVa) -> Option<Bytes> {
    ASKED.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(&va).copied()
}

/// Has the objects that `alloc` makes on this thread given to [`proof`].
pub(crate) fn prove_on<T>(alloc: impl FnOnce() -> T) -> T {
    let call = CALL.replace(Call::Proof);
    let made = alloc();
    CALL.set(call);
    made
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

fn counter(joined: &Joined, colored: bool) -> &AtomicU64 {
    if colored { &joined.tenant().colored_bytes } else { &joined.tenant().uncolored_bytes }
}

/// The object that the driver made in the governed allocation under way on this thread.
pub(crate) fn made_here() -> Option<ObjectId> {
    match CALL.get() {
        Call::Made(object) => Some(object),
        Call::Left(object) => object,
        Call::None | Call::Open(_) | Call::Proof => None,
    }
}

/// The driver made an object of VRAM: what becomes of it.
pub(crate) fn object_made(object: ObjectId, size: Bytes) -> Wish {
    let wish = match CALL.get() {
        Call::Open(asked) if asked.pooled => {
            let least = life::joined().map_or(Bytes::ZERO, |joined| joined.settings.color_min);
            if size >= least { Wish::Color } else { Wish::Stock }
        }
        Call::Open(asked) if (asked.least..asked.below).contains(&size) => {
            CALL.set(Call::Made(object));
            Wish::Color
        }
        Call::Left(_) => {
            CALL.set(Call::Left(Some(object)));
            Wish::Stock
        }
        Call::Proof => Wish::Proof,
        Call::None | Call::Open(_) | Call::Made(_) => Wish::NotOurs,
    };
    if let (Wish::Color | Wish::Stock, Some(joined)) = (wish, life::joined()) {
        counter(joined, false).fetch_add(size.get(), Ordering::Relaxed);
        room::taken(size);
    }
    wish
}

/// Objects and mappings are gone.
pub(crate) fn gone(gone: Gone) {
    for object in gone.objects {
        if let (Wish::Color | Wish::Stock, Some(joined)) = (object.wish, life::joined()) {
            counter(joined, object.overlay.is_some()).fetch_sub(object.size.get(), Ordering::Relaxed);
        }
    }
    unmapped(gone.mappings);
}

/// A whole client of the driver's is gone, and with it the donors in it.
pub(crate) fn client_gone(client: u32, all: Gone) {
    donors::forget(client);
    gone(all);
}

/// Mappings are gone.
pub(crate) fn unmapped(mappings: Vec<Mapping>) {
    for shown in mappings.into_iter().filter_map(|mapping| mapping.shown) {
        shown.overlay.return_mapping();
    }
}

/// What the driver is to think of its map request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It succeeded, as the kernel said.
    Mapped,
    /// It failed, and nothing is mapped there.
    Refused,
}

/// The driver mapped a range. If its object is to be coloured, or is, has it show the right pages.
pub(crate) fn range_mapped(fd: c_int, map: &MapExternalAllocation) -> Verdict {
    let _paging = PAGING.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(object) = kernel::ledger().object(map.client, map.memory).cloned() else { return Verdict::Mapped };
    match (object.wish, &object.overlay) {
        (Wish::Proof, _) => {
            proof::caught(fd, map, &object);
            Verdict::Mapped
        }
        (Wish::Color, Some(overlay)) => show_again(fd, map, overlay),
        (Wish::Color, None) => {
            let colored = choose(map, &object).and_then(|overlay| show_first(fd, map, overlay));
            let Err(Failure { why, verdict }) = colored else { return Verdict::Mapped };
            life::passed(why);
            debug!("{} at {:#x} stay uncoloured: {why:?}", object.size, map.base);
            // What it is mapped as first, it stays: it is about to have content.
            kernel::ledger().wish(map.client, map.memory, Wish::Stock);
            verdict
        }
        (Wish::NotOurs | Wish::Stock, _) => Verdict::Mapped,
    }
}

/// Why an object is not coloured, and what that means for the driver's request.
struct Failure {
    why: Why,
    verdict: Verdict,
}

impl From<Why> for Failure {
    fn from(why: Why) -> Self {
        Failure { why, verdict: Verdict::Mapped }
    }
}

/// Chooses the pages of a fresh object, if it may be coloured.
fn choose(map: &MapExternalAllocation, object: &Object) -> Result<Arc<Overlay>, Failure> {
    let joined = life::joined().ok_or(Why::NotJoined)?;
    if fault::has_failed() {
        return Err(Why::Fault.into());
    }
    if map.attributes_count != 1 {
        return Err(Why::SharedWithPeers.into());
    }
    if object.compressible {
        return Err(Why::Compressible.into());
    }
    if !object.contiguous {
        return Err(Why::NotContiguous.into());
    }
    let (hash, color) = gpus::color_on(joined, GpuKey::from_uuid(map.attributes[0].gpu)).map_err(|state| {
        joined.tenant().color_state.store(state.code(), Ordering::Relaxed);
        Why::ColoringOff
    })?;
    joined.tenant().color.store(color, Ordering::Relaxed);
    joined.tenant().color_state.store(ColorState::On.code(), Ordering::Relaxed);
    if !object.size.is_multiple_of(Bytes::new(hash.page_bytes.into())) {
        return Err(Why::NotOneObject.into());
    }
    let source = Source { fd: object.fd, client: map.client, parent: object.parent, hash, color };
    let overlay = Overlay::choose(joined, &source, object.phys, object.size)?;
    Ok(Arc::new(overlay))
}

/// Has the first mapping of an object show its overlay.
fn show_first(fd: c_int, map: &MapExternalAllocation, overlay: Arc<Overlay>) -> Result<(), Failure> {
    if !overlay.can_show(Bytes::new(map.offset), Bytes::new(map.length)) {
        return Err(Why::NotOneObject.into());
    }
    overlay.charge_mapping();
    if let Err(status) = lay(fd, map, &overlay) {
        let verdict = restore(fd, map, status);
        overlay.return_mapping();
        return Err(Failure { why: Why::MapFailed, verdict });
    }
    let shown = Shown { overlay: Arc::clone(&overlay), stock: Arc::new(*map), fd };
    let mut ledger = kernel::ledger();
    ledger.shows(DeviceVa::new(map.base), Some(shown));
    let counted = ledger.color(map.client, map.memory, Some(overlay));
    drop(ledger);
    if let (Some((size, _)), Some(joined)) = (counted, life::joined()) {
        counter(joined, false).fetch_sub(size.get(), Ordering::Relaxed);
        counter(joined, true).fetch_add(size.get(), Ordering::Relaxed);
    }
    Ok(())
}

/// Has a further mapping of a coloured object, or one after it was unmapped, show the same pages.
fn show_again(fd: c_int, map: &MapExternalAllocation, overlay: &Arc<Overlay>) -> Verdict {
    let fits = overlay.can_show(Bytes::new(map.offset), Bytes::new(map.length));
    if !fits || !overlay.charge_mapping() {
        life::passed(if fits { Why::OverBudget } else { Why::NotOneObject });
        return refuse(fd, map);
    }
    if let Err(status) = lay(fd, map, overlay) {
        warning!("cannot map coloured memory again at {:#x} (status {status:#x})", map.base);
        life::passed(Why::MapFailed);
        overlay.return_mapping();
        return refuse(fd, map);
    }
    let shown = Shown { overlay: Arc::clone(overlay), stock: Arc::new(*map), fd };
    kernel::ledger().shows(DeviceVa::new(map.base), Some(shown));
    Verdict::Mapped
}

/// Maps an overlay in the place of the driver's mapping.
fn lay(fd: c_int, map: &MapExternalAllocation, overlay: &Overlay) -> Result<(), u32> {
    // The kernel splits a mapping at its own pages only, and the driver's are large (uvm_map_external.c:713).
    match kernel::uvm_unmap(fd, DeviceVa::new(map.base), Bytes::new(map.length), map.attributes[0].gpu) {
        rm::NV_OK => {}
        status => return Err(status),
    }
    // On the heap: 9 KiB would be a lot for a stack that is the host's.
    let mut request = Box::new(*map);
    for layer in overlay.layers(Bytes::new(map.offset), Bytes::new(map.length)) {
        request.memory = layer.donor.unwrap_or(map.memory);
        (request.base, request.length) = (map.base + layer.at.get(), layer.len.get());
        request.offset = layer.offset.get();
        match kernel::uvm_map(fd, &mut request) {
            rm::NV_OK => {}
            status => return Err(status),
        }
    }
    Ok(())
}

/// Puts the driver's own pages back under a fresh object. After a failure that has no ordinary cause, nothing more is
/// coloured in this process.
fn restore(fd: c_int, map: &MapExternalAllocation, status: u32) -> Verdict {
    let ordinary = matches!(status, rm::NV_ERR_INSUFFICIENT_RESOURCES | rm::NV_ERR_NO_MEMORY);
    if !ordinary && let Some(joined) = life::joined() {
        stop(joined, ColorState::MapFailed);
        warning!("memory is not coloured any more: the kernel answered a map call with status {status:#x}");
    }
    match map_stock(fd, map) {
        Ok(()) => Verdict::Mapped,
        Err(again) => {
            warning!("cannot put the driver's memory back at {:#x} (status {again:#x}): it is refused", map.base);
            refuse(fd, map)
        }
    }
}

/// Leaves nothing mapped where the driver is told that its request failed.
fn refuse(fd: c_int, map: &MapExternalAllocation) -> Verdict {
    kernel::uvm_unmap(fd, DeviceVa::new(map.base), Bytes::new(map.length), map.attributes[0].gpu);
    Verdict::Refused
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

/// The coloured mapping at `base`, the only one of its object, shows the object's own pages again.
pub(crate) fn uncolored(base: DeviceVa, mapping: &Mapping) {
    let mut ledger = kernel::ledger();
    let shown = ledger.shows(base, None);
    let colored = ledger.color(mapping.client, mapping.memory, None);
    drop(ledger);
    if let (Some((size, Some(_))), Some(joined)) = (colored, life::joined()) {
        counter(joined, true).fetch_sub(size.get(), Ordering::Relaxed);
        counter(joined, false).fetch_add(size.get(), Ordering::Relaxed);
    }
    if let Some(shown) = shown {
        shown.overlay.return_mapping();
    }
}
