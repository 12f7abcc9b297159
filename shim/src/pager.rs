//! Colouring: what happens inside the driver's own map request.
//!
//! As an object that is to be coloured ([`crate::announce`]) is first mapped, in the call that made it or in a later one
//! (`cuMemSetAccess`, for memory that the program maps itself), and before anybody has seen the address, the pager
//! replaces its pages of other colours by pages of donors ([`crate::overlay`]). The driver, copies, frees and kernels notice nothing: address, length and object are the same.
//!
//! If anything fails while the object is fresh, one map call puts the driver's pages back, since a map replaces what it
//! overlaps (uvm_map_external.c:759-838 of branch 580). If an object that has content already cannot be shown as it
//! was, or its own pages cannot be put back, the driver is told that its map request failed, as if it were out of
//! memory: the program gets an error and never wrong data or an address with nothing behind it.

use crate::decision::Why;
use crate::donors::{self, Source};
use crate::kernel::{self, Gone, Mapping, Object, Shown, Wish};
use crate::life::{self, Joined};
use crate::log::{debug, warning};
use crate::overlay::Overlay;
use crate::{fault, gpus, proof};
use abi::rm;
use abi::uvm::MapExternalAllocation;
use region::{ColorState, GpuKey};
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use units::{Bytes, DeviceVa};

/// Set for good once the kernel answered a map call of ours with something unexpected.
static BROKEN: AtomicBool = AtomicBool::new(false);

/// One thread changes mappings at a time: of two that map one object at once, the second must find what the first made.
/// The kernel does one call at a time anyway.
static PAGING: Mutex<()> = Mutex::new(());

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

/// An object of the program's was made, which is not coloured yet.
pub(crate) fn count_uncolored(joined: &Joined, size: Bytes) {
    counter(joined, false).fetch_add(size.get(), Ordering::Relaxed);
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
    // What is not to be coloured never is, and must not wait while another thread colours a large object.
    if !kernel::ledger().object(map.client, map.memory).is_some_and(Object::concerns_the_pager) {
        return Verdict::Mapped;
    }
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

/// Whether nothing more is coloured in this process.
pub(crate) fn has_stopped() -> bool {
    BROKEN.load(Ordering::Relaxed)
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
