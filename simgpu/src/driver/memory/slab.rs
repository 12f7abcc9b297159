//! A piece of memory that small allocations share.

use super::Object;
use crate::driver::rm::HUGE_PAGE;
use std::collections::BTreeMap;
use units::Bytes;

/// What small allocations are aligned to, as with the real driver.
const ALIGNMENT: Bytes = Bytes::new(512);

/// One 2 MiB object and what is taken of it.
pub(super) struct Slab {
    pub(super) object: Object,
    /// The length of each part taken, by its offset.
    taken: BTreeMap<u64, u64>,
}

impl Slab {
    pub(super) fn new(object: Object) -> Self {
        Slab { object, taken: BTreeMap::new() }
    }

    /// Takes the first gap that is large enough; returns its offset.
    pub(super) fn take(&mut self, bytes: Bytes) -> Option<Bytes> {
        let bytes = bytes.checked_round_up(ALIGNMENT)?.get();
        let mut start = 0;
        for (&offset, &length) in &self.taken {
            if offset - start >= bytes {
                break;
            }
            start = offset + length;
        }
        if HUGE_PAGE.get() - start < bytes {
            return None;
        }
        self.taken.insert(start, bytes);
        Some(Bytes::new(start))
    }

    pub(super) fn give_back(&mut self, offset: Bytes) {
        self.taken.remove(&offset.get());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_used_again() {
        let mut slab = Slab::new(Object { handle: 1, mapped: HUGE_PAGE });
        assert_eq!(slab.take(Bytes::new(1)), Some(Bytes::ZERO));
        assert_eq!(slab.take(Bytes::new(513)), Some(Bytes::new(512)));
        assert_eq!(slab.take(Bytes::new(512)), Some(Bytes::new(1536)));
        slab.give_back(Bytes::new(512));
        assert_eq!(slab.take(Bytes::new(2048)), Some(Bytes::new(2048)), "the gap of 1 KiB is too small");
        assert_eq!(slab.take(Bytes::new(1024)), Some(Bytes::new(512)));
        assert_eq!(slab.take(HUGE_PAGE), None);
    }
}
