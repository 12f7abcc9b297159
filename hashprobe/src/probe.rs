//! The probe: from latencies to a channel hash that holds.
//!
//! A GPU whose L2 has two sides answers an atomic faster where the line's side is the SM's own: on an H200 256 to
//! 320 cycles against 432 to 528. Which side a line is on is the parity of some physical address bits; there,
//! `0x1c_bd6a_b000`. So the probe
//!
//! 1. times random lines from every part of the memory, from a few SMs ([`Bench`]);
//! 2. splits each SM's latencies into two humps and lets the SMs vote on each line;
//! 3. solves `far = parity(address & mask) ^ c` over GF(2) from the lines that no SM contests ([`gf2::fit`]); `c`
//!    tells only which side the first SM is on, so a colour is the parity without it;
//! 4. checks the mask on other lines. Contested ones are timed once more with four times the tries, and count as
//!    wrong where SMs still disagree: nothing is left out of the accuracy;
//! 5. finds the near side of every SM.

use crate::gf2::{self, Equation};
use crate::lines::{self, Line};
use crate::vote::Vote;
use crate::{Bench, BenchError, GpuInfo, Kind, Level, Mask, Measurement, sm_sides};
use core::fmt;
use fastrand::Rng;
use std::time::Instant;
use units::{Bytes, DeviceVa, Nanos, PhysAddr};

/// How thorough a probe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many lines the hash is solved from.
    pub samples: usize,
    /// How many other lines it is checked on.
    pub held_out: usize,
    /// How often each line is timed from each SM; the least latency counts.
    pub reps: u32,
    /// Chooses the lines: the same seed on the same memory measures the same ones.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { samples: 8_192, held_out: 65_536, reps: 8, seed: 1 }
    }
}

/// What a probe is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Time so many lines.
    Measuring(usize),
    /// Solve for the mask, from so many lines.
    Solving(usize),
    /// Time so many contested lines once more.
    MeasuringAgain(usize),
    /// Find the sides of so many SMs.
    PlacingSms(u32),
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Progress::Measuring(lines) => write!(f, "timing {lines} lines"),
            Progress::Solving(lines) => write!(f, "solving the hash from {lines} lines"),
            Progress::MeasuringAgain(lines) => write!(f, "timing {lines} contested lines again"),
            Progress::PlacingSms(sms) => write!(f, "finding the sides of {sms} SMs"),
        }
    }
}

/// Why a GPU's pages have only one colour.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Uncolorable {
    /// The latencies are not of two kinds.
    #[error(
        "the latencies form one group, not a near and a far one (separation {separation:.1}, 3 is needed): either the \
         L2 has one side, or other work disturbed the probe"
    )]
    OneHump {
        /// Distance of the groups' means over the sum of their standard deviations.
        separation: f64,
    },
    /// One kind of latency is rare.
    #[error("{:.0} % of the lines are far, but two sides hold about half each", 100.0 * .far_share)]
    Unbalanced {
        /// The share of far lines.
        far_share: f64,
    },
    /// Near and far lines differ from SM to SM.
    #[error("only {agreeing} of {sms} SMs agree on which lines belong together")]
    SmsDisagree {
        /// How many agree.
        agreeing: usize,
        /// How many were asked.
        sms: usize,
    },
    /// Near and far follow no XOR.
    #[error("near and far lines follow no XOR of physical address bits")]
    NoXor,
    /// The best mask does not hold.
    #[error("the best mask {mask} holds on {:.2} % of {held_out} other lines only, 99.9 % are needed", 100.0 * .accuracy)]
    Inaccurate {
        /// The mask.
        mask: Mask,
        /// The share of lines it holds on.
        accuracy: f64,
        /// Of how many.
        held_out: usize,
    },
    /// Colours alternate within the smallest page.
    #[error("sides alternate every {unit}, so that each 4 KiB page lies on both")]
    TooFine {
        /// How much is of one colour.
        unit: Bytes,
    },
}

