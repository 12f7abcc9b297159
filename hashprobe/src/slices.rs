//! The slices of an L2, and what chooses among them.
//!
//! 1. Whole windows from all over the memory are timed from every SM; [`structure()`] finds the slices, the unit in
//!    which they alternate, and which of them share units.
//! 2. Units anywhere are timed and sorted by [`Fingerprints`].
//!    Slices that look alike are told apart by parities ([`crate::twins`]), where these are known.
//! 3. Where parities of address bits tell all slices apart, that is all. Otherwise stretches of units in a row are timed
//!    as well, and units that differ in one or two bits while no parity changes ([`survey::flips`]): what the methods
//!    for other shapes need.
//! 4. [`solve()`] finds the function of the slices and, where several share a unit, that of the sets of slices that
//!    units connect: the channels. Units kept out of the solving tell how good they are.

use crate::effort::Progress;
use crate::fingerprints::Fingerprints;
use crate::passes::{self, Tries};
use crate::solve::{self, Forms, Sample, Solved, Unsolved};
use crate::survey::{self, Memory, PairsOf};
use crate::twins::Twins;
use crate::{Bench, BenchError, Measurement, Structure, structure};
use fastrand::Rng;
use units::{Bytes, DeviceVa, PhysAddr};

/// How many windows, and how long.
const WINDOWS: (usize, Bytes) = (16, Bytes::kib(128));
/// How often the lines of windows are timed: slices are told apart by these.
const WINDOW_TRIES: Tries = Tries { passes: 12, reps: 4 };
/// How often other lines are timed.
const UNIT_TRIES: Tries = Tries { passes: 4, reps: 4 };
/// How many units anywhere the functions are solved from, and how many others they are checked on.
const UNITS: (usize, usize) = (6_144, 4_096);
/// How many stretches of units in a row, and how long.
const STRETCHES: (usize, Bytes) = (128, Bytes::kib(64));
/// How many of the units are flipped.
const POOL: usize = 1_536;
/// How many pairs for each direction of two bits.
const PAIRS_OF_TWO: usize = 48;
/// How many lines of known slices go with each measurement of others.
const ANCHORS: usize = 384;

/// The findings about slices.
pub(crate) struct Slices {
    /// The structure of the windows.
    pub(crate) structure: Structure,
    /// The latencies that it was found in, in units of 1/[`passes::PER_CYCLE`] cycles, and the lines.
    pub(crate) windows: (Measurement, Vec<PhysAddr>),
    /// The function of the channels; `None` where they are no other than the slices or the sides.
    pub(crate) channels: Option<Result<Solved, Unsolved>>,
    /// The function of the slices.
    pub(crate) slices: Result<Solved, Unsolved>,
    /// How many lines were timed.
    pub(crate) timed: usize,
    /// How many units among them fit no slices.
    pub(crate) strange: usize,
    /// How many units the functions were checked on.
    pub(crate) held_out: usize,
}

/// Times lines and sorts them; says what it does.
struct Survey<'a> {
    bench: &'a mut dyn Bench,
    memory: &'a Memory,
    progress: &'a mut dyn FnMut(Progress),
    timed: usize,
    strange: usize,
}

impl Survey<'_> {
    fn time(&mut self, lines: &[PhysAddr], tries: Tries) -> Result<Measurement, BenchError> {
        let places: Vec<DeviceVa> =
            lines.iter().filter_map(|&line| self.memory.line(line)).map(|line| line.va).collect();
        let progress = &mut *self.progress;
        progress(Progress::Measuring(lines.len() * tries.passes as usize));
        self.timed += lines.len();
        passes::average(self.bench, &places, tries, &mut |lines| progress(Progress::Measured(lines)))
    }

    /// The samples of units: one of each line that begins at one of their offsets.
    fn sort(
        &mut self,
        units: &[PhysAddr],
        offsets: &[Bytes],
        anchors: &[(PhysAddr, u32)],
        fingerprints: &Fingerprints,
    ) -> Result<Vec<Sample>, BenchError> {
        let known: Vec<u32> = anchors.iter().map(|&(_, slice)| slice).collect();
        let whole = |&unit: &PhysAddr| offsets.iter().map(move |&offset| unit + offset);
        let lines: Vec<PhysAddr> = anchors.iter().map(|&(line, _)| line).chain(units.iter().flat_map(whole)).collect();
        let measurement = self.time(&lines, UNIT_TRIES)?;
        let scaled = fingerprints.scale(&measurement, lines.len(), &known);
        let sorted = fingerprints.units(&scaled, offsets.len());
        self.strange += sorted.iter().filter(|slices| slices.is_none()).count();
        let of_unit = |(unit, slices): (&PhysAddr, Option<Vec<u32>>)| {
            let slices = slices.unwrap_or_default();
            whole(unit).zip(slices).map(|(at, class)| Sample { at, class }).collect::<Vec<Sample>>()
        };
        Ok(units.iter().zip(sorted).flat_map(of_unit).collect())
    }
}

