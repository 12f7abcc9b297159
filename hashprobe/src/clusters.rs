//! Sorts points into clusters without knowing how many there are.
//!
//! 1. *Divide*: a set of points is projected on its principal axis (power iteration), and cut where the projection
//!    is thin between two dense places. A set whose spread along that axis is no more than noise stays whole. Where no
//!    place is thin, the thinnest one is cut nevertheless: too many clusters are put right in the third step, too
//!    few are not (the order of Boley's principal direction divisive partitioning, 1998).
//! 2. *Refine*: each point goes to its nearest centre, each centre to the median of its points, a few times (Lloyd).
//! 3. *Merge*: of two neighbouring clusters, one half of the points draws the line through both centres and the
//!    other half is projected on it, so that the noise the centres have in common with their points cannot fake a
//!    gap. Where the projection has one hump, the two are one cluster.
//!
//! Distances are squares, each coordinate's held at [`CAP`] times the noise: a latency that met other work says no
//! more than that it is far off.

use crate::points::{Points, median};
use fastrand::Rng;

/// How many points the clusters are found from; all others are then put to the nearest.
const SAMPLE: usize = 3_072;
/// How many points of a set give its axis.
const AXIS_POINTS: usize = 768;
/// How many steps the power iteration takes.
const AXIS_STEPS: usize = 10;
/// How far off a coordinate counts, in units of the noise.
const CAP: f32 = 8.0;
/// The fewest points that are a cluster.
const FEWEST: usize = 4;
/// How many times as many points as it a usual cluster may have for one to be kept.
const SMALL: usize = 4;
/// How many clusters there may be at most on the way.
const MOST: usize = 1_024;
/// The width of a bin of a projection, in units of the noise.
const BIN: f32 = 0.5;
/// How dense a cut may be, as a share of the lower of the two densities beside it, for a set to be two.
const THIN: f32 = 0.5;
/// The least distance of two clusters over the sum of their standard deviations: a Gaussian cut in half has 1.3.
const SEPARATION: f32 = 2.0;
/// The variance along the axis, as a multiple of what noise gives, above which a set must be divided.
const EXCESS: f32 = 2.0;

/// Which cluster each point is of, and where the clusters lie.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Clusters {
    /// By point.
    pub(crate) of_point: Vec<u32>,
    /// How many clusters.
    pub(crate) count: usize,
    /// By point: the distances to the nearest and to the second nearest centre, as the root of the mean square over
    /// the coordinates, in units of the noise.
    pub(crate) distances: Vec<(f32, f32)>,
}

impl Clusters {
    /// The median distance to the nearest centre.
    pub(crate) fn usual_distance(&self) -> f32 {
        median(&mut self.distances.iter().map(|&(nearest, _)| nearest).collect::<Vec<f32>>())
    }
}

/// Finds the clusters.
pub(crate) fn find(points: &Points, rng: &mut Rng) -> Clusters {
    let mut sample: Vec<usize> = (0..points.len()).collect();
    rng.shuffle(&mut sample);
    sample.truncate(SAMPLE);
    let mut parts = merge(points, divide(points, sample.clone()));
    for _ in 0..4 {
        parts = refine(points, &sample, &parts);
        let before = parts.len();
        parts = merge(points, parts);
        if parts.len() == before {
            break;
        }
    }
    drop_small(&mut parts);
    let parts = refine(points, &sample, &parts);
    let centres: Vec<Vec<f32>> = parts.iter().map(|part| centre(points, part)).collect();
    let nearest = (0..points.len()).map(|point| nearest(points.of(point), &centres));
    let mean = |squares: f32| (squares / points.dims as f32).sqrt();
    let (of_point, distances) = nearest.map(|(at, first, second)| (at as u32, (mean(first), mean(second)))).unzip();
    Clusters { of_point, count: centres.len(), distances }
}

fn divide(points: &Points, all: Vec<usize>) -> Vec<Vec<usize>> {
    let (mut whole, mut open) = (Vec::new(), vec![all]);
    while let Some(set) = open.pop() {
        let room = whole.len() + open.len() < MOST && set.len() >= 2 * FEWEST;
        match room.then(|| cut(points, &set)).flatten() {
            Some((low, high)) => open.extend([low, high]),
            None => whole.push(set),
        }
    }
    whole
}

