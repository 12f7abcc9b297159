//! The probe: from latencies to a channel hash that holds.
//!
//! The side is solved first, from few SMs and many lines ([`crate::side`]); then slices and channels, from all SMs
//! ([`crate::slices`]). What pages can be coloured by follows from those levels that hold ([`crate::colors`]).

use crate::colors::{self, NoColors, PageColors};
use crate::gf2::Span;
use crate::lines::{self, LINE, Line};
use crate::slices::{self, Slices};
use crate::solve::{Solved, Unsolved};
use crate::survey::Memory;
use crate::{Bench, BenchError, Function, GpuInfo, Kind, Level, Mask, Measurement, Structure, side};
use core::fmt;
use core::ops::Range;
use fastrand::Rng;
use std::time::Instant;
use units::{Bytes, Nanos, PhysAddr};

/// How thorough a probe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many lines the side is solved from.
    pub samples: usize,
    /// How many other lines it is checked on.
    pub held_out: usize,
    /// How often each of them is timed from each SM; the least latency counts.
    pub reps: u32,
    /// Whether slices and channels are looked for beside the side: that takes seconds instead of a part of one.
    pub slices: bool,
    /// Chooses the lines: the same seed on the same memory measures the same ones.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { samples: 8_192, held_out: 65_536, reps: 8, slices: true, seed: 1 }
    }
}

/// What a probe is about to do, or has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It will time so many lines.
    Measuring(usize),
    /// It has timed so many of them.
    Measured(usize),
    /// It sorts so many lines into slices.
    Sorting(usize),
    /// It solves for a function, from so many lines.
    Solving(usize),
    /// It finds the sides of so many SMs.
    PlacingSms(u32),
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Progress::Measuring(_) | Progress::Measured(_) => f.write_str("timing lines"),
            Progress::Sorting(lines) => write!(f, "sorting {lines} lines into slices"),
            Progress::Solving(lines) => write!(f, "solving the hash from {lines} lines"),
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
    /// A level holds, but no page keeps to a part of its classes.
    #[error("the hash of the {level}s is known, but {reason}")]
    Pages {
        /// The level.
        level: &'static str,
        /// Why.
        reason: NoColors,
    },
    /// No function of the slices holds.
    #[error(
        "the best function of the {level}s, a {kind}, foretells {:.2} % of {held_out} other units only, 99.9 % are \
         needed", 100.0 * .accuracy
    )]
    Unusable {
        /// The level.
        level: &'static str,
        /// What the function is.
        kind: Kind,
        /// The share of lines that it foretells.
        accuracy: f64,
        /// Of how many units.
        held_out: usize,
    },
    /// There is not even a lookup.
    #[error("no function of the {level}s was found")]
    Unsolved {
        /// The level.
        level: &'static str,
    },
}

/// What a probe rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// How many lines the side was to be solved from.
    pub samples: usize,
    /// How many of them were left out because SMs disagreed.
    pub contested: usize,
    /// How many other lines it was checked on.
    pub held_out: usize,
    /// How many of those were timed once more with four times the tries.
    pub measured_again: usize,
    /// How often each line was timed from each SM.
    pub reps: u32,
    /// How many lines were timed to find slices and channels; 0 where none were found.
    pub slice_lines: usize,
    /// How many of the units among them look like no slice that was found; no accuracy counts them.
    pub strange_units: usize,
    /// How much memory the lines were taken from.
    pub memory: Bytes,
    /// The highest line timed; whether bits above it count is not known.
    pub highest: PhysAddr,
}

/// What the L2 is made of, as far as latencies show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// The structure of some windows of lines.
    pub structure: Structure,
    /// The latencies that it was found in, in sixteenths of a cycle.
    pub latencies: Measurement,
    /// The lines of these.
    pub lines: Vec<PhysAddr>,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Of which GPU.
    pub gpu: GpuInfo,
    /// The levels of the channel hash, the coarsest first; those that do not hold are marked as not usable.
    pub levels: Vec<Level>,
    /// How many colours tenants' pages can have: see [`Finding::color_level`].
    pub colors: u32,
    /// The level that they follow: the side where there is one, as a tenant's SMs have to be of its memory's side; else
    /// the one with the most colours.
    pub color_level: Option<usize>,
    /// The page size of these colours, the largest at which a page has one.
    pub page: Bytes,
    /// The colours of every usable level at every page size.
    pub pages: Vec<PageColors>,
    /// Why there is only one colour, where there is.
    pub uncolorable: Option<Uncolorable>,
    /// The near side of each SM by `%smid`; `None` where it is not known, empty where there are no sides.
    pub sm_side: Vec<Option<u32>>,
    /// What the L2 is made of; `None` where no slices could be told apart.
    pub layout: Option<Layout>,
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
    /// Some address bits do not vary in the memory at hand.
    #[error(
        "only {free} of the GPU's {vram} can be looked at, and {hidden} of the {bits} address bits that may count do not \
         vary in it, so the hash would hold for a part of the memory only: end the programs that use the GPU, then \
         probe again"
    )]
    TooFull {
        /// How much is at hand.
        free: Bytes,
        /// How much there is.
        vram: Bytes,
        /// How many independent bits cannot be seen.
        hidden: usize,
        /// How many there are.
        bits: usize,
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
    let memory = Memory::of(bench.memory());
    check_reach(&chosen, memory.total(), bench.vram())?;
    let mut finding = Finding {
        gpu: bench.gpu().clone(),
        levels: Vec::new(),
        colors: 1,
        color_level: None,
        page: Bytes::mib(2),
        pages: Vec::new(),
        uncolorable: None,
        sm_side: Vec::new(),
        layout: None,
        effort: Effort {
            samples: options.samples,
            contested: 0,
            held_out: options.held_out,
            measured_again: 0,
            reps: options.reps,
            slice_lines: 0,
            strange_units: 0,
            memory: memory.total(),
            highest: chosen.iter().map(|line| line.phys).max().unwrap_or_default(),
        },
        took: Nanos::ZERO,
    };
    match side::level(bench, options, &chosen, &mut finding.effort, &mut rng, progress)? {
        Err(reason) => finding.uncolorable = Some(reason),
        Ok(level) => {
            finding.sm_side = side::place_sms(bench, level.masks[0], &chosen, options.reps, progress)?;
            finding.levels.push(level);
        }
    }
    let slices = if options.slices { slices::find(bench, &memory, &mut rng, progress)? } else { None };
    if let Some(slices) = slices {
        finding.add(slices);
    }
    finding.color(&memory.ranges(), &mut rng);
    finding.took = started.elapsed().into();
    Ok(finding)
}

