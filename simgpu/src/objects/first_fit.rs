//! How room is divided among allocations: each takes the first gap that is large enough.

use std::collections::BTreeMap;
use units::Bytes;

/// The alignment of allocations that share memory, as with the real driver.
const ALIGNMENT: Bytes = Bytes::new(512);

/// The parts of some room that are taken.
#[derive(Debug, Default)]
pub(crate) struct FirstFit {
    /// The length of each part taken, by its offset.
    taken: BTreeMap<u64, u64>,
}

impl FirstFit {
    /// Takes the first gap that is large enough, in as much room as there is; returns its offset.
    pub(crate) fn take(&mut self, bytes: Bytes, room: Bytes) -> Option<Bytes> {
        let bytes = bytes.checked_round_up(ALIGNMENT)?.get();
        let mut start = 0;
        for (&offset, &length) in &self.taken {
            if offset - start >= bytes {
                break;
            }
            start = offset + length;
        }
        if room.get().saturating_sub(start) < bytes {
            return None;
        }
        self.taken.insert(start, bytes);
        Some(Bytes::new(start))
    }

    pub(crate) fn give_back(&mut self, offset: Bytes) {
        self.taken.remove(&offset.get());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Whether nothing is taken of a stretch.
    pub(crate) fn is_free(&self, offset: Bytes, bytes: Bytes) -> bool {
        let before = self.taken.range(..(offset + bytes).get()).next_back();
        before.is_none_or(|(&start, &length)| start + length <= offset.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Bytes = Bytes::mib(2);

    #[test]
    fn gaps_are_used_again() {
        let mut fit = FirstFit::default();
        assert_eq!(fit.take(Bytes::new(1), ROOM), Some(Bytes::ZERO));
        assert_eq!(fit.take(Bytes::new(513), ROOM), Some(Bytes::new(512)));
        assert_eq!(fit.take(Bytes::new(512), ROOM), Some(Bytes::new(1536)));
        fit.give_back(Bytes::new(512));
        assert_eq!(fit.take(Bytes::new(2048), ROOM), Some(Bytes::new(2048)), "the gap of 1 KiB is too small");
        assert_eq!(fit.take(Bytes::new(1024), ROOM), Some(Bytes::new(512)));
        assert_eq!(fit.take(ROOM, ROOM), None);
    }

    #[test]
    fn a_stretch_is_free_between_what_is_taken() {
        let mut fit = FirstFit::default();
        for _ in 0..3 {
            fit.take(Bytes::kib(4), ROOM).expect("room");
        }
        fit.give_back(Bytes::kib(4));
        assert!(fit.is_free(Bytes::kib(4), Bytes::kib(4)));
        assert!(!fit.is_free(Bytes::new(4095), Bytes::kib(4)));
        assert!(!fit.is_free(Bytes::new(4097), Bytes::kib(4)));
        assert!(fit.is_free(Bytes::kib(12), ROOM));
    }
}