/// Cuts a set in two along its principal axis; `None` where it varies no more than noise does.
fn cut(points: &Points, set: &[usize]) -> Option<(Vec<usize>, Vec<usize>)> {
    let step = set.len().div_ceil(AXIS_POINTS);
    let some: Vec<usize> = set.iter().copied().step_by(step).collect();
    let middle = centre(points, &some);
    let capped = |point: usize| -> Vec<f32> {
        points.of(point).iter().zip(&middle).map(|(v, m)| (v - m).clamp(-CAP, CAP)).collect()
    };
    let residuals: Vec<Vec<f32>> = some.iter().map(|&point| capped(point)).collect();
    let norm = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>();
    let mut axis = residuals.iter().max_by(|a, b| norm(a).total_cmp(&norm(b)))?.clone();
    let mut variance = 0.0;
    for _ in 0..AXIS_STEPS {
        let length = norm(&axis).sqrt();
        if length == 0.0 {
            return None;
        }
        axis.iter_mut().for_each(|x| *x /= length);
        let mut next = vec![0.0; points.dims];
        for residual in &residuals {
            let along = dot(residual, &axis);
            for (sum, x) in next.iter_mut().zip(residual) {
                *sum += along * x;
            }
        }
        variance = dot(&next, &axis) / residuals.len() as f32;
        axis = next;
    }
    // The largest variance that noise alone has along any axis (Marchenko and Pastur 1967).
    let noise = (1.0 + (points.dims as f32 / residuals.len() as f32).sqrt()).powi(2);
    if variance <= EXCESS * noise {
        return None;
    }
    let length = norm(&axis).sqrt();
    let along: Vec<f32> = set.iter().map(|&point| dot(&capped(point), &axis) / length).collect();
    let (place, _) = thinnest(&along)?;
    let (low, high): (Vec<_>, Vec<_>) = set.iter().zip(&along).partition(|&(_, &at)| at < place);
    let points_of = |half: Vec<(&usize, &f32)>| half.into_iter().map(|(&point, _)| point).collect();
    Some((points_of(low), points_of(high)))
}

/// Finds the place where some numbers are thinnest between two dense ones, and their density there as a share of that
/// of the less dense one; `None` where too few would lie on one side.
fn thinnest(along: &[f32]) -> Option<(f32, f32)> {
    let low = along.iter().copied().fold(f32::INFINITY, f32::min);
    let bin_of = |at: f32| ((at - low) / BIN) as usize + 2;
    let last = along.iter().map(|&at| bin_of(at)).max()?;
    let mut counts = vec![0.0; last + 3];
    along.iter().for_each(|&at| counts[bin_of(at)] += 1.0);
    // Five bins, the middle one counts thrice.
    let density: Vec<f32> = counts.windows(5).map(|w| w[0] + 2.0 * w[1] + 3.0 * w[2] + 2.0 * w[3] + w[4]).collect();
    let mut peak_after = density.clone();
    for bin in (0..density.len() - 1).rev() {
        peak_after[bin] = peak_after[bin].max(peak_after[bin + 1]);
    }
    let (mut below, mut peak_before, mut best) = (0.0, 0.0f32, None);
    for bin in 0..density.len() - 1 {
        // Cut in the middle of the bin; `density[bin]` is about `counts[bin + 2]`.
        let (here, beside) = (density[bin], peak_before.min(peak_after[bin + 1]));
        let before = below + counts[bin + 2] / 2.0;
        let enough = before >= FEWEST as f32 && along.len() as f32 - before >= FEWEST as f32;
        // Of several empty places, the one that halves best.
        let share = here / beside.max(1e-6) - 1e-3 * (before.min(along.len() as f32 - before) / along.len() as f32);
        if enough && best.is_none_or(|(_, least)| share < least) {
            best = Some((low + (bin as f32 + 0.5) * BIN, share));
        }
        below += counts[bin + 2];
        peak_before = peak_before.max(here);
    }
    best
}

/// Puts every point to its nearest centre and moves the centres, twice; drops what is too small.
fn refine(points: &Points, sample: &[usize], parts: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut parts = parts.to_vec();
    for _ in 0..2 {
        parts.retain(|part| part.len() >= FEWEST);
        let centres: Vec<Vec<f32>> = parts.iter().map(|part| centre(points, part)).collect();
        if centres.is_empty() {
            return vec![sample.to_vec()];
        }
        // Most points stay: beside the centre of before, others are soon seen to be further.
        let mut before = vec![0; points.len()];
        for (at, part) in parts.iter_mut().enumerate() {
            part.drain(..).for_each(|point| before[point] = at);
        }
        for &point in sample {
            parts[nearest_from(points.of(point), &centres, before[point])].push(point);
        }
    }
    parts.retain(|part| part.len() >= FEWEST);
    parts
}

/// The nearest centre, where `guess` probably is.
fn nearest_from(point: &[f32], centres: &[Vec<f32>], guess: usize) -> usize {
    let (mut at, mut least) = (guess, squares(point, &centres[guess], f32::INFINITY));
    for (place, centre) in centres.iter().enumerate().filter(|&(place, _)| place != guess) {
        let distance = squares(point, centre, least);
        if distance < least {
            (at, least) = (place, distance);
        }
    }
    at
}