/// Refuses memory in which not all address bits vary: a mask found in it may be another's sum with bits that it hides.
fn check_reach(chosen: &[Line], free: Bytes, vram: Bytes) -> Result<(), ProbeError> {
    let first = chosen[0].phys.get();
    let seen = chosen.iter().map(|line| line.phys.get() ^ first).collect::<Span>().rank();
    let bits = vram.get().next_power_of_two().ilog2().saturating_sub(LINE.get().ilog2()) as usize;
    let hidden = bits.saturating_sub(seen);
    if hidden > 0 { Err(ProbeError::TooFull { free, vram, hidden, bits }) } else { Ok(()) }
}

impl Finding {
    /// Adds the levels of slices and channels.
    fn add(&mut self, slices: Slices) {
        (self.effort.slice_lines, self.effort.strange_units) = (slices.timed, slices.strange);
        let held_out = slices.held_out;
        let found = slices.channels.map(|found| ("channel", found)).into_iter().chain([("slice", slices.slices)]);
        for (name, found) in found {
            let tried = what_was_tried(&found);
            let reason = match found {
                Ok(found) => {
                    let Solved { function, accuracy, usable, .. } = found;
                    let kind = function.kind();
                    let mut level = Level::new(name, function, accuracy, held_out as u64);
                    level.tried = if usable { String::new() } else { tried };
                    self.levels.push(level);
                    (!usable).then_some(Uncolorable::Unusable { level: name, kind, accuracy, held_out })
                }
                Err(_) => Some(Uncolorable::Unsolved { level: name }),
            };
            // What hinders the finest level says most.
            self.uncolorable = reason.or(self.uncolorable);
        }
        self.layout =
            Some(Layout { structure: slices.structure, latencies: slices.windows.0, lines: slices.windows.1 });
    }

    /// Finds the colours of pages.
    fn color(&mut self, memory: &[Range<PhysAddr>], rng: &mut Rng) {
        let mut best: Option<(usize, u32, Bytes)> = None;
        let mut none = None;
        for (at, level) in self.levels.iter_mut().enumerate().filter(|(_, level)| level.usable) {
            let Some(function) = level.function() else { continue };
            let coloring = colors::colors(&function, memory, rng);
            self.pages.extend(coloring.sizes.iter().map(|pages| PageColors::of(level.name.clone(), pages)));
            match coloring.auto {
                Ok(size) => {
                    let pages = &coloring.sizes[size];
                    let (colors, page) = (pages.colors.len() as u32, pages.page);
                    if !matches!(function, Function::Xor(_)) {
                        level.color_of_class = pages.colors_of_classes(function.classes());
                    }
                    let better = best.is_none_or(|(of, most, largest)| {
                        self.sm_side.is_empty() && of < at && (colors, page) > (most, largest)
                    });
                    best = if better { Some((at, colors, page)) } else { best };
                }
                Err(reason) => none = Some(Uncolorable::Pages { level: level_name(&level.name), reason }),
            }
        }
        match best {
            Some((level, colors, page)) => {
                (self.color_level, self.colors, self.page, self.uncolorable) = (Some(level), colors, page, None);
            }
            None => self.uncolorable = none.or(self.uncolorable),
        }
    }
}

fn level_name(name: &str) -> &'static str {
    ["side", "channel", "slice"].into_iter().find(|&known| known == name).unwrap_or("level")
}

fn what_was_tried(found: &Result<Solved, Unsolved>) -> String {
    let tried = match found {
        Ok(solved) => &solved.tried,
        Err(unsolved) => &unsolved.tried,
    };
    let outcome = |outcome: &Result<f64, _>| match outcome {
        Ok(share) => format!("foretells {:.3} %", 100.0 * share),
        Err(reason) => format!("{reason}"),
    };
    let tried = tried.iter().map(|tried| format!("{}: {}", tried.method, outcome(&tried.outcome)));
    tried.collect::<Vec<String>>().join("; ")
}
