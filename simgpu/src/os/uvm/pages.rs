//! The GPU's page table: which address shows which part of which object.

use crate::os::memory::Handle;
use std::collections::BTreeMap;
use std::sync::Arc;
use units::{Bytes, DeviceVa, PhysAddr};

/// An address that the GPU's page table does not map. A real GPU kills the context (Xid 31).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the GPU has no mapping at {va}")]
pub struct Fault {
    /// The first such address.
    pub va: DeviceVa,
}

/// A mapping, or what is left of one.
pub(in crate::os) struct Run {
    pub(in crate::os) bytes: Bytes,
    /// The place in the object.
    pub(in crate::os) offset: Bytes,
    /// The page size, which says where it can be split.
    pub(in crate::os) page: Bytes,
    pub(in crate::os) handle: Arc<Handle>,
}

/// A mapping reaches over the edge of what is to be unmapped, in the middle of one of its pages.
#[derive(Debug)]
pub(in crate::os) struct CutsPage;

/// Runs by their first address; they do not overlap.
#[derive(Default)]
pub(in crate::os) struct Pages(BTreeMap<u64, Run>);

impl Pages {
    /// Maps. The addresses must be clear.
    pub(in crate::os) fn insert(&mut self, base: u64, run: Run) {
        self.0.insert(base, run);
    }

    /// Unmaps what is mapped between two addresses, all of it or, where that would split a page, nothing.
    pub(in crate::os) fn clear(&mut self, base: u64, end: u64) -> Result<(), CutsPage> {
        if [base, end].into_iter().any(|at| self.across(at).is_some_and(|page| !Bytes::new(at).is_multiple_of(page))) {
            return Err(CutsPage);
        }
        self.split(base);
        self.split(end);
        let gone: Vec<u64> = self.0.range(base..end).map(|(&at, _)| at).collect();
        for at in gone {
            self.0.remove(&at);
        }
        Ok(())
    }

    /// The physical runs behind a stretch, contiguous ones as one.
    pub(in crate::os) fn walk(&self, va: DeviceVa, bytes: Bytes) -> Result<Vec<(DeviceVa, PhysAddr, Bytes)>, Fault> {
        let mut found: Vec<(DeviceVa, PhysAddr, Bytes)> = Vec::new();
        let end = va.checked_add(bytes).ok_or(Fault { va })?.get();
        let mut at = va.get();
        while at < end {
            let covering = self.0.range(..=at).next_back().filter(|(base, run)| *base + run.bytes.get() > at);
            let (base, run) = covering.ok_or(Fault { va: DeviceVa::new(at) })?;
            let stop = end.min(base + run.bytes.get());
            let place = run.handle.memory.start + run.offset + Bytes::new(at - base);
            let part = Bytes::new(stop - at);
            match found.last_mut() {
                Some((_, start, length)) if *start + *length == place => *length += part,
                _ => found.push((DeviceVa::new(at), place, part)),
            }
            at = stop;
        }
        Ok(found)
    }

    /// The page size of a mapping that begins before an address and ends behind it.
    fn across(&self, at: u64) -> Option<Bytes> {
        let (base, run) = self.0.range(..at).next_back()?;
        (base + run.bytes.get() > at).then_some(run.page)
    }

    fn split(&mut self, at: u64) {
        let Some((base, run)) = self.0.range_mut(..at).next_back() else { return };
        let before = Bytes::new(at - base);
        if run.bytes <= before {
            return;
        }
        let rest = Run {
            bytes: run.bytes - before,
            offset: run.offset + before,
            page: run.page,
            handle: Arc::clone(&run.handle),
        };
        run.bytes = before;
        self.0.insert(at, rest);
    }
}
