//! The bytes that this tenant has on its colour and off it, as the region shows them.

use super::decision::Wish;
use super::ledger::Object;
use crate::tenant::membership::{self, Joined};
use region::Tenant;
use std::sync::atomic::{AtomicU64, Ordering};
use units::Bytes;

fn counter(tenant: &Tenant, colored: bool) -> &AtomicU64 {
    if colored { &tenant.colored_bytes } else { &tenant.uncolored_bytes }
}

/// An object of the program's was made, which is not coloured yet.
pub(crate) fn made(size: Bytes) {
    if let Some(joined) = membership::joined() {
        counter(joined.tenant(), false).fetch_add(size.get(), Ordering::Relaxed);
    }
}

/// An object of the program's is coloured now, or not any more.
pub(crate) fn turned(size: Bytes, colored: bool) {
    if let Some(joined) = membership::joined() {
        counter(joined.tenant(), !colored).fetch_sub(size.get(), Ordering::Relaxed);
        counter(joined.tenant(), colored).fetch_add(size.get(), Ordering::Relaxed);
    }
}

/// An object is gone.
pub(crate) fn gone(object: &Object) {
    if let (Wish::Color | Wish::Stock, Some(joined)) = (object.wish, membership::joined()) {
        counter(joined.tenant(), object.overlay.is_some()).fetch_sub(object.size.get(), Ordering::Relaxed);
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
