//! Which lines are timed to find slices and what chooses among them.
//!
//! All of it is drawn from the whole of the memory at hand, so that every address bit that varies in it also varies in
//! the lines.

use crate::Stretch;
use crate::gf2::Span;
use crate::lines::{LINE, Line};
use core::ops::Range;
use fastrand::Rng;
use std::collections::HashSet;
use units::{Bytes, PhysAddr};

/// Memory to take lines from, by physical address.
pub(crate) struct Memory {
    /// In order of physical address.
    stretches: Vec<Stretch>,
    total: Bytes,
}

impl Memory {
    pub(crate) fn of(stretches: &[Stretch]) -> Memory {
        let mut stretches = stretches.to_vec();
        stretches.sort_by_key(|stretch| stretch.phys);
        Memory { total: stretches.iter().map(|stretch| stretch.bytes).fold(Bytes::ZERO, |a, b| a + b), stretches }
    }

    /// How much there is.
    pub(crate) fn total(&self) -> Bytes {
        self.total
    }

    /// The physical addresses.
    pub(crate) fn ranges(&self) -> Vec<Range<PhysAddr>> {
        self.stretches.iter().map(|stretch| stretch.phys..stretch.phys + stretch.bytes).collect()
    }

    /// The line at an address, where it is at hand.
    pub(crate) fn line(&self, phys: PhysAddr) -> Option<Line> {
        let after = self.stretches.partition_point(|stretch| stretch.phys <= phys);
        let stretch = self.stretches[..after].last()?;
        let offset = Bytes::new(phys.get() - stretch.phys.get());
        (offset + LINE <= stretch.bytes).then(|| Line { va: stretch.va + offset, phys })
    }

    /// Whether all of a block is at hand.
    fn has(&self, phys: PhysAddr, bytes: Bytes) -> bool {
        self.line(phys).is_some() && self.line(phys + (bytes - LINE)).is_some()
    }

    /// The physical address so far into the memory.
    fn at(&self, mut offset: Bytes) -> PhysAddr {
        for stretch in &self.stretches {
            if offset < stretch.bytes {
                return stretch.phys + offset;
            }
            offset = offset - stretch.bytes;
        }
        PhysAddr::default()
    }

    /// At most `count` different blocks of `size`, a power of two and aligned to it, one from each of as many equal parts
    /// of the memory; in random order.
    pub(crate) fn blocks(&self, count: usize, size: Bytes, rng: &mut Rng) -> Vec<PhysAddr> {
        let mut blocks = HashSet::new();
        for part in 0..count as u128 {
            let bound = |part: u128| (part * u128::from(self.total.get()) / count as u128) as u64;
            let (from, to) = (bound(part), bound(part + 1).max(bound(part) + 1));
            // At the edges of stretches blocks are not whole.
            for _ in 0..8 {
                let at = self.at(Bytes::new(rng.u64(from..to)));
                let block = PhysAddr::new(at.get() & !(size.get() - 1));
                if self.has(block, size) && blocks.insert(block) {
                    break;
                }
            }
        }
        let mut blocks: Vec<PhysAddr> = blocks.into_iter().collect();
        blocks.sort_unstable();
        rng.shuffle(&mut blocks);
        blocks
    }

    /// The address bits from `least` up that differ between addresses at hand.
    fn varying(&self, least: Bytes) -> u64 {
        let first = self.stretches.first().map_or(0, |stretch| stretch.phys.get());
        let last = self.stretches.last().map_or(0, |stretch| (stretch.phys + stretch.bytes).get() - 1);
        match (first ^ last).checked_ilog2() {
            Some(highest) => (u64::MAX >> (63 - highest)) & !(least.get() - 1),
            None => 0,
        }
    }
}

/// How many pairs there are for each direction of one bit and of two bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PairsOf {
    pub(crate) one: usize,
    pub(crate) two: usize,
}

