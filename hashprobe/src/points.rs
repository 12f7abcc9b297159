//! Fingerprints of lines as points: one coordinate an SM, in units of that SM's noise.
//!
//! An SM's latencies differ from another's by its distance to the L2, by its clock and by how much other work it
//! meets. Divided by its own noise, every SM counts for what it can tell, and a clock that scales a whole row changes
//! nothing. The noise is taken from nearest neighbours: where a slice has several lines among those looked at, a
//! line's nearest neighbour is of its slice, and the two differ by noise only.

use fastrand::Rng;

/// How many lines are compared with each other for the noise.
const NOISE_LINES: usize = 640;
/// The share of differences between neighbours that the noise is taken from: the rest may be disturbed.
const KEPT_SHARE: f64 = 0.9;
/// The mean of the smallest 90 % of |a - b| for a and b of unit normal noise.
const KEPT_MEAN: f64 = 0.930;
/// The least noise there is, in cycles: the clock's own grain.
const LEAST_NOISE: f32 = 0.4;
/// How far from its neighbours a value may be to count in their mean, in units of the noise.
const TRUSTED: f32 = 5.0;

/// Points with `dims` coordinates each, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Points {
    pub(crate) dims: usize,
    pub(crate) values: Vec<f32>,
    /// The noise of each coordinate before it was scaled to 1, in cycles of the SM's clock.
    pub(crate) noise: Vec<f32>,
}

impl Points {
    /// The points of a matrix of latencies, a row an SM and a column each of `count` points. Values far off an SM's
    /// range are drawn to its edge.
    pub(crate) fn of_rows(cycles: &[u32], count: usize, rng: &mut Rng) -> Points {
        let dims = cycles.len() / count;
        let mut values = vec![0.0; dims * count];
        for (dim, row) in cycles.chunks_exact(count).enumerate() {
            let mut sorted = row.to_vec();
            sorted.sort_unstable();
            let clip = count / 200;
            let (low, high) = (sorted[clip] as f32, sorted[count - 1 - clip] as f32);
            let (middle, margin) = (sorted[count / 2] as f32, (high - low) / 4.0);
            for (point, &cycles) in row.iter().enumerate() {
                values[point * dims + dim] = (cycles as f32).clamp(low - margin, high + margin) - middle;
            }
        }
        let mut points = Points { dims, values, noise: vec![1.0; dims] };
        points.scale(rng);
        points
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.dims
    }

    /// The median over the coordinates of the noise, in cycles.
    pub(crate) fn usual_noise(&self) -> f64 {
        f64::from(median(&mut self.noise.clone()))
    }

    pub(crate) fn of(&self, point: usize) -> &[f32] {
        &self.values[point * self.dims..][..self.dims]
    }

    /// One point for each group: the mean of its members without those that are far off, coordinate by coordinate.
    pub(crate) fn means(&self, groups: &[Vec<usize>], rng: &mut Rng) -> Points {
        let mut values = Vec::with_capacity(groups.len() * self.dims);
        let mut column = Vec::new();
        for group in groups {
            for dim in 0..self.dims {
                column.clear();
                column.extend(group.iter().map(|&member| self.values[member * self.dims + dim]));
                values.push(trusted_mean(&mut column));
            }
        }
        let mut means = Points { dims: self.dims, values, noise: self.noise.clone() };
        means.scale(rng);
        means
    }

    /// Scales every coordinate so that its noise is 1.
    fn scale(&mut self, rng: &mut Rng) {
        let mut chosen: Vec<usize> = (0..self.len()).collect();
        rng.shuffle(&mut chosen);
        chosen.truncate(NOISE_LINES);
        let spreads: Vec<f32> = (0..self.dims).map(|dim| self.spread(&chosen, dim)).collect();
        let neighbours: Vec<(usize, usize)> = chosen.iter().map(|&a| (a, self.nearest(a, &chosen, &spreads))).collect();
        for dim in 0..self.dims {
            let at = |point: usize| self.values[point * self.dims + dim];
            let mut apart: Vec<f32> = neighbours.iter().map(|&(a, b)| (at(a) - at(b)).abs()).collect();
            apart.sort_unstable_by(f32::total_cmp);
            let kept = (apart.len() as f64 * KEPT_SHARE).ceil().max(1.0);
            let mean = apart.iter().take(kept as usize).map(|&d| f64::from(d)).sum::<f64>() / kept;
            let noise = ((mean / KEPT_MEAN) as f32).max(LEAST_NOISE / self.noise[dim]);
            self.noise[dim] *= noise;
            self.values.iter_mut().skip(dim).step_by(self.dims).for_each(|value| *value /= noise);
        }
    }

    /// The mean distance from the median, as a measure of how much a coordinate varies.
    fn spread(&self, chosen: &[usize], dim: usize) -> f32 {
        let mut column: Vec<f32> = chosen.iter().map(|&point| self.values[point * self.dims + dim]).collect();
        let middle = median(&mut column);
        (column.iter().map(|v| (v - middle).abs()).sum::<f32>() / column.len() as f32).max(LEAST_NOISE)
    }

    fn nearest(&self, point: usize, among: &[usize], spreads: &[f32]) -> usize {
        let (mut best, mut nearest) = (f32::INFINITY, point);
        let a = self.of(point);
        for &other in among {
            let mut distance = 0.0;
            for (chunk, part) in self.of(other).chunks(8).enumerate() {
                for (i, &b) in part.iter().enumerate() {
                    let dim = 8 * chunk + i;
                    distance += ((a[dim] - b) / spreads[dim]).abs().min(1.0);
                }
                if distance >= best {
                    break;
                }
            }
            if distance < best && other != point {
                (best, nearest) = (distance, other);
            }
        }
        nearest
    }
}

/// The lower median; reorders the values.
pub(crate) fn median(values: &mut [f32]) -> f32 {
    let at = (values.len() - 1) / 2;
    *values.select_nth_unstable_by(at, f32::total_cmp).1
}

fn trusted_mean(values: &mut [f32]) -> f32 {
    let middle = median(values);
    let (mut sum, mut count) = (0.0, 0.0);
    for &value in values.iter() {
        if (value - middle).abs() <= TRUSTED {
            sum += value;
            count += 1.0;
        }
    }
    sum / count
}
