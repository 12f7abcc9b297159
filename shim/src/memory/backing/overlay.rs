//! The pages of a coloured object: its own where they have the colour, pieces of donors elsewhere.
//!
//! An overlay belongs to the object and not to an address: a program may map one object at several addresses, unmap it
//! and map it again, and must find the same content each time. It lives as long as the object or a mapping of it.

use super::donors::{self, Source};
use super::plan::{self, Layer, Patch};
use crate::tenant::membership::{self, Joined};
use region::Why;
use std::sync::atomic::{AtomicU32, Ordering};
use units::{Bytes, PhysAddr};

/// The pages of a coloured object.
#[derive(Debug)]
pub(crate) struct Overlay {
    source: Source,
    size: Bytes,
    patches: Vec<Patch>,
    /// Map calls that show the whole object. So many are charged for as long as the overlay lives, whether the
    /// object is mapped or not: a program that maps it again must not be refused.
    calls: u64,
    /// Addresses at which it is mapped.
    mapped: AtomicU32,
}

impl Overlay {
    /// Chooses the pages of an object of `size` bytes at `phys`, takes what they need from donors and charges the maps.
    pub(crate) fn choose(joined: &Joined, source: &Source, phys: PhysAddr, size: Bytes) -> Result<Overlay, Why> {
        let layout = joined.region.layout();
        let most = usize::try_from(layout.header.map_budget.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let wrong = plan::runs(&source.hash, phys, size, |color| color != source.color, most).ok_or(Why::OverBudget)?;
        // The least that it can be, charged first: what the budget refuses must not take VRAM.
        layout.charge_maps(joined.slot, wrong.len() as u64).map_err(|_| Why::OverBudget)?;
        let mut overlay = Overlay {
            source: *source,
            size,
            patches: Vec::new(),
            calls: wrong.len() as u64,
            mapped: AtomicU32::new(0),
        };
        overlay.patches = donors::take(source, &wrong)?;
        let calls = overlay.layers(Bytes::ZERO, size).count() as u64;
        layout.charge_maps(joined.slot, calls.saturating_sub(overlay.calls)).map_err(|_| Why::OverBudget)?;
        overlay.calls = overlay.calls.max(calls);
        Ok(overlay)
    }

    /// The map calls that show a stretch of the object.
    pub(crate) fn layers(&self, offset: Bytes, len: Bytes) -> impl Iterator<Item = Layer> + '_ {
        plan::layers(&self.patches, self.page(), offset, len)
    }

    /// Whether a mapping of this stretch can show the overlay.
    pub(crate) fn can_show(&self, offset: Bytes, len: Bytes) -> bool {
        let whole_pages = [offset, len].iter().all(|bytes| bytes.is_multiple_of(self.page()));
        whole_pages && len > Bytes::ZERO && offset.saturating_add(len) <= self.size
    }

    fn page(&self) -> Bytes {
        Bytes::new(self.source.hash.page_bytes.into())
    }

    /// The VRAM behind `[offset, offset + len)` of an object at `phys`, in order: where in the object, how long, and
    /// where in VRAM.
    pub(crate) fn extents(
        &self,
        phys: PhysAddr,
        offset: Bytes,
        len: Bytes,
        mut visit: impl FnMut(Bytes, Bytes, PhysAddr),
    ) {
        let (mut at, end) = (offset, offset + len);
        let first = self.patches.partition_point(|patch| patch.at + patch.piece.run.len <= offset);
        for patch in &self.patches[first..] {
            if patch.at >= end {
                break;
            }
            if patch.at > at {
                visit(at, patch.at - at, phys + at);
                at = patch.at;
            }
            let to = (patch.at + patch.piece.run.len).min(end);
            visit(at, to - at, patch.piece.phys + (at - patch.at));
            at = to;
        }
        if at < end {
            visit(at, end - at, phys + at);
        }
    }

    /// Charges one more mapping, `false` where the budget has no room for it. The first is charged with the overlay.
    pub(crate) fn charge_mapping(&self) -> bool {
        if self.mapped.fetch_add(1, Ordering::Relaxed) == 0 {
            return true;
        }
        let charged = membership::joined()
            .is_none_or(|joined| joined.region.layout().charge_maps(joined.slot, self.calls).is_ok());
        if !charged {
            self.mapped.fetch_sub(1, Ordering::Relaxed);
        }
        charged
    }

    /// A mapping is gone.
    pub(crate) fn return_mapping(&self) {
        if self.mapped.fetch_sub(1, Ordering::Relaxed) > 1
            && let Some(joined) = membership::joined()
        {
            joined.region.layout().return_maps(joined.slot, self.calls);
        }
    }

    /// The number of addresses at which the object is mapped.
    pub(crate) fn mappings(&self) -> u32 {
        self.mapped.load(Ordering::Relaxed)
    }
}

impl Drop for Overlay {
    /// Gives back all that it holds: nobody shows it any more.
    fn drop(&mut self) {
        donors::give_back(&self.source, &self.patches);
        if let Some(joined) = membership::joined() {
            joined.region.layout().return_maps(joined.slot, self.calls);
        }
    }
}