/// What a probe rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// How many lines the hash was to be solved from.
    pub samples: usize,
    /// How many of them were left out because SMs disagreed.
    pub contested: usize,
    /// How many other lines it was checked on.
    pub held_out: usize,
    /// How many of those were timed once more with four times the tries.
    pub measured_again: usize,
    /// How often each line was timed from each SM.
    pub reps: u32,
    /// The highest line timed; whether bits above it count is not known.
    pub highest: PhysAddr,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Of which GPU.
    pub gpu: GpuInfo,
    /// The levels of the channel hash that are solved.
    pub levels: Vec<Level>,
    /// How many colours a page can have.
    pub colors: u32,
    /// Why that is only one, where it is.
    pub uncolorable: Option<Uncolorable>,
    /// The largest page size at which a page has one colour.
    pub page: Bytes,
    /// The near side of each SM by `%smid`; `None` where it is not known, empty where there are no sides.
    pub sm_side: Vec<Option<u32>>,
    /// What it rests on.
    pub effort: Effort,
    /// How long it took.
    pub took: Nanos,
}

/// Why a probe found nothing out.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The lines could not be timed.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The memory has fewer lines than asked for.
    #[error("the memory to probe has {lines} lines of 128 B but {wanted} are asked for: free memory, or ask for fewer")]
    TooLittleMemory {
        /// How many there are.
        lines: u64,
        /// How many are asked for.
        wanted: usize,
    },
    /// No lines are asked for.
    #[error("samples, held-out lines and tries must all be at least 1")]
    NothingAsked,
    /// A measurement has another shape than asked for.
    #[error("{cells} latencies came back where {blocks} times {lines} were asked for: this is a fault of the bench")]
    WrongShape {
        /// How many latencies came.
        cells: usize,
        /// How many blocks were asked for.
        blocks: u32,
        /// How many lines were asked for.
        lines: usize,
    },
}

/// How many blocks, on as many SMs, vote on a line.
const VOTERS: u32 = 8;
/// The address bits that may count: above a line, below 2^52.
const ADDRESS_BITS: u64 = (1 << 52) - lines::LINE.get();
/// The unknown that stands for which side the first SM is on.
const FIRST_SM: u64 = 1 << 63;
/// How many subsets of equations are tried: enough with 8 % of them wrong.
const TRIES: usize = 1_000;
/// The accuracy at which a mask counts as solved.
const SOLVED: f64 = 0.999;
/// How many lines of known side help to line up a second measurement with the first.
const ANCHORS: usize = 256;
/// How many lines of each side place the SMs.
const PLACING_LINES: usize = 128;
/// The page sizes that a GPU can map.
const PAGES: [Bytes; 3] = [Bytes::mib(2), Bytes::kib(64), Bytes::kib(4)];

