//! Which lines of the VRAM are measured.

use crate::Stretch;
use fastrand::Rng;
use units::{Bytes, DeviceVa, PhysAddr};

/// The size of a cache line.
pub(crate) const LINE: Bytes = Bytes::new(128);

/// A line of the VRAM and where the GPU's programs see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) va: DeviceVa,
    pub(crate) phys: PhysAddr,
}

/// `count` different lines in random order, one from each of `count` equal parts of the memory, so that every
/// address bit that varies in it also varies in them; or the number of lines there are, where that is smaller.
pub(crate) fn choose(memory: &[Stretch], count: usize, rng: &mut Rng) -> Result<Vec<Line>, u64> {
    let mut stretches: Vec<Whole> = memory.iter().filter_map(Whole::within).collect();
    stretches.sort_by_key(|stretch| stretch.first.phys);
    let total: u64 = stretches.iter().map(|stretch| stretch.lines).sum();
    let wanted = count as u64;
    if total < wanted {
        return Err(total);
    }
    let mut lines = Vec::with_capacity(count);
    let (mut at, mut before) = (0, 0);
    for part in 0..wanted {
        let bound = |part: u64| (u128::from(part) * u128::from(total) / u128::from(wanted)) as u64;
        let pick = rng.u64(bound(part)..bound(part + 1));
        while pick >= before + stretches[at].lines {
            before += stretches[at].lines;
            at += 1;
        }
        lines.push(stretches[at].line(pick - before));
    }
    rng.shuffle(&mut lines);
    Ok(lines)
}

/// The whole lines of a stretch.
struct Whole {
    first: Line,
    lines: u64,
}

impl Whole {
    fn within(stretch: &Stretch) -> Option<Whole> {
        let skip = Bytes::new(stretch.phys.get().next_multiple_of(LINE.get()) - stretch.phys.get());
        let lines = stretch.bytes.saturating_sub(skip).get() / LINE.get();
        (lines > 0).then(|| Whole { first: Line { va: stretch.va + skip, phys: stretch.phys + skip }, lines })
    }

    fn line(&self, index: u64) -> Line {
        let offset = Bytes::new(index * LINE.get());
        Line { va: self.first.va + offset, phys: self.first.phys + offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn stretch(va: u64, bytes: u64, phys: u64) -> Stretch {
        Stretch { va: DeviceVa::new(va), bytes: Bytes::new(bytes), phys: PhysAddr::new(phys) }
    }

    #[test]
    fn all_lines_are_chosen_where_as_many_are_wanted() {
        let memory = [stretch(0x2000, 0x1000, 0x9_0000), stretch(0x8040, 0x1000, 0x1_0040)];
        let lines = choose(&memory, 63, &mut Rng::with_seed(1)).unwrap();
        let distinct: HashSet<u64> = lines.iter().map(|line| line.phys.get()).collect();
        assert_eq!(distinct.len(), 63);
        assert!(lines.iter().all(|line| line.phys.is_aligned(LINE)));
    }

    #[test]
    fn a_line_keeps_its_place_in_its_stretch() {
        let memory = [stretch(0x10_0000, 0x4000, 0x9_0000), stretch(0x20_0000, 0x4000, 0x1_0000)];
        for line in choose(&memory, 64, &mut Rng::with_seed(2)).unwrap() {
            let (va, phys) = if line.phys.get() >= 0x9_0000 { (0x10_0000, 0x9_0000) } else { (0x20_0000, 0x1_0000) };
            assert_eq!(line.va.get() - va, line.phys.get() - phys);
        }
    }

    #[test]
    fn memory_with_fewer_lines_than_wanted_says_how_many_it_has() {
        assert_eq!(choose(&[stretch(0, 0x1000, 0)], 33, &mut Rng::with_seed(3)), Err(32));
    }
}
