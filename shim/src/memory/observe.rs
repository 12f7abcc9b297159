//! The news of the process's VRAM in the driver's own requests to the kernel.

use super::backing::donors;
use super::decision::{self, Wish};
use super::intent::{self, Asked, Intent};
use super::ledger::{Object, ledger};
use super::pager;
use super::{account, headroom};
use crate::base::log::debug;
use crate::tenant::membership;
use abi::rm::MemoryParams;
use abi::uvm::{MapExternalAllocation, Range, UnmapExternal};
use std::ffi::c_int;
use units::Bytes;

pub(crate) use super::ledger::Gone;
pub(crate) use super::pager::Verdict;

/// The driver made an object of VRAM.
pub(crate) fn object_made(fd: c_int, client: u32, object: u32, parent: u32, memory: &MemoryParams) {
    let (intent, size) = (intent::current(), Bytes::new(memory.size));
    let least = membership::joined().map_or(Bytes::ZERO, |joined| joined.settings.color_min);
    let wish = decision::wish(&intent, size, least);
    let is_pools = matches!(intent, Intent::Allocate(Asked { pooled: true, .. }));
    match (intent, wish) {
        (Intent::Allocate(_), Wish::Color) if !is_pools => _ = intent::replace(Intent::Made((client, object))),
        (Intent::Leave(_), _) => _ = intent::replace(Intent::Leave(Some((client, object)))),
        _ => {}
    }
    if let Wish::Color | Wish::Stock = wish {
        account::made(size);
        headroom::taken(size);
    }
    ledger().object_made(client, object, Object::new(fd, parent, memory, wish, is_pools));
}

/// An object, or a whole client, is about to be freed: what is known of it goes before the kernel may give its handle to
/// another thread.
pub(crate) fn freeing(client: u32, object: u32) -> Gone {
    ledger().object_taken(client, object)
}

/// It was freed.
pub(crate) fn freed(client: u32, object: u32, gone: Gone) {
    if client == object {
        donors::forget(client);
    }
    gone.objects.iter().for_each(|(_, object)| account::gone(object));
    pager::unmapped(gone.mappings.into_iter().map(|(_, mapping)| mapping));
}

/// It was not freed.
pub(crate) fn not_freed(gone: Gone) {
    ledger().put_back(gone);
}

/// The driver opened the unified-memory module.
pub(crate) fn uvm_opened(fd: c_int) {
    ledger().uvm_opened(fd);
}

/// Whether a descriptor is of the unified-memory module.
pub(crate) fn is_uvm(fd: c_int) -> bool {
    ledger().is_uvm(fd)
}

/// The driver mapped a range; what it is to think of its request.
pub(crate) fn mapped(fd: c_int, map: &MapExternalAllocation) -> Verdict {
    let replaced = ledger().mapped(map);
    pager::unmapped(replaced.into_iter());
    let verdict = pager::range_mapped(fd, map);
    if verdict == Verdict::Refused {
        forget(map.base, map.length);
    }
    verdict
}

/// The driver unmapped a range for one GPU. It gives the address to nobody before this returns to it.
pub(crate) fn unmapped(unmap: &UnmapExternal) {
    forget(unmap.base, unmap.length);
}

/// The driver freed a range. UVM takes no other length than the range was made with (uvm_va_range.c:663-737).
pub(crate) fn range_freed(range: &Range) {
    forget(range.base, range.length);
}

fn forget(base: u64, length: u64) {
    let gone = ledger().unmapped(base, length);
    if !gone.is_empty() {
        debug!("{} mappings from {base:#x} are gone", gone.len());
    }
    pager::unmapped(gone.into_iter());
}
