//! Colouring: what happens inside the driver's own map request.
//!
//! As an object that is to be coloured ([`super::intent`]) is first mapped, in the call that made it or in a later one
//! (`cuMemSetAccess`, for memory that the program maps itself), and before anybody has seen the address, the pager
//! replaces its pages of other colours by pages of donors ([`super::backing`]). The driver, copies, frees and kernels
//! notice nothing: address, length and object are the same.
//!
//! If anything fails while the object is fresh, one map call puts the driver's pages back, since a map replaces what it
//! overlaps (uvm_map_external.c:759-838 of branch 580). If an object that has content already cannot be shown as it
//! was, or its own pages cannot be put back, the driver is told that its map request failed, as if it were out of
//! memory: the program gets an error and never wrong data or an address with nothing behind it.

use super::backing::donors::Source;
use super::backing::overlay::Overlay;
use super::decision::{self, Fresh, Show, Wish};
use super::ledger::{Mapping, Object, Shown, ledger};
use super::{account, color, remap, selftest};
use crate::base::lock::Lock;
use crate::base::log::{debug, warning};
use crate::base::shield;
use crate::rm::call::Status;
use crate::rm::request;
use crate::tenant::membership;
use abi::rm;
use abi::uvm::MapExternalAllocation;
use region::{ColorState, GpuKey, Why};
use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use units::{Bytes, DeviceVa};

/// One thread changes mappings at a time: of two that map one object at once, the second must find what the first made.
/// The kernel does one call at a time anyway.
static PAGING: Lock<()> = Lock::new(());

/// Mappings are gone.
pub(crate) fn unmapped(mappings: impl Iterator<Item = Mapping>) {
    for shown in mappings.filter_map(|mapping| mapping.shown) {
        shown.overlay.return_mapping();
    }
}

/// The answer that the driver gets to its map request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It succeeded, as the kernel said.
    Mapped,
    /// It failed, and nothing is mapped there.
    Refused,
}

/// The driver mapped a range. If its object is to be coloured, or is, has it show the right pages.
pub(crate) fn range_mapped(fd: c_int, map: &MapExternalAllocation) -> Verdict {
    let shown = |object: &Object| decision::show(object.wish, object.overlay.is_some());
    // What is not to be coloured never is, and must not wait while another thread colours a large object.
    if ledger().object(map.client, map.memory).is_none_or(|object| shown(object) == Show::Stock) {
        return Verdict::Mapped;
    }
    let _paging = PAGING.lock();
    let Some(object) = ledger().object(map.client, map.memory).cloned() else { return Verdict::Mapped };
    match (shown(&object), &object.overlay) {
        (Show::Scratch, _) => {
            selftest::caught(fd, map, &object);
            Verdict::Mapped
        }
        (Show::Again, Some(overlay)) => show_again(fd, map, overlay),
        (Show::Fresh, _) => {
            let colored = choose(map, &object).and_then(|overlay| show_first(fd, map, overlay));
            let Err(Failure { why, verdict }) = colored else { return Verdict::Mapped };
            membership::passed(why);
            debug!("{} at {:#x} stay uncoloured: {why:?}", object.size, map.base);
            // What it is mapped as first, it stays: it is about to have content.
            ledger().wish(map.client, map.memory, Wish::Stock);
            verdict
        }
        (Show::Stock | Show::Again, _) => Verdict::Mapped,
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
    let joined = membership::joined().ok_or(Why::NotJoined)?;
    if shield::has_failed() {
        return Err(Why::Fault.into());
    }
    let Object { compressible, contiguous, .. } = *object;
    decision::replaceable(Fresh { gpus: map.attributes_count, compressible, contiguous })?;
    let (hash, color) = color::on(joined, GpuKey::from_uuid(map.attributes[0].gpu)).map_err(|state| {
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
    if let Err(status) = remap::show(fd, map, &overlay) {
        let verdict = put_back(fd, map, status);
        overlay.return_mapping();
        return Err(Failure { why: Why::MapFailed, verdict });
    }
    let shown = Shown { overlay: Arc::clone(&overlay), stock: Arc::new(*map), fd };
    let mut ledger = ledger();
    ledger.shows(DeviceVa::new(map.base), Some(shown));
    let counted = ledger.color(map.client, map.memory, Some(overlay));
    drop(ledger);
    if let Some((size, _)) = counted {
        account::turned(size, true);
    }
    Ok(())
}

/// Has a further mapping of a coloured object, or one after it was unmapped, show the same pages.
fn show_again(fd: c_int, map: &MapExternalAllocation, overlay: &Arc<Overlay>) -> Verdict {
    let fits = overlay.can_show(Bytes::new(map.offset), Bytes::new(map.length));
    if !fits || !overlay.charge_mapping() {
        membership::passed(if fits { Why::OverBudget } else { Why::NotOneObject });
        return refuse(fd, map);
    }
    if let Err(status) = remap::show(fd, map, overlay) {
        warning!("cannot map coloured memory again at {:#x} ({status})", map.base);
        membership::passed(Why::MapFailed);
        overlay.return_mapping();
        return refuse(fd, map);
    }
    let shown = Shown { overlay: Arc::clone(overlay), stock: Arc::new(*map), fd };
    ledger().shows(DeviceVa::new(map.base), Some(shown));
    Verdict::Mapped
}

/// Puts the driver's own pages back under a fresh object. After a failure that has no ordinary cause, nothing more is
/// coloured in this process.
fn put_back(fd: c_int, map: &MapExternalAllocation, status: Status) -> Verdict {
    let ordinary = matches!(status.number(), rm::NV_ERR_INSUFFICIENT_RESOURCES | rm::NV_ERR_NO_MEMORY);
    if !ordinary && let Some(joined) = membership::joined() {
        color::stop(joined, ColorState::MapFailed);
        warning!("memory is not coloured any more: the kernel answered a map call with {status}");
    }
    match remap::restore(fd, map) {
        Ok(()) => Verdict::Mapped,
        Err(again) => {
            warning!("cannot put the driver's memory back at {:#x} ({again}): it is refused", map.base);
            refuse(fd, map)
        }
    }
}

/// Leaves nothing mapped where the driver is told that its request failed.
fn refuse(fd: c_int, map: &MapExternalAllocation) -> Verdict {
    // What cannot be unmapped is not mapped.
    let _ = request::unmap(fd, map);
    Verdict::Refused
}
