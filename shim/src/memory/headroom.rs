//! The VRAM that is free for donors, of which none takes what the program is likely to need.
//!
//! A coloured allocation takes twice its size with two colours: the pages that are replaced stay the driver's. Where
//! that would leave less than an eighth of the GPU's VRAM free, an allocation stays as the driver makes it. The driver
//! is asked only after memory was taken since it was last asked, as the answer costs more than a small allocation.

use super::decision;
use crate::driver::query;
use region::Why;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use units::Bytes;

/// The part of the VRAM that stays free of donors: one byte in so many.
const SPARED: u64 = 8;

/// Bytes that were free beyond the spared part when the driver was last asked. Threads that come while the first one
/// asks are let through, as the resource manager has the last word.
static FREE: AtomicU64 = AtomicU64::new(u64::MAX);
/// Whether memory was taken since.
static STALE: AtomicBool = AtomicBool::new(true);

/// Memory was taken.
pub(crate) fn taken(bytes: Bytes) {
    if bytes > Bytes::ZERO {
        STALE.store(true, Ordering::Relaxed);
    }
}

/// Whether so much may be coloured.
pub(crate) fn suffices(bytes: Bytes) -> Result<(), Why> {
    if STALE.load(Ordering::Relaxed) && STALE.swap(false, Ordering::Relaxed) {
        // A driver that does not say leaves it to the resource manager to refuse a donor.
        let beyond = query::memory().map(|(free, total)| free.get().saturating_sub(total.get() / SPARED));
        FREE.store(beyond.unwrap_or(u64::MAX), Ordering::Relaxed);
    }
    decision::headroom(bytes, Bytes::new(FREE.load(Ordering::Relaxed)))
}
