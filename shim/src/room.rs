//! Whether there is VRAM enough that donors take none that the program is likely to need.
//!
//! A coloured allocation takes twice its size with two colours: the pages that are replaced stay the driver's. Where
//! that would leave less than an eighth of the GPU's VRAM free, an allocation stays as the driver makes it. The driver
//! is asked only after memory was taken since it was last asked, as the answer costs more than a small allocation.

use crate::decision::Why;
use crate::real;
use abi::cuda::CUDA_SUCCESS;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use units::Bytes;

/// What part of the VRAM stays free of donors: one in so many bytes.
const SPARED: u64 = 8;

/// What was free beyond the spared part when the driver was last asked. Threads that come while the first one asks are
/// let through, as the resource manager has the last word.
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
pub(crate) fn for_donors(bytes: Bytes) -> Result<(), Why> {
    if STALE.load(Ordering::Relaxed) && STALE.swap(false, Ordering::Relaxed) {
        // A driver that does not say leaves it to the resource manager to refuse a donor.
        FREE.store(beyond_spared().unwrap_or(u64::MAX), Ordering::Relaxed);
    }
    if bytes.get().saturating_mul(2) <= FREE.load(Ordering::Relaxed) { Ok(()) } else { Err(Why::NoDonor) }
}

fn beyond_spared() -> Option<u64> {
    let (mut free, mut total) = (0usize, 0usize);
    // SAFETY: the function writes two sizes.
    if unsafe { real::cuMemGetInfo_v2.get()?(&mut free, &mut total) } != CUDA_SUCCESS {
        return None;
    }
    Some((free as u64).saturating_sub(total as u64 / SPARED))
}
