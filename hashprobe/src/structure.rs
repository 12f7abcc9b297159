//! The structure of an L2, from the latencies of lines seen from many SMs.
//!
//! Every line has a fingerprint: its latency from each SM. Lines of one slice have the same but for noise. So
//! [`structure()`]
//!
//! 1. sorts fingerprints into clusters, whose number is not known beforehand, and takes the largest aligned block
//!    that stays in one cluster for the interleave;
//! 2. averages over such blocks and sorts again, with less noise; finds the unit in which slices alternate, and
//!    once more averages what shares a slice in it;
//! 3. has SMs vote on which lines are near (as the probe does) and puts each cluster on the side of its lines;
//! 4. tells apart those slices that latency cannot ([`crate::twins`]), draws the graph of slices that share units, and
//!    looks for rings.
//!
//! Nothing about a GPU is built in. What is too rare or too disturbed to be sorted is left out and counted.

use crate::blocks::{Groups, Places};
use crate::clusters::{self, Clusters};
use crate::lines::LINE;
use crate::points::Points;
use crate::ring;
use crate::solve::Sample;
use crate::twins::Twins;
use crate::vote::Vote;
use crate::{Measurement, sm_sides};
use fastrand::Rng;
use std::collections::HashMap;
use units::{Bytes, PhysAddr};

/// The fewest lines that show any structure.
const FEWEST_LINES: usize = 64;
/// The most latencies that are looked at: 4 B each for the points, and at most as much again for their means.
const MOST_CELLS: usize = 1 << 25;
/// How many times as far as others a fingerprint may be from its slice's.
const STRANGE: f32 = 3.0;
/// How much nearer the nearest slice must be than the second nearest for a line to count as clear.
const CLEAR: f32 = 2.0;
/// The share of a slice's lines that must be on one side.
const ON_ONE_SIDE: f64 = 0.95;
/// The share of lines that must be of the same slice as most of their granule.
const WHOLE: f64 = 0.8;

/// The slices of an L2 and how they lie.
#[derive(Clone, Debug, PartialEq)]
pub struct Structure {
    /// How many slices were met.
    pub slices: usize,
    /// By line: its slice; `None` where the fingerprint is like no other.
    pub slice_of_line: Vec<Option<u32>>,
    /// How many bytes in a row lie in one slice (256 B on an H200).
    pub interleave: Bytes,
    /// The largest aligned block that is made of the same few slices throughout (1 KiB on an H200); the interleave
    /// where slices do not alternate.
    pub unit: Bytes,
    /// How many slices alternate in a unit.
    pub slices_per_unit: usize,
    /// The place in a unit at which each of them begins.
    pub offsets: Vec<Bytes>,
    /// The groups that latencies alone tell apart.
    pub(crate) look_alikes: LookAlikes,
    /// The sides; `None` where latencies are of one kind.
    pub sides: Option<Sides>,
    /// Which slices share units, the lower number first, and how many units: where two alternate in a unit.
    pub pairs: Vec<(u32, u32, usize)>,
    /// The slices that are connected by shared units, each set in ascending order.
    pub groups: Vec<Vec<u32>>,
    /// The groups in which each slice shares units with exactly two others, in the order of the ring.
    pub rings: Vec<Vec<u32>>,
    /// How good the figures are.
    pub quality: Quality,
}

/// The sides of an L2: what an SM of the one sees near is far for one of the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Sides {
    /// By slice: 0 for the side of the lowest line, 1 for the other; `None` where its lines are on both.
    pub of_slice: Vec<Option<u32>>,
    /// By line.
    pub of_line: Vec<u32>,
    /// The side that is near, by row of the measurement; `None` where the SM sees no clear difference.
    pub of_row: Vec<Option<u32>>,
    /// The largest aligned block that is of one side; at most half as long as the measured windows.
    pub unit: Bytes,
}

/// The finding before slices that look alike were told apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LookAlikes {
    /// By line: the cluster of latencies.
    pub(crate) of_line: Vec<Option<u32>>,
    /// How many clusters.
    pub(crate) count: usize,
    /// The first line of each slice of each unit, and its cluster.
    pub(crate) samples: Vec<Sample>,
}

/// How well slices are told apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// The share of lines whose fingerprint is at least twice as near to its slice's as to the second nearest.
    pub clear: f64,
    /// The share of lines whose fingerprint is like no slice's.
    pub strange: f64,
    /// The noise of a latency in cycles: the median over SMs of the standard deviation.
    pub noise: f64,
    /// How many slices were told from another by parities or by their partners only, as their latencies are the same.
    pub twins: usize,
    /// By how much more regular the ring of the least certain of those is than the second best one would be, as a
    /// ratio; infinite where there are none.
    pub partner_margin: f64,
}

