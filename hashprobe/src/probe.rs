//! The probe: from latencies to a channel hash that holds.
//!
//! The side is solved first, from few SMs and many lines ([`crate::side`]); then slices and channels, from all SMs
//! ([`crate::slices`]). Which bits of a launch's mask are which TPCs, and of which side, follows in between
//! ([`crate::tpcs`]). What pages can be coloured by follows from those levels that hold ([`crate::colors`]).

use crate::colors::{self, PageColors};
use crate::effort::{Effort, Options, Progress};
use crate::gf2::Span;
use crate::lines::{self, LINE, Line};
use crate::refusal::{ProbeError, Uncolorable};
use crate::slices::{self, Slices};
use crate::solve::{Solved, Unsolved};
use crate::survey::Memory;
use crate::{Bench, Function, GpuInfo, Level, Measurement, NoMasks, NoTpcs, Structure, Tpcs, side, tpcs};
use core::ops::Range;
use fastrand::Rng;
use std::time::Instant;
use units::{Bytes, Nanos, PhysAddr};

/// The layout of the L2, as far as latencies show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// The structure of some windows of lines.
    pub structure: Structure,
    /// The latencies that it was found in, in sixteenths of a cycle.
    pub latencies: Measurement,
    /// The lines of these.
    pub lines: Vec<PhysAddr>,
}

/// The finding of a probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The GPU that was probed.
    pub gpu: GpuInfo,
    /// The levels of the channel hash, the coarsest first; those that do not hold are marked as not usable.
    pub levels: Vec<Level>,
    /// The number of colours that tenants' pages can have: see [`Finding::color_level`].
    pub colors: u32,
    /// The level that they follow: the side where there is one, as a tenant's SMs have to be of its memory's side; else
    /// the one with the most colours.
    pub color_level: Option<usize>,
    /// The page size of these colours, the largest at which a page has one.
    pub page: Bytes,
    /// The colours of every usable level at every page size.
    pub pages: Vec<PageColors>,
    /// The reason for which there is only one colour, if there is only one.
    pub uncolorable: Option<Uncolorable>,
    /// The near side of each SM by `%smid`; `None` where it is not known, empty where there are no sides.
    pub sm_side: Vec<Option<u32>>,
    /// The layout of the L2; `None` where no slices could be told apart.
    pub layout: Option<Layout>,
    /// The TPCs by their bits in a launch's mask, or the reason for which launches have none.
    pub tpcs: Result<Tpcs, NoTpcs>,
    /// The measurements that it rests on.
    pub effort: Effort,
    /// The time that it took.
    pub took: Nanos,
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
        tpcs: Err(NoTpcs::Masks(NoMasks::NotOffered)),
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
    progress(Progress::FindingTpcs);
    finding.tpcs = tpcs(bench, &finding.sm_side, &mut rng)?;
    let slices = if options.slices { slices::find(bench, &memory, &mut rng, progress)? } else { None };
    if let Some(slices) = slices {
        finding.add(slices);
    }
    finding.color(&memory.ranges(), &mut rng);
    finding.took = started.elapsed().into();
    Ok(finding)
}

/// The TPCs, where launches can be kept from them.
fn tpcs(bench: &mut dyn Bench, sm_side: &[Option<u32>], rng: &mut Rng) -> Result<Result<Tpcs, NoTpcs>, ProbeError> {
    let sms = bench.gpu().sms;
    match bench.masked()? {
        Ok(mut masked) => Ok(tpcs::find(&mut *masked, sms, sm_side, rng)?),
        Err(reason) => Ok(Err(reason.into())),
    }
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