/// Units, and units that differ from them in such a way that no mask's parity changes: for every bit that can be chosen
/// freely that bit and what follows from it, and the same for two. `pool` are units to start from; these come first.
pub(crate) fn flips(
    memory: &Memory,
    pool: &[PhysAddr],
    unit: Bytes,
    masks: &[u64],
    pairs: PairsOf,
    rng: &mut Rng,
) -> Vec<PhysAddr> {
    let one = directions(masks, memory.varying(unit));
    let two = one.iter().enumerate().flat_map(|(at, low)| one[at + 1..].iter().map(move |high| low ^ high));
    let wanted = one.iter().map(|&bits| (bits, pairs.one)).chain(two.map(|bits| (bits, pairs.two)));
    let mut seen: HashSet<PhysAddr> = pool.iter().copied().collect();
    let mut units = pool.to_vec();
    for (bits, count) in wanted {
        let start = rng.usize(..pool.len().max(1));
        let flipped = pool.iter().cycle().skip(start).take(pool.len()).map(|unit| PhysAddr::new(unit.get() ^ bits));
        for unit in flipped.filter(|&flipped| memory.has(flipped, unit)).take(count) {
            if seen.insert(unit) {
                units.push(unit);
            }
        }
    }
    units
}

/// A basis of the vectors of `varying` bits that have an even number of bits in common with every mask.
fn directions(masks: &[u64], varying: u64) -> Vec<u64> {
    let span: Span = masks.iter().map(|mask| (mask & varying).reverse_bits()).collect();
    span.complement(varying.reverse_bits()).into_iter().map(u64::reverse_bits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gf2::parity;
    use units::DeviceVa;

    fn memory() -> Memory {
        let stretch = |va, phys| Stretch { va: DeviceVa::new(va), bytes: Bytes::mib(64), phys: PhysAddr::new(phys) };
        Memory::of(&[stretch(0x7000_0000, 0x4000_0000), stretch(0x9000_0000, 0x1040_0000)])
    }

    #[test]
    fn a_line_is_found_in_its_stretch_and_nowhere_else() {
        let memory = memory();
        assert_eq!(memory.line(PhysAddr::new(0x4000_0100)).unwrap().va, DeviceVa::new(0x7000_0100));
        assert_eq!(memory.line(PhysAddr::new(0x1040_0000)).unwrap().va, DeviceVa::new(0x9000_0000));
        assert_eq!(memory.line(PhysAddr::new(0x4400_0000)), None);
        assert_eq!(memory.line(PhysAddr::new(0x1000_0000)), None);
    }

    #[test]
    fn blocks_are_whole_aligned_and_from_all_parts() {
        let blocks = memory().blocks(64, Bytes::kib(64), &mut Rng::with_seed(1));
        assert!(blocks.len() >= 60, "{}", blocks.len());
        assert!(blocks.iter().all(|&block| block.is_aligned(Bytes::kib(64)) && memory().has(block, Bytes::kib(64))));
        let upper = blocks.iter().filter(|block| block.get() >= 0x4000_0000).count();
        assert!((24..=40).contains(&upper), "{upper}");
    }

    #[test]
    fn flips_keep_the_parity_of_the_masks_and_reach_every_bit_that_is_free() {
        let masks = [0x15_4000, 0x0AB_2000];
        let memory = memory();
        let pool = memory.blocks(64, Bytes::kib(1), &mut Rng::with_seed(2));
        let pairs = PairsOf { one: 16, two: 4 };
        let units = flips(&memory, &pool, Bytes::kib(1), &masks, pairs, &mut Rng::with_seed(3));
        assert_eq!(units[..pool.len()], pool);
        let one = directions(&masks, memory.varying(Bytes::kib(1)));
        // Bits 10 to 30, of which two follow from the others.
        assert_eq!(one.len(), 19);
        assert!(one.iter().all(|&bits| masks.iter().all(|&mask| !parity(bits & mask))));
        assert!(units.len() > pool.len() + 17 * 16, "{}", units.len());
    }
}
