//! A piece of memory that small allocations share.

use super::Object;
use crate::objects::first_fit::FirstFit;
use crate::objects::requests::HUGE_PAGE;
use units::Bytes;

/// One 2 MiB object and what is taken of it.
pub(super) struct Slab {
    pub(super) object: Object,
    taken: FirstFit,
}

impl Slab {
    pub(super) fn new(object: Object) -> Self {
        Slab { object, taken: FirstFit::default() }
    }

    /// Takes a gap; returns its offset.
    pub(super) fn take(&mut self, bytes: Bytes) -> Option<Bytes> {
        self.taken.take(bytes, HUGE_PAGE)
    }

    pub(super) fn give_back(&mut self, offset: Bytes) {
        self.taken.give_back(offset);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }
}
