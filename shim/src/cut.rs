//! Cutting a copy into parts: lines into stretches, boxes into smaller boxes. Plain arithmetic.

/// How large a copy is: bytes a line, lines a slice, slices. A stretch of memory is one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) depth: usize,
}

/// A part of a copy, and where in it that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) z: usize,
    pub(crate) extent: Extent,
}

/// Parts of a line begin at multiples of this, as the engine moves whole sectors.
const ALIGNMENT: usize = 256;

impl Extent {
    /// A stretch of memory.
    pub(crate) fn line(bytes: usize) -> Self {
        Extent { width: bytes, height: 1, depth: 1 }
    }

    /// All its bytes; `None` where nothing can have as many.
    pub(crate) fn bytes(self) -> Option<usize> {
        self.width.checked_mul(self.height)?.checked_mul(self.depth).filter(|&bytes| bytes <= isize::MAX as usize)
    }

    /// The whole, as one part.
    pub(crate) fn whole(self) -> Part {
        Part { x: 0, y: 0, z: 0, extent: self }
    }

    /// Cuts into parts of about `piece` bytes and of nearly equal size.
    pub(crate) fn parts(self, piece: usize) -> Parts {
        let Extent { width, height, depth } = self;
        let whole = Parts { whole: self, step: self, next: Some((0, 0, 0)) };
        let Some(slice) = width.checked_mul(height) else { return whole };
        let even = |size: usize, unit: usize| match (unit.saturating_mul(size)).div_ceil(piece.max(1)) {
            0 | 1 => size,
            parts => size.div_ceil(parts).max(1),
        };
        let step = if width > piece {
            Extent { width: even(width, 1).next_multiple_of(ALIGNMENT).min(width), height: 1, depth: 1 }
        } else if slice > piece {
            Extent { width, height: even(height, width), depth: 1 }
        } else {
            Extent { width, height, depth: even(depth, slice) }
        };
        Parts { step, ..whole }
    }
}

/// The parts of a copy, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    whole: Extent,
    step: Extent,
    next: Option<(usize, usize, usize)>,
}

impl Parts {
    /// How many parts there are in all; no more than tickets can number is the caller's part.
    pub(crate) fn number(&self) -> usize {
        let along = |size: usize, step: usize| size.max(1).div_ceil(step.max(1));
        along(self.whole.width, self.step.width)
            .saturating_mul(along(self.whole.height, self.step.height))
            .saturating_mul(along(self.whole.depth, self.step.depth))
    }

    /// The bytes of a part that is not the last of its line or slice.
    pub(crate) fn piece(&self) -> usize {
        self.step.bytes().unwrap_or(usize::MAX)
    }
}

impl Iterator for Parts {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let (x, y, z) = self.next?;
        let Parts { whole, step, .. } = *self;
        let part = Part {
            x,
            y,
            z,
            extent: Extent {
                width: step.width.min(whole.width - x),
                height: step.height.min(whole.height - y),
                depth: step.depth.min(whole.depth - z),
            },
        };
        let (right, down, on) = (x + step.width, y + step.height, z + step.depth);
        self.next = match () {
            () if right < whole.width => Some((right, y, z)),
            () if down < whole.height => Some((0, down, z)),
            () if on < whole.depth => Some((0, 0, on)),
            () => None,
        };
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte of the box is in exactly one part.
    fn assert_covers(extent: Extent, piece: usize) {
        let Extent { width, height, depth } = extent;
        let mut seen = vec![0u8; width * height * depth];
        let parts = extent.parts(piece);
        let mut count = 0;
        for part in parts {
            count += 1;
            for z in part.z..part.z + part.extent.depth {
                for y in part.y..part.y + part.extent.height {
                    for x in part.x..part.x + part.extent.width {
                        seen[(z * height + y) * width + x] += 1;
                    }
                }
            }
        }
        assert!(seen.iter().all(|&times| times == 1), "{extent:?} by {piece}");
        assert_eq!(count, parts.number(), "{extent:?} by {piece}");
    }

    #[test]
    fn the_parts_of_a_copy_are_the_copy() {
        for (width, height, depth) in [(1, 1, 1), (5000, 1, 1), (300, 7, 1), (300, 7, 5), (2000, 3, 2), (256, 1, 9)] {
            for piece in [1, 255, 256, 700, 4096, 1 << 20] {
                assert_covers(Extent { width, height, depth }, piece);
            }
        }
    }

    #[test]
    fn parts_are_nearly_equal_so_that_none_is_charged_for_more_than_it_is() {
        let parts = Extent::line(5 << 20).parts(2 << 20);
        assert_eq!((parts.number(), parts.piece()), (3, 1_747_712));
        let sizes: Vec<usize> = parts.map(|part| part.extent.width).collect();
        assert!(sizes.iter().all(|size| size.abs_diff(sizes[0]) <= 768), "{sizes:?}");
    }

    #[test]
    fn what_is_small_enough_stays_whole() {
        let extent = Extent { width: 100, height: 10, depth: 2 };
        assert_eq!(extent.parts(4096).collect::<Vec<_>>(), [extent.whole()]);
    }

    #[test]
    fn sizes_that_no_memory_has_are_not_reckoned_with() {
        let wild = Extent { width: usize::MAX, height: 1 << 40, depth: 3 };
        assert_eq!(wild.bytes(), None);
        assert_eq!(wild.parts(4096).number(), 1);
    }
}
