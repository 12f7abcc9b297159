//! The pages of an object that are of a colour, and what is mapped where it has others: pure arithmetic.

use region::HashTable;
use units::{Bytes, PhysAddr};

/// Pages that lie side by side in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Offset in the object.
    pub(crate) offset: Bytes,
    /// Length.
    pub(crate) len: Bytes,
}

impl Run {
    pub(crate) fn end(self) -> Bytes {
        self.offset + self.len
    }
}

/// The pages of an object of `size` bytes at `base` whose colour is as `wanted` says, neighbours merged, in order.
/// `None` where they are more than `most` runs.
pub(crate) fn runs(
    hash: &HashTable,
    base: PhysAddr,
    size: Bytes,
    wanted: impl Fn(u32) -> bool,
    most: usize,
) -> Option<Vec<Run>> {
    let page = Bytes::new(hash.page_bytes.into());
    let mut runs: Vec<Run> = Vec::new();
    let mut offset = Bytes::ZERO;
    while offset + page <= size {
        if wanted(hash.color_of((base + offset).get())) {
            match runs.last_mut() {
                Some(run) if run.end() == offset => run.len += page,
                _ => runs.push(Run { offset, len: page }),
            }
            if runs.len() > most {
                return None;
            }
        }
        offset += page;
    }
    Some(runs)
}

/// A part of a donor object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The donor's handle.
    pub(crate) donor: u32,
    /// Its begin in VRAM.
    pub(crate) phys: PhysAddr,
    /// Offset in the donor, and length.
    pub(crate) run: Run,
}

/// A piece in the place of pages of another colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    /// Offset in the object.
    pub(crate) at: Bytes,
    pub(crate) piece: Piece,
}

/// One map call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Offset in the range that is mapped.
    pub(crate) at: Bytes,
    pub(crate) len: Bytes,
    /// The donor that it shows, or the object itself.
    pub(crate) donor: Option<u32>,
    /// Offset in that.
    pub(crate) offset: Bytes,
}

/// The map calls that show `[offset, offset + len)` of an object with patches over it, in order.
///
/// The object comes first, in two calls: without its last page, so that the length keeps the kernel to pages of `page`
/// bytes, which alone can be replaced one by one (the page size is the largest that divides address, length and offset,
/// uvm_map_external.c:931-953 of branch 580); then that last page, unless a patch covers it. `patches` are in order and
/// do not overlap; those that reach over the edges of the stretch are cut.
pub(crate) fn layers(patches: &[Patch], page: Bytes, offset: Bytes, len: Bytes) -> impl Iterator<Item = Layer> + '_ {
    let end = offset + len;
    let first = patches.partition_point(|patch| patch.at + patch.piece.run.len <= offset);
    let last = patches.partition_point(|patch| patch.at < end);
    let patches = &patches[first..last.max(first)];
    let head = if len > page { len - page } else { Bytes::ZERO };
    let own = move |at: Bytes, len: Bytes| Layer { at, len, donor: None, offset: offset + at };
    let covered = patches.last().is_some_and(|patch| patch.at + patch.piece.run.len >= end);
    let object = [(head > Bytes::ZERO).then(|| own(Bytes::ZERO, head)), (!covered).then(|| own(head, len - head))];
    let over = patches.iter().map(move |patch| {
        let (from, to) = (patch.at.max(offset), (patch.at + patch.piece.run.len).min(end));
        Layer {
            at: from - offset,
            len: to - from,
            donor: Some(patch.piece.donor),
            offset: patch.piece.run.offset + (from - patch.at),
        }
    });
    object.into_iter().flatten().chain(over)
}

#[cfg(test)]
mod tests {
    use super::*;

    const H200: u64 = 0x1c_bd6a_b000;
    const PAGE: Bytes = Bytes::kib(4);

    fn patch(at: u64, pages: u64) -> Patch {
        let run = Run { offset: Bytes::kib(64), len: Bytes::kib(4 * pages) };
        Patch { at: Bytes::kib(4 * at), piece: Piece { donor: 7, phys: PhysAddr::new(0), run } }
    }

    /// The page that each shows in the end: its own page of the object, or one of the donor.
    fn shown(patches: &[Patch], offset: u64, pages: u64) -> Vec<(Option<u32>, u64)> {
        let mut shown = vec![None; pages as usize];
        for layer in layers(patches, PAGE, Bytes::kib(4 * offset), Bytes::kib(4 * pages)) {
            for page in 0..layer.len.get() / 4096 {
                shown[(layer.at.get() / 4096 + page) as usize] = Some((layer.donor, layer.offset.get() / 4096 + page));
            }
        }
        shown.into_iter().map(|page| page.expect("every page is mapped")).collect()
    }

    #[test]
    fn every_run_has_the_color_and_together_they_are_all_pages_of_it() {
        let hash = HashTable::new(4096, &[H200]).expect("a table");
        let base = PhysAddr::new(0x12_3460_0000);
        for color in [0, 1] {
            let runs = runs(&hash, base, Bytes::mib(4), |of| of == color, usize::MAX).expect("no limit");
            let total: Bytes = runs.iter().map(|run| run.len).sum();
            assert_eq!(total, Bytes::mib(2));
            for run in &runs {
                for page in (0..run.len.get()).step_by(4096) {
                    assert_eq!(hash.color_of(base.get() + run.offset.get() + page), color);
                }
            }
            assert!(runs.windows(2).all(|pair| pair[0].end() < pair[1].offset), "neighbours are merged");
        }
    }

    #[test]
    fn more_runs_than_asked_for_are_none() {
        let hash = HashTable::new(4096, &[H200]).expect("a table");
        let count = runs(&hash, PhysAddr::new(0), Bytes::mib(2), |of| of == 0, usize::MAX).expect("no limit").len();
        assert!(runs(&hash, PhysAddr::new(0), Bytes::mib(2), |of| of == 0, count).is_some());
        assert!(runs(&hash, PhysAddr::new(0), Bytes::mib(2), |of| of == 0, count - 1).is_none());
    }

    #[test]
    fn patches_are_seen_over_the_object_and_the_rest_of_it_between_them() {
        let patches = [patch(1, 2), patch(5, 1)];
        let own = |page| (None, page);
        let donor = |page: u64| (Some(7), 16 + page);
        assert_eq!(shown(&patches, 0, 7), [own(0), donor(0), donor(1), own(3), own(4), donor(0), own(6)]);
        assert_eq!(shown(&patches, 2, 4), [donor(1), own(3), own(4), donor(0)], "a part of the object");
    }

    #[test]
    fn the_object_is_mapped_in_pages_that_can_be_replaced_one_by_one() {
        for patches in [&[][..], &[patch(3, 2)], &[patch(510, 2)]] {
            let first = layers(patches, PAGE, Bytes::ZERO, Bytes::mib(2)).next().expect("the object");
            assert_eq!((first.donor, first.len.get().trailing_zeros()), (None, 12));
        }
        let covered: Vec<Layer> = layers(&[patch(510, 2)], PAGE, Bytes::ZERO, Bytes::mib(2)).collect();
        assert_eq!(covered.len(), 2, "a last page that is replaced anyway is not mapped before");
    }
}
