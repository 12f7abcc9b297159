//! The side of a line: near for some SMs, far for the others.
//!
//! A GPU whose L2 has two sides answers an atomic faster where the line's side is the SM's own: on an H200 256 to
//! 320 cycles against 432 to 528. Which side a line is on is the parity of some physical address bits; there,
//! `0x1c_bd6a_b000`. So
//!
//! 1. random lines from every part of the memory are timed from a few SMs;
//! 2. each SM's latencies are split into two humps, and the SMs vote on each line;
//! 3. `far = parity(address & mask) ^ c` is solved over GF(2) from the lines that no SM contests ([`gf2::fit`]); `c`
//!    tells only which side the first SM is on, so a colour is the parity without it;
//! 4. the mask is checked on other lines. Contested ones are timed once more with four times the tries, and count as
//!    wrong where SMs still disagree: nothing is left out of the accuracy;
//! 5. the near side of every SM is found.

use crate::effort::{Effort, Options, Progress};
use crate::gf2::{self, Equation};
use crate::lines::{self, Line};
use crate::refusal::{ProbeError, Uncolorable};
use crate::solve::USABLE;
use crate::vote::Vote;
use crate::{Bench, Function, Level, Mask, Measurement, XorHash, sm_sides};
use fastrand::Rng;
use units::DeviceVa;

/// How many blocks, on as many SMs, vote on a line.
const VOTERS: u32 = 8;
/// The address bits that may count: above a line, below 2^52.
const ADDRESS_BITS: u64 = (1 << 52) - lines::LINE.get();
/// The unknown that stands for which side the first SM is on.
const FIRST_SM: u64 = 1 << 63;
/// How many subsets of equations are tried: enough with 8 % of them wrong.
const TRIES: usize = 1_000;
/// How many lines of known side help to line up a second measurement with the first.
const ANCHORS: usize = 256;
/// How many lines of each side place the SMs.
const PLACING_LINES: usize = 128;

/// Solves the side from the first lines and checks it on the rest.
pub(crate) fn level(
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
    progress(Progress::Measured(chosen.len()));
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
    if accuracy < USABLE {
        return Ok(Err(Uncolorable::Inaccurate { mask, accuracy, held_out: options.held_out }));
    }
    let function = Function::Xor(XorHash { masks: vec![mask] });
    Ok(Ok(Level::new("side", function, accuracy, options.held_out as u64)))
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
    // Other SMs may answer this time, so lines of known side say which of their labels is which.
    let anchors: Vec<usize> = (0..options.samples).filter(|&i| !vote.contested[i]).take(ANCHORS).collect();
    let again: Vec<usize> = anchors.iter().chain(&contested).copied().collect();
    let places: Vec<Line> = again.iter().map(|&i| chosen[i]).collect();
    progress(Progress::Measuring(places.len()));
    let measurement = measure(bench, &places, options.reps.saturating_mul(4))?;
    progress(Progress::Measured(places.len()));
    let Ok(second) = Vote::of(&measurement, places.len()) else { return Ok(contested.len()) };
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

/// The near side of every SM.
pub(crate) fn place_sms(
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