/// Finds the slices and solves their functions. `None` where no structure shows.
pub(crate) fn find(
    bench: &mut dyn Bench,
    memory: &Memory,
    rng: &mut Rng,
    progress: &mut dyn FnMut(Progress),
) -> Result<Option<Slices>, BenchError> {
    let mut survey = Survey { bench, memory, progress, timed: 0, strange: 0 };
    let windows = memory.blocks(WINDOWS.0, WINDOWS.1, rng);
    let lines: Vec<PhysAddr> = windows.iter().flat_map(|&window| lines_of(window, WINDOWS.1)).collect();
    let measurement = survey.time(&lines, WINDOW_TRIES)?;
    (survey.progress)(Progress::Sorting(lines.len()));
    let Ok(mut found) = structure(&measurement, &lines, rng.u64(..)) else { return Ok(None) };
    // Slices that are no more than the sides are none.
    if found.slices < if found.sides.is_some() { 3 } else { 2 } {
        return Ok(None);
    }
    let fingerprints = Fingerprints::of(&measurement, &found.look_alikes, found.unit);
    let anchors = anchors(&found, &lines, rng);

    // Blocks of 4 KiB from all parts, of each a unit: so bits below 4 KiB vary as well.
    let anywhere = memory.blocks(UNITS.0 + UNITS.1, Bytes::kib(4).max(found.unit), rng);
    let inside = Bytes::kib(4).get().div_ceil(found.unit.get());
    let anywhere: Vec<PhysAddr> =
        anywhere.into_iter().map(|block| block + Bytes::new(rng.u64(..inside) * found.unit.get())).collect();
    let (held_out, train) = anywhere.split_at(anywhere.len() * UNITS.1 / (UNITS.0 + UNITS.1));
    let mut sort = |units: &[PhysAddr]| survey.sort(units, &found.offsets, &anchors, &fingerprints);
    let mut held_out = sort(held_out)?;
    let mut random = sort(train)?;
    let alike = &found.look_alikes;
    let twins = Twins::by_parities(&random, alike.count, found.unit, rng);
    let mut chosen = Vec::new();
    if !twins.forms.as_ref().is_some_and(Forms::tell_all_apart) {
        let units = (STRETCHES.1.get() / found.unit.get()) as usize;
        let stretches = memory.blocks(STRETCHES.0, STRETCHES.1, rng);
        let in_a_row = |block: PhysAddr| (0..units as u64).map(move |at| block + Bytes::new(at * found.unit.get()));
        chosen.extend(sort(&stretches.into_iter().flat_map(in_a_row).collect::<Vec<PhysAddr>>())?);
        let masks: Vec<u64> = twins.forms.iter().flat_map(|forms| &forms.hash.masks).map(|mask| mask.0).collect();
        let pool = &train[..train.len().min(POOL)];
        let pairs = PairsOf { one: (4 * found.slices).clamp(96, POOL / 2), two: PAIRS_OF_TWO };
        chosen.extend(sort(&survey::flips(memory, pool, found.unit, &masks, pairs, rng))?);
    }
    let twins = twins.and_by_partners(&[&alike.samples[..], &random, &chosen].concat());
    for samples in [&mut held_out, &mut random, &mut chosen] {
        twins.relabel(samples);
    }
    found.take_over(&twins, &lines);
    (survey.progress)(Progress::Solving(random.len() + chosen.len()));
    let slices = solve::solve(&random, &chosen, &held_out, rng);
    let channels = channels_of(&found).map(|channel_of| {
        let of = |samples: &[Sample]| -> Vec<Sample> {
            samples.iter().map(|sample| Sample { class: channel_of[sample.class as usize], ..*sample }).collect()
        };
        solve::solve(&of(&random), &of(&chosen), &of(&held_out), rng)
    });
    let (timed, strange) = (survey.timed, survey.strange);
    Ok(Some(Slices {
        structure: found,
        windows: (measurement, lines),
        channels,
        slices,
        timed,
        strange,
        held_out: held_out.len(),
    }))
}

fn lines_of(window: PhysAddr, bytes: Bytes) -> impl Iterator<Item = PhysAddr> {
    (0..bytes.get()).step_by(crate::lines::LINE.as_usize()).map(move |offset| window + Bytes::new(offset))
}

/// Lines of known clusters, of all alike.
fn anchors(found: &Structure, lines: &[PhysAddr], rng: &mut Rng) -> Vec<(PhysAddr, u32)> {
    let alike = &found.look_alikes;
    let mut known: Vec<(PhysAddr, u32)> =
        lines.iter().zip(&alike.of_line).filter_map(|(&line, cluster)| cluster.map(|of| (line, of))).collect();
    rng.shuffle(&mut known);
    let mut left = vec![ANCHORS.div_ceil(alike.count); alike.count];
    known.retain(|&(_, cluster)| {
        let keep = left[cluster as usize] > 0;
        left[cluster as usize] -= usize::from(keep);
        keep
    });
    known
}

/// By slice: its channel, which is the set of slices that units connect; `None` where that divides nothing that slices
/// or sides do not.
fn channels_of(found: &Structure) -> Option<Vec<u32>> {
    let sides = if found.sides.is_some() { 2 } else { 1 };
    let divides = found.groups.len() > sides && found.groups.len() < found.slices;
    let mut of_slice = vec![u32::MAX; found.slices];
    for (number, group) in found.groups.iter().enumerate() {
        group.iter().for_each(|&slice| of_slice[slice as usize] = number as u32);
    }
    (divides && !of_slice.contains(&u32::MAX)).then_some(of_slice)
}