/// Why no structure was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StructureError {
    /// The matrix does not fit the lines.
    #[error("{cells} latencies from {sms} SMs do not fit {lines} lines: this is a fault of the bench")]
    WrongShape {
        /// How many latencies there are.
        cells: usize,
        /// From how many SMs.
        sms: usize,
        /// How many lines there are.
        lines: usize,
    },
    /// Lines come twice or are not aligned.
    #[error("lines must be aligned to 128 B and different from each other")]
    BadLines,
    /// Too few lines to see anything.
    #[error("{lines} lines are too few to see a structure in: measure at least {FEWEST_LINES}")]
    TooFew {
        /// How many there are.
        lines: usize,
    },
    /// More than fits the memory.
    #[error("{cells} latencies are too many to look at in one piece: measure at most {MOST_CELLS}")]
    TooMany {
        /// How many there are.
        cells: usize,
    },
}

/// Finds the structure behind the latencies of some lines: `measurement` has a row for each SM and a column for each
/// line, `lines` the physical addresses. Whole windows of lines are needed, 64 KiB or more each.
pub fn structure(measurement: &Measurement, lines: &[PhysAddr], seed: u64) -> Result<Structure, StructureError> {
    let (cells, sms) = (measurement.cycles.len(), measurement.smids.len());
    if sms == 0 || sms.checked_mul(lines.len()) != Some(cells) {
        return Err(StructureError::WrongShape { cells, sms, lines: lines.len() });
    }
    if lines.len() < FEWEST_LINES {
        return Err(StructureError::TooFew { lines: lines.len() });
    }
    if cells > MOST_CELLS {
        return Err(StructureError::TooMany { cells });
    }
    let places = Places::of(lines).ok_or(StructureError::BadLines)?;
    let mut rng = Rng::with_seed(seed);
    let single = Points::of_rows(&measurement.cycles, lines.len(), &mut rng);
    let first = clusters::find(&single, &mut rng);
    let interleave = places.granule(&first.of_point, WHOLE);

    // Nearest neighbours are somewhat nearer than chance, the more so the fewer SMs there are.
    let noise = single.usual_noise() * f64::from(first.usual_distance());
    let granules = places.groups(&first.of_point, interleave, interleave);
    let mut sorted = match interleave {
        LINE => Sorted { found: first, groups: granules },
        _ => sort_again(&single, granules, &mut rng),
    };
    let side_of_line = side_of_lines(measurement, lines.len(), &places);
    let on_a_side = sorted.found.count / if side_of_line.is_some() { 2 } else { 1 };
    let labels = sorted.labels(lines.len());
    let unit = places.unit(&labels, interleave, on_a_side);
    if unit > interleave {
        sorted = sort_again(&single, places.groups(&labels, interleave, unit), &mut rng);
    }
    let samples = sorted.samples(lines);
    let twins = Twins::by_parities(&samples, sorted.found.count, unit, &mut rng).and_by_partners(&samples);
    let of_line = sorted.slice_of_line(lines.len());
    let share = |count: usize| count as f64 / lines.len() as f64;
    let mut found = Structure {
        slices: sorted.found.count,
        interleave,
        unit,
        slices_per_unit: sorted.slices_per_unit(),
        offsets: core::mem::take(&mut sorted.groups.offsets),
        sides: side_of_line.map(|side| sides(measurement, side, &places)),
        pairs: Vec::new(),
        groups: Vec::new(),
        rings: Vec::new(),
        quality: Quality {
            clear: share(sorted.lines_where(|first, second| CLEAR * first <= second)),
            strange: share(of_line.iter().filter(|slice| slice.is_none()).count()),
            noise,
            twins: 0,
            partner_margin: f64::INFINITY,
        },
        slice_of_line: of_line.clone(),
        look_alikes: LookAlikes { of_line, count: sorted.found.count, samples },
    };
    found.take_over(&twins, lines);
    Ok(found)
}

impl Structure {
    /// Takes over which slices look alike and how they are told apart.
    pub(crate) fn take_over(&mut self, twins: &Twins, lines: &[PhysAddr]) {
        let alike = &self.look_alikes;
        let mut samples = alike.samples.clone();
        twins.relabel(&mut samples);
        let unit_of = |at: PhysAddr| at.get() / self.unit.get();
        let both = alike.samples.iter().zip(&samples);
        let slices: HashMap<(u64, u32), u32> =
            both.map(|(cluster, slice)| ((unit_of(slice.at), cluster.class), slice.class)).collect();
        let of_line = alike.of_line.iter().zip(lines);
        self.slice_of_line =
            of_line.map(|(cluster, &line)| cluster.and_then(|of| slices.get(&(unit_of(line), of)).copied())).collect();
        self.slices = twins.labels;
        if let Some(sides) = &mut self.sides {
            sides.of_slice = sides_of_slices(&sides.of_line, &self.slice_of_line, self.slices);
        }
        let pairs = ring::pairs(&ring::units(&samples, self.unit));
        let partners = ring::partners(&pairs);
        self.groups = ring::components(&partners);
        self.rings = self.groups.iter().filter_map(|group| ring::ring(group, &partners)).collect();
        self.pairs = pairs.into_iter().map(|((a, b), count)| (a, b, count)).collect();
        (self.quality.twins, self.quality.partner_margin) = (twins.told_apart, twins.margin());
    }
}

