//! In which blocks of addresses slices alternate.
//!
//! All blocks here are aligned to their size, and only those count of which every line was measured.

use crate::lines::LINE;
use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};
use units::{Bytes, PhysAddr};

/// The share of blocks that must follow a rule: a few lines may be sorted wrongly.
const MOST: f64 = 0.8;
/// The share of blocks that must be on one side: sides are never mistaken on an idle GPU.
const NEARLY_ALL: f64 = 0.99;
/// The fewest blocks that show a rule.
const FEWEST_BLOCKS: usize = 4;
/// The most granules of a half unit.
const LONGEST: u64 = 32;

/// How often a set of slices must come, as a share of what is usual, to be none of a mistaken line.
const RARE: f64 = 0.2;

/// Whether most of a block is of one label.
fn mostly_one(block: &[usize], labels: &[u32]) -> bool {
    let mut of_block: Vec<u32> = block.iter().map(|&at| labels[at]).collect();
    of_block.sort_unstable();
    let most = of_block.chunk_by(|a, b| a == b).map(<[u32]>::len).max().unwrap_or(0);
    most as f64 >= MOST * block.len() as f64
}

/// The lines of a measurement by address.
pub(crate) struct Places {
    /// Line numbers (address over 128) and places in the measurement, in order of address.
    sorted: Vec<(u64, usize)>,
}

impl Places {
    /// Sorts lines; `None` where one comes twice or is not at the start of a line.
    pub(crate) fn of(lines: &[PhysAddr]) -> Option<Places> {
        let mut sorted: Vec<(u64, usize)> =
            lines.iter().enumerate().map(|(at, line)| (line.get() / LINE.get(), at)).collect();
        sorted.sort_unstable();
        let distinct = sorted.windows(2).all(|pair| pair[0].0 != pair[1].0);
        (distinct && lines.iter().all(|line| line.is_aligned(LINE))).then_some(Places { sorted })
    }

    /// The place of the line with the lowest address.
    pub(crate) fn first(&self) -> usize {
        self.sorted[0].1
    }

    /// The whole blocks of `size`, each as the places of its lines in order of address.
    fn whole(&self, size: u64) -> Vec<Vec<usize>> {
        let lines = size / LINE.get();
        let blocks = self.sorted.chunk_by(|a, b| a.0 / lines == b.0 / lines);
        let whole = blocks.filter(|block| block.len() as u64 == lines);
        whole.map(|block| block.iter().map(|&(_, at)| at).collect()).collect()
    }

    /// The largest block that is of one label, by the share of blocks that are; at least a line.
    pub(crate) fn granule(&self, labels: &[u32], share: f64) -> Bytes {
        let mut granule = LINE.get();
        loop {
            let blocks = self.whole(2 * granule);
            let one = blocks.iter().filter(|block| mostly_one(block, labels)).count();
            if blocks.len() < FEWEST_BLOCKS || (one as f64) < share * blocks.len() as f64 {
                return Bytes::new(granule);
            }
            granule *= 2;
        }
    }

    /// The largest block that is of one side.
    pub(crate) fn side_unit(&self, sides: &[u32]) -> Bytes {
        self.granule(sides, NEARLY_ALL)
    }

    /// The largest block in which a few slices alternate and no other is met.
    ///
    /// It is the smallest block whose halves have the same slices, each once in a half, doubled as long as halves
    /// have the same slices; the granule where there is none. A block that has more than half of `slices` does not
    /// count: that its halves agree says no more than that both have all slices.
    pub(crate) fn unit(&self, labels: &[u32], granule: Bytes, slices: usize) -> Bytes {
        let agreeing = |size: u64, each_once: bool| {
            let blocks = self.whole(size);
            let granules = (size / 2 / granule.get()) as usize;
            let agrees = |block: &&Vec<usize>| {
                let (low, high) = block.split_at(block.len() / 2);
                let set = |half: &[usize]| half.iter().map(|&at| labels[at]).collect::<BTreeSet<u32>>();
                let (low, high) = (set(low), set(high));
                low == high && 2 * low.len() <= slices && (!each_once || low.len() == granules)
            };
            let count = blocks.iter().filter(agrees).count();
            blocks.len() >= FEWEST_BLOCKS && count as f64 >= MOST * blocks.len() as f64
        };
        let sizes = (2..).map(|log2| granule.get() << log2).take_while(|size| size / 2 / granule.get() <= LONGEST);
        let Some(mut unit) = sizes.into_iter().find(|&size| agreeing(size, true)) else {
            return if self.keeps_to_sets(labels, 2 * granule.get(), slices) { granule + granule } else { granule };
        };
        while agreeing(2 * unit, false) {
            unit *= 2;
        }
        Bytes::new(unit)
    }

