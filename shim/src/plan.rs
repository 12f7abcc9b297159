//! Choosing the runs of a donor object that a range is made of: pure arithmetic.

use region::HashTable;
use units::{Bytes, PhysAddr};

/// Pages of one colour that lie side by side in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Where in the object.
    pub(crate) offset: Bytes,
    /// How many bytes.
    pub(crate) len: Bytes,
}

/// The first runs of `color` in an object of `size` bytes at `base` that together hold `need` bytes, or `None` where
/// the object does not have so many.
pub(crate) fn runs_of_color(
    hash: &HashTable,
    color: u32,
    base: PhysAddr,
    size: Bytes,
    need: Bytes,
) -> Option<Vec<Run>> {
    let page = u64::from(hash.page_bytes);
    let mut runs: Vec<Run> = Vec::new();
    let mut left = need.get();
    let mut offset = 0;
    while left > 0 && offset + page <= size.get() {
        if hash.color_of(base.get() + offset) == color {
            match runs.last_mut() {
                Some(run) if run.offset.get() + run.len.get() == offset => run.len += Bytes::new(page),
                _ => runs.push(Run { offset: Bytes::new(offset), len: Bytes::new(page) }),
            }
            left = left.saturating_sub(page);
        }
        offset += page;
    }
    (left == 0).then_some(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const H200: u64 = 0x1c_bd6a_b000;

    #[test]
    fn every_run_has_the_color_and_together_they_are_what_is_needed() {
        let hash = HashTable::new(4096, &[H200]).expect("a table");
        let base = PhysAddr::new(0x12_3460_0000);
        for color in [0, 1] {
            let runs = runs_of_color(&hash, color, base, Bytes::mib(4), Bytes::mib(2)).expect("half of the pages");
            let total: Bytes = runs.iter().map(|run| run.len).sum();
            assert_eq!(total, Bytes::mib(2));
            for run in &runs {
                for page in (0..run.len.get()).step_by(4096) {
                    assert_eq!(hash.color_of(base.get() + run.offset.get() + page), color);
                }
            }
            assert!(runs.windows(2).all(|pair| pair[0].offset + pair[0].len < pair[1].offset), "neighbours are merged");
        }
    }

    #[test]
    fn an_object_with_too_few_pages_gives_nothing() {
        let hash = HashTable::new(4096, &[H200]).expect("a table");
        assert_eq!(runs_of_color(&hash, 0, PhysAddr::new(0), Bytes::mib(2), Bytes::mib(2)), None);
    }
}