/// Groups of lines, each sorted into a cluster.
struct Sorted {
    found: Clusters,
    groups: Groups,
}

/// Sorts the means of groups of lines.
fn sort_again(single: &Points, groups: Groups, rng: &mut Rng) -> Sorted {
    let found = clusters::find(&single.means(&groups.lines, rng), rng);
    Sorted { found, groups }
}

impl Sorted {
    /// By line: its cluster.
    fn labels(&self, lines: usize) -> Vec<u32> {
        let mut labels = vec![0; lines];
        for (group, &cluster) in self.groups.lines.iter().zip(&self.found.of_point) {
            group.iter().for_each(|&line| labels[line] = cluster);
        }
        labels
    }

    /// By line: its slice, where the fingerprint is like any.
    fn slice_of_line(&self, lines: usize) -> Vec<Option<u32>> {
        let mut slices = vec![None; lines];
        let far = STRANGE * self.found.usual_distance();
        let sorted = self.found.of_point.iter().zip(&self.found.distances);
        for (group, (&cluster, &(nearest, _))) in self.groups.lines.iter().zip(sorted) {
            let slice = (nearest <= far).then_some(cluster);
            group.iter().for_each(|&line| slices[line] = slice);
        }
        slices
    }

    /// How many lines have such distances to the nearest and the second nearest slice.
    fn lines_where(&self, holds: impl Fn(f32, f32) -> bool) -> usize {
        let groups = self.groups.lines.iter().zip(&self.found.distances);
        groups.filter(|&(_, &(first, second))| holds(first, second)).map(|(group, _)| group.len()).sum()
    }

    /// How many groups most units have.
    fn slices_per_unit(&self) -> usize {
        let mut sizes: Vec<usize> = self.groups.units().map(|(_, groups)| groups.len()).collect();
        sizes.sort_unstable();
        sizes[sizes.len() / 2]
    }

    /// The first line of each group and its cluster.
    fn samples(&self, lines: &[PhysAddr]) -> Vec<Sample> {
        let of_group = |(group, &class): (&Vec<usize>, &u32)| Sample { at: lines[group[0]], class };
        self.groups.lines.iter().zip(&self.found.of_point).map(of_group).collect()
    }
}

/// By line: whether it is near for other SMs than the lowest line is; `None` where there are no two sides.
fn side_of_lines(measurement: &Measurement, lines: usize, places: &Places) -> Option<Vec<u32>> {
    let vote = Vote::of(measurement, lines).ok()?;
    let first = vote.far[places.first()];
    Some(vote.far.iter().map(|&far| u32::from(far != first)).collect())
}

/// The sides of SMs, from those of lines.
fn sides(measurement: &Measurement, of_line: Vec<u32>, places: &Places) -> Sides {
    let zeros = of_line.iter().filter(|&&side| side == 0).count();
    let row_side = |row: &[u32]| {
        let of = |side: u32| row.iter().zip(&of_line).filter(move |&(_, &of)| of == side).map(|(&cycles, _)| cycles);
        sm_sides::near(&of(0).chain(of(1)).collect::<Vec<u32>>(), zeros)
    };
    Sides {
        of_slice: Vec::new(),
        of_row: measurement.cycles.chunks_exact(of_line.len()).map(row_side).collect(),
        unit: places.side_unit(&of_line),
        of_line,
    }
}

/// The sides of slices, from those of their lines.
fn sides_of_slices(of_line: &[u32], slice_of_line: &[Option<u32>], slices: usize) -> Vec<Option<u32>> {
    let mut counts = vec![[0usize; 2]; slices];
    for (slice, &side) in slice_of_line.iter().zip(of_line) {
        if let Some(slice) = slice {
            counts[*slice as usize][side as usize] += 1;
        }
    }
    let side = |&[zero, one]: &[usize; 2]| {
        let most = zero.max(one);
        (most > 0 && most as f64 >= ON_ONE_SIDE * (zero + one) as f64).then_some(u32::from(one > zero))
    };
    counts.iter().map(side).collect()
}
