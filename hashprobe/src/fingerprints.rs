//! Which slice a line is of, by the latencies that lines of known slices have.
//!
//! [`crate::structure`] sorts the lines of a few windows without knowing anything. With what it found, lines anywhere are
//! sorted one by one: a line is of the slice whose usual latencies it is nearest to. Where two slices alternate in a
//! unit, a line of each is timed, and the two that are known to share units and fit best together are taken. Slices that
//! look alike to every SM have one fingerprint; [`crate::twins`] tells them apart.

use crate::points::median;
use crate::structure::LookAlikes;
use crate::{Measurement, ring};
use std::collections::BTreeMap;
use units::Bytes;

/// How far off a latency counts, in units of the noise.
const CAP: f32 = 8.0;
/// Of so many SMs one shows which slices are near, and so many slices are then looked at from all.
const FEW_SMS: usize = 6;
const NEAREST: usize = 15;
/// How many times as far as others a fingerprint may be from its slice's.
const STRANGE: f32 = 2.5;
/// The most that an SM's latencies may differ from the line through known ones, in units of its noise.
const FITS: f32 = 3.0;

/// The usual latencies of each slice.
#[derive(Clone, Debug)]
pub(crate) struct Fingerprints {
    /// Which SMs.
    smids: Vec<u32>,
    /// By slice, then by SM; empty for a slice without lines.
    centres: Vec<Vec<f32>>,
    /// By SM.
    noise: Vec<f32>,
    /// The median distance of a line from its slice.
    usual: f32,
    /// Which slices share units.
    pairs: Vec<(u32, u32)>,
}

/// Latencies of other lines, brought to the scale of the first ones.
pub(crate) struct Scaled {
    /// By line, then by SM.
    rows: Vec<Vec<f32>>,
    /// By SM: one over its noise, or 0 for an SM that did not answer.
    weights: Vec<f32>,
}

impl Fingerprints {
    /// The fingerprints of the clusters that were found in a measurement; `unit` is the size of a unit.
    pub(crate) fn of(measurement: &Measurement, found: &LookAlikes, unit: Bytes) -> Fingerprints {
        let lines = found.of_line.len();
        let mut members = vec![Vec::new(); found.count];
        for (line, cluster) in found.of_line.iter().enumerate() {
            members.get_mut(cluster.map_or(usize::MAX, |of| of as usize)).into_iter().for_each(|of| of.push(line));
        }
        let mut centres = vec![Vec::new(); found.count];
        let mut noise = Vec::new();
        for row in measurement.cycles.chunks_exact(lines) {
            let mut apart = Vec::with_capacity(lines);
            for (centre, members) in centres.iter_mut().zip(&members).filter(|(_, members)| !members.is_empty()) {
                let mut cycles: Vec<f32> = members.iter().map(|&line| row[line] as f32).collect();
                let middle = trimmed_mean(&mut cycles);
                apart.extend(cycles.iter().map(|cycles| (cycles - middle).abs()));
                centre.push(middle);
            }
            noise.push(1.4826 * if apart.is_empty() { 1.0 } else { median(&mut apart) }.max(0.25));
        }
        let pairs = ring::pairs(&ring::units(&found.samples, unit)).into_keys();
        let pairs = pairs.flat_map(|(a, b)| [(a, b), (b, a)]).collect();
        let mut fingerprints =
            Fingerprints { smids: measurement.smids.clone(), centres, noise, usual: f32::INFINITY, pairs };
        let step = lines.div_ceil(1_024).max(1);
        let weights = fingerprints.noise.iter().map(|noise| 1.0 / noise).collect();
        let own = Scaled { rows: columns(measurement, lines, step), weights };
        let mut nearest: Vec<f32> = (0..own.rows.len()).map(|line| fingerprints.nearest(&own, line).1).collect();
        fingerprints.usual = if nearest.is_empty() { f32::INFINITY } else { median(&mut nearest) };
        fingerprints
    }

    /// Brings latencies to the scale of the fingerprints, by lines of known slices at the beginning: an SM's clock may
    /// have changed meanwhile, and SMs that do not follow a line are left out.
    pub(crate) fn scale(&self, measurement: &Measurement, lines: usize, anchors: &[u32]) -> Scaled {
        let rows: BTreeMap<u32, &[u32]> =
            measurement.smids.iter().copied().zip(measurement.cycles.chunks_exact(lines)).collect();
        let mut scaled = vec![vec![0.0; self.smids.len()]; lines - anchors.len()];
        let mut weights = vec![0.0; self.smids.len()];
        for (at, smid) in self.smids.iter().enumerate() {
            let Some(row) = rows.get(smid) else { continue };
            let known = anchors.iter().zip(*row).filter_map(|(&slice, &cycles)| {
                self.centres[slice as usize].get(at).map(|&centre| (centre, cycles as f32))
            });
            let known: Vec<(f32, f32)> = known.collect();
            let Some((slope, shift)) = line_through(&known, FITS * self.noise[at]) else { continue };
            weights[at] = 1.0 / self.noise[at];
            for (line, &cycles) in scaled.iter_mut().zip(&row[anchors.len()..]) {
                line[at] = (cycles as f32 - shift) / slope;
            }
        }
        Scaled { rows: scaled, weights }
    }