    /// Whether the blocks of two granules are of two slices each, and each slice is with one other only: the two take
    /// turns inside the block, in an order that may change from block to block.
    fn keeps_to_sets(&self, labels: &[u32], size: u64, slices: usize) -> bool {
        let mut counts: BTreeMap<BTreeSet<u32>, usize> = BTreeMap::new();
        let blocks = self.whole(size);
        for block in &blocks {
            *counts.entry(block.iter().map(|&at| labels[at]).collect()).or_default() += 1;
        }
        // A mistaken line makes a set that hardly comes again.
        let usual = blocks.len() as f64 / (slices as f64 / 2.0);
        let sets: Vec<_> = counts.iter().filter(|&(_, &count)| count as f64 >= RARE * usual).collect();
        let members: Vec<u32> = sets.iter().flat_map(|(set, _)| set.iter().copied()).collect();
        let covered: usize = sets.iter().map(|&(_, &count)| count).sum();
        let distinct = members.iter().collect::<BTreeSet<_>>().len() == members.len();
        let twos = sets.iter().all(|(set, _)| set.len() == 2);
        blocks.len() >= FEWEST_BLOCKS && twos && distinct && covered as f64 >= MOST * blocks.len() as f64
    }

    /// The lines that lie together in a unit and share a slice there, because they do so in (nearly) all units.
    pub(crate) fn groups(&self, labels: &[u32], granule: Bytes, unit: Bytes) -> Groups {
        let lines = (granule.get() / LINE.get()) as usize;
        let positions = (unit.get() / granule.get()) as usize;
        let units = self.whole(unit.get());
        // By position: the first position with the same slice.
        let mut class: Vec<usize> = Vec::with_capacity(positions);
        for position in 0..positions {
            let same = |&earlier: &usize| {
                let alike = |unit: &&Vec<usize>| labels[unit[position * lines]] == labels[unit[earlier * lines]];
                units.iter().filter(alike).count() as f64 >= MOST * units.len() as f64
            };
            class.push((0..position).find(same).unwrap_or(position));
        }
        let mut groups: BTreeMap<(u64, usize), Vec<usize>> = BTreeMap::new();
        let unit_lines = unit.get() / LINE.get();
        for &(line, at) in &self.sorted {
            let position = (line % unit_lines) as usize / lines;
            groups.entry((line / unit_lines, class[position])).or_default().push(at);
        }
        let unit_of = groups.keys().map(|&(unit, _)| unit).collect();
        let firsts = (0..positions).filter(|&position| class[position] == position);
        let offsets = firsts.map(|position| Bytes::new(position as u64 * granule.get())).collect();
        Groups { unit_of, lines: groups.into_values().collect(), offsets }
    }
}

/// Sets of lines, each of one slice, in order of address.
pub(crate) struct Groups {
    /// By group: its unit, by number.
    pub(crate) unit_of: Vec<u64>,
    /// By group: the places of its lines.
    pub(crate) lines: Vec<Vec<usize>>,
    /// The places in a unit at which its groups begin.
    pub(crate) offsets: Vec<Bytes>,
}

impl Groups {
    /// Each unit with its groups.
    pub(crate) fn units(&self) -> impl Iterator<Item = (u64, Range<usize>)> + '_ {
        let mut start = 0;
        self.unit_of.chunk_by(|a, b| a == b).map(move |unit| {
            let groups = start..start + unit.len();
            start = groups.end;
            (unit[0], groups)
        })
    }
}