/// Drops clusters that are so much smaller than others that they are no slices but disturbed lines.
fn drop_small(parts: &mut Vec<Vec<usize>>) {
    let mut sizes: Vec<usize> = parts.iter().map(Vec::len).collect();
    sizes.sort_unstable();
    let usual = sizes[sizes.len() / 2];
    parts.retain(|part| SMALL * part.len() >= usual);
}

/// Joins neighbours that have no gap between them.
fn merge(points: &Points, mut parts: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    let mut centres: Vec<Vec<f32>> = parts.iter().map(|part| centre(points, part)).collect();
    let mut at = 0;
    'next: while at < parts.len() {
        let mut others: Vec<(f32, usize)> = (0..parts.len())
            .filter(|&other| other != at)
            .map(|other| (squares(&centres[at], &centres[other], f32::INFINITY), other))
            .collect();
        others.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        for &(_, other) in others.iter().take(3) {
            if !apart(points, &parts[at], &parts[other]) {
                let gone = parts.swap_remove(at.max(other));
                centres.swap_remove(at.max(other));
                at = at.min(other);
                parts[at].extend(gone);
                centres[at] = centre(points, &parts[at]);
                continue 'next;
            }
        }
        at += 1;
    }
    parts
}

/// Whether there is a gap between two clusters.
fn apart(points: &Points, a: &[usize], b: &[usize]) -> bool {
    let half = |set: &[usize], odd: usize| -> Vec<usize> { set.iter().copied().skip(odd).step_by(2).collect() };
    let mut along = [Vec::with_capacity(a.len()), Vec::with_capacity(b.len())];
    for odd in [0, 1] {
        let (from, to) = (centre(points, &half(a, odd)), centre(points, &half(b, odd)));
        let length = squares(&from, &to, f32::INFINITY).sqrt();
        if length == 0.0 {
            return false;
        }
        let axis: Vec<f32> = from.iter().zip(&to).map(|(f, t)| (t - f) / length).collect();
        let project = |point: usize| {
            let value = points.of(point).iter().zip(from.iter().zip(&to)).zip(&axis).map(|((v, (f, t)), axis)| {
                // A disturbed latency must not carry the point across.
                let (low, high) = (f.min(*t) - CAP, f.max(*t) + CAP);
                (v.clamp(low, high) - f.midpoint(*t)) * axis
            });
            value.sum::<f32>()
        };
        along[0].extend(half(a, 1 - odd).into_iter().map(project));
        along[1].extend(half(b, 1 - odd).into_iter().map(project));
    }
    let [(a, a_spread), (b, b_spread)] = [0, 1].map(|of| middle_and_spread(&mut along[of]));
    b - a >= SEPARATION * (a_spread + b_spread) && thinnest(&along.concat()).is_some_and(|(_, share)| share <= THIN)
}

/// The median, and the standard deviation as the median distance from it tells.
fn middle_and_spread(values: &mut [f32]) -> (f32, f32) {
    let middle = median(values);
    let mut apart: Vec<f32> = values.iter().map(|value| (value - middle).abs()).collect();
    (middle, 1.4826 * median(&mut apart))
}

fn centre(points: &Points, set: &[usize]) -> Vec<f32> {
    let mut column = Vec::with_capacity(set.len());
    let mut middle = |dim: usize| {
        column.clear();
        column.extend(set.iter().map(|&point| points.values[point * points.dims + dim]));
        let middle = median(&mut column);
        // Latencies are whole cycles: a median is too coarse, the mean of what lies near it is not.
        let (sum, count) = column
            .iter()
            .filter(|&&value| (value - middle).abs() <= CAP / 2.0)
            .fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        sum / count
    };
    (0..points.dims).map(&mut middle).collect()
}

/// The nearest centre, and the squared distances of it and of the second nearest.
fn nearest(point: &[f32], centres: &[Vec<f32>]) -> (usize, f32, f32) {
    let (mut at, mut first, mut second) = (0, f32::INFINITY, f32::INFINITY);
    for (place, centre) in centres.iter().enumerate() {
        let distance = squares(point, centre, second);
        if distance < first {
            (at, second, first) = (place, first, distance);
        } else if distance < second {
            second = distance;
        }
    }
    (at, first, second)
}

/// The squared distance with each coordinate held at the cap; some number of at least `enough` where it is that far.
fn squares(a: &[f32], b: &[f32], enough: f32) -> f32 {
    let mut sum = 0.0;
    for (a, b) in a.chunks(12).zip(b.chunks(12)) {
        for (a, b) in a.iter().zip(b) {
            let apart = a - b;
            sum += (apart * apart).min(CAP * CAP);
        }
        if sum >= enough {
            break;
        }
    }
    sum
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