/// Measures and solves the channel hash of a GPU. That a GPU has one colour is a finding, not an error.
pub fn probe(
    bench: &mut dyn Bench,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Finding, ProbeError> {
    let started = Instant::now();
    if options.samples == 0 || options.held_out == 0 || options.reps == 0 {
        return Err(ProbeError::NothingAsked);
    }
    let mut rng = Rng::with_seed(options.seed);
    let wanted = options.samples + options.held_out;
    let chosen = lines::choose(bench.memory(), wanted, &mut rng)
        .map_err(|lines| ProbeError::TooLittleMemory { lines, wanted })?;
    let mut finding = Finding {
        gpu: bench.gpu().clone(),
        levels: Vec::new(),
        colors: 1,
        uncolorable: None,
        page: PAGES[0],
        sm_side: Vec::new(),
        effort: Effort {
            samples: options.samples,
            contested: 0,
            held_out: options.held_out,
            measured_again: 0,
            reps: options.reps,
            highest: chosen.iter().map(|line| line.phys).max().unwrap_or_default(),
        },
        took: Nanos::ZERO,
    };
    match side_level(bench, options, &chosen, &mut finding.effort, &mut rng, progress)? {
        Err(reason) => finding.uncolorable = Some(reason),
        Ok(level) => {
            finding.sm_side = place_sms(bench, level.masks[0], &chosen, options.reps, progress)?;
            match PAGES.into_iter().find(|&page| page <= level.unit) {
                Some(page) => (finding.page, finding.colors) = (page, level.classes),
                None => finding.uncolorable = Some(Uncolorable::TooFine { unit: level.unit }),
            }
            finding.levels.push(level);
        }
    }
    finding.took = started.elapsed().into();
    Ok(finding)
}

/// Solves the side from the first lines and checks it on the rest.
fn side_level(
    bench: &mut dyn Bench,
    options: &Options,
    chosen: &[Line],
    effort: &mut Effort,
    rng: &mut Rng,
    progress: &mut dyn FnMut(Progress),
) -> Result<Result<Level, Uncolorable>, ProbeError> {
    progress(Progress::Measuring(chosen.len()));
    let mut vote = match Vote::of(&measure(bench, chosen, options.reps)?, chosen.len()) {
        Ok(vote) => vote,
        Err(reason) => return Ok(Err(reason)),
    };
    let equations: Vec<Equation> = (0..options.samples)
        .filter(|&i| !vote.contested[i])
        .map(|i| Equation { terms: chosen[i].phys.get() & ADDRESS_BITS | FIRST_SM, value: vote.far[i] })
        .collect();
    effort.contested = options.samples - equations.len();
    progress(Progress::Solving(equations.len()));
    let Some(fit) = gf2::fit(&equations, TRIES, rng) else { return Ok(Err(Uncolorable::NoXor)) };
    let mask = Mask(fit.unknowns & ADDRESS_BITS);
    if mask.0 == 0 {
        return Ok(Err(Uncolorable::NoXor));
    }

    effort.measured_again = measure_again(bench, options, chosen, &mut vote, progress)?;
    let right = (options.samples..chosen.len()).filter(|&i| {
        let equation = Equation { terms: chosen[i].phys.get() & ADDRESS_BITS | FIRST_SM, value: vote.far[i] };
        !vote.contested[i] && equation.holds(fit.unknowns)
    });
    let accuracy = right.count() as f64 / options.held_out as f64;
    if accuracy < SOLVED {
        return Ok(Err(Uncolorable::Inaccurate { mask, accuracy, held_out: options.held_out }));
    }
    Ok(Ok(Level {
        name: "side".to_owned(),
        unit: mask.unit(),
        kind: Kind::Xor,
        masks: vec![mask],
        classes: 2,
        accuracy,
        held_out: options.held_out as u64,
    }))
}

/// Times the contested held-out lines once more, with more tries, and takes the answers over; how many there were.
fn measure_again(
    bench: &mut dyn Bench,
    options: &Options,
    chosen: &[Line],
    vote: &mut Vote,
    progress: &mut dyn FnMut(Progress),
) -> Result<usize, ProbeError> {
    let contested: Vec<usize> = (options.samples..chosen.len()).filter(|&i| vote.contested[i]).collect();
    if contested.is_empty() {
        return Ok(0);
    }
    progress(Progress::MeasuringAgain(contested.len()));
    // Other SMs may answer this time, so lines of known side say which of their labels is which.
    let anchors: Vec<usize> = (0..options.samples).filter(|&i| !vote.contested[i]).take(ANCHORS).collect();
    let again: Vec<usize> = anchors.iter().chain(&contested).copied().collect();
    let places: Vec<Line> = again.iter().map(|&i| chosen[i]).collect();
    let Ok(second) = Vote::of(&measure(bench, &places, options.reps.saturating_mul(4))?, places.len()) else {
        return Ok(contested.len());
    };
    let same = anchors.iter().zip(&second.far).filter(|&(&i, &far)| vote.far[i] == far).count();
    let inverse = 2 * same < anchors.len();
    for (at, &i) in again.iter().enumerate().skip(anchors.len()) {
        vote.far[i] = second.far[at] != inverse;
        vote.contested[i] = second.contested[at];
    }
    Ok(contested.len())
}

fn measure(bench: &mut dyn Bench, lines: &[Line], reps: u32) -> Result<Measurement, ProbeError> {
    let places: Vec<DeviceVa> = lines.iter().map(|line| line.va).collect();
    let measurement = bench.latencies(VOTERS, &places, reps)?;
    let cells = measurement.cycles.len();
    if cells != VOTERS as usize * lines.len() {
        return Err(ProbeError::WrongShape { cells, blocks: VOTERS, lines: lines.len() });
    }
    Ok(measurement)
}

fn place_sms(
    bench: &mut dyn Bench,
    mask: Mask,
    chosen: &[Line],
    reps: u32,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Option<u32>>, ProbeError> {
    progress(Progress::PlacingSms(bench.gpu().sms));
    let of = |class: u32| -> Vec<DeviceVa> {
        let lines = chosen.iter().filter(|line| mask.parity(line.phys) == class);
        lines.map(|line| line.va).take(PLACING_LINES).collect()
    };
    Ok(sm_sides::find(bench, [&of(0), &of(1)], reps)?)
}