    /// The slices of the lines of units, `positions` lines each, one after the other; `None` where they fit no slices.
    pub(crate) fn units(&self, scaled: &Scaled, positions: usize) -> Vec<Option<Vec<u32>>> {
        let units = scaled.rows.len() / positions;
        let first = |unit: usize| unit * positions;
        (0..units)
            .map(|unit| match positions {
                2 => self.pair(scaled, first(unit)),
                _ => (first(unit)..first(unit + 1))
                    .map(|line| Some(self.nearest(scaled, line)).filter(|&(_, far)| self.fits(far)))
                    .map(|found| found.map(|(slice, _)| slice))
                    .collect(),
            })
            .collect()
    }

    fn pair(&self, scaled: &Scaled, line: usize) -> Option<Vec<u32>> {
        let (first, second) = (self.distances(scaled, line), self.distances(scaled, line + 1));
        let of = |&(a, b): &(u32, u32)| (first[a as usize], second[b as usize]);
        let sum = |pair: &(u32, u32)| of(pair).0 + of(pair).1;
        let best = self.pairs.iter().min_by(|a, b| sum(a).total_cmp(&sum(b)))?;
        let (one, other) = of(best);
        (self.fits(one) && self.fits(other)).then(|| vec![best.0, best.1])
    }

    fn fits(&self, distance: f32) -> bool {
        distance <= STRANGE * self.usual
    }

    fn nearest(&self, scaled: &Scaled, line: usize) -> (u32, f32) {
        let distances = (0..).zip(self.distances(scaled, line));
        distances.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, f32::INFINITY))
    }

    /// The distance to each slice; infinite for those that a few of the SMs show to be none of the nearest.
    fn distances(&self, scaled: &Scaled, line: usize) -> Vec<f32> {
        let slices = 0..self.centres.len();
        let rough: Vec<f32> = slices.clone().map(|slice| self.distance(scaled, line, slice, FEW_SMS)).collect();
        let mut sorted = rough.clone();
        let at = NEAREST.min(sorted.len() - 1);
        let most = *sorted.select_nth_unstable_by(at, f32::total_cmp).1;
        let exact = |slice: usize| match rough[slice] <= most {
            true => self.distance(scaled, line, slice, 1),
            false => f32::INFINITY,
        };
        slices.map(exact).collect()
    }

    /// The root of the mean square over every `step`th SM, in units of the noise, each held at [`CAP`].
    fn distance(&self, scaled: &Scaled, line: usize, slice: usize, step: usize) -> f32 {
        let centre = &self.centres[slice];
        let answering = scaled.weights.iter().step_by(step).filter(|&&weight| weight > 0.0).count();
        if centre.is_empty() || answering == 0 {
            return f32::INFINITY;
        }
        let square =
            |((cycles, centre), weight): ((&f32, &f32), &f32)| ((cycles - centre) * weight).powi(2).min(CAP * CAP);
        let places = scaled.rows[line].iter().zip(centre).zip(&scaled.weights);
        let sum: f32 = if step == 1 { places.map(square).sum() } else { places.step_by(step).map(square).sum() };
        (sum / answering as f32).sqrt()
    }
}

/// Every `step`th line of a measurement, as latencies from every SM.
fn columns(measurement: &Measurement, lines: usize, step: usize) -> Vec<Vec<f32>> {
    let column = |line| measurement.cycles.chunks_exact(lines).map(|row| row[line] as f32).collect();
    (0..lines).step_by(step).map(column).collect()
}

/// The mean of the middle half.
fn trimmed_mean(values: &mut [f32]) -> f32 {
    values.sort_unstable_by(f32::total_cmp);
    let quarter = values.len() / 4;
    let middle = &values[quarter..values.len() - quarter];
    middle.iter().sum::<f32>() / middle.len() as f32
}

/// Slope and shift of the line through most of some points; `None` where the median is further from it than `far`.
fn line_through(points: &[(f32, f32)], far: f32) -> Option<(f32, f32)> {
    let mut kept = points.to_vec();
    let mut line = None;
    for _ in 0..3 {
        if kept.len() < 8 {
            return None;
        }
        let n = kept.len() as f32;
        let (x, y) = kept.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / n, b + y / n));
        let (xx, xy) = kept.iter().fold((0.0, 0.0), |(a, b), p| (a + (p.0 - x).powi(2), b + (p.0 - x) * (p.1 - y)));
        // One slice alone gives no slope.
        let slope = if xx > 0.0 { xy / xx } else { 1.0 };
        if !(0.25..4.0).contains(&slope) {
            return None;
        }
        let shift = y - slope * x;
        let off = |p: &(f32, f32)| (p.1 - slope * p.0 - shift).abs();
        let mut all: Vec<f32> = points.iter().map(off).collect();
        let middle = median(&mut all);
        line = (middle <= far).then_some((slope, shift));
        kept = points.iter().copied().filter(|point| off(point) <= 4.0 * middle.max(0.1)).collect();
    }
    line
}
