//! How long an access to the L2 takes: as long as it is from the SM to the slice that owns the line, and a little more
//! each time.
//!
//! A slice is near or far, by its side and the SM's, and has a seat there: a distance that depends on the SM and the
//! slice alone. So the latencies of a line from all SMs are a fingerprint of its slice, as on a real GPU.

use crate::mix::{Random, below, mix};
use crate::spec::{GpuSpec, LINE, Latency};
use units::PhysAddr;

/// How much longer than usual an outlier takes, in cycles: a refresh, a TLB miss or another kernel's burst.
const OUTLIER: u32 = 2_000;
/// Keep apart what is drawn for different ends from one address.
const WHETHER_CONFUSED: u64 = 0x636f_6e66_7573_6564;
const WHICH_OTHER: u64 = 0x6f74_6865_7273_6c69;

/// The distances of all slices from some SMs.
pub(crate) struct Distances<'a> {
    spec: &'a GpuSpec,
    slices: u32,
    /// In cycles, SM by SM.
    cycles: Vec<u32>,
}

impl<'a> Distances<'a> {
    /// The distances from the first `sms` SMs.
    pub(crate) fn of(spec: &'a GpuSpec, sms: u32) -> Self {
        let slices = spec.hash.slices();
        let all = (0..sms).flat_map(|sm| (0..slices).map(move |slice| (sm, slice)));
        Distances { spec, slices, cycles: all.map(|(sm, slice)| distance(spec, sm, slice)).collect() }
    }

    /// The distances of the slices from an SM.
    pub(crate) fn row(&self, sm: u32) -> &[u32] {
        let slices = self.slices as usize;
        &self.cycles[sm as usize * slices..][..slices]
    }

    /// The slice that an address looks to be on.
    pub(crate) fn looks_like(&self, at: PhysAddr) -> u32 {
        let slice = self.spec.hash.slice_of(at);
        let line = at.get() / LINE.get();
        if self.slices == 1 || unit_interval(mix(line ^ WHETHER_CONFUSED)) >= self.spec.latency.confusion {
            return slice;
        }
        let others = u64::from(self.slices) - 1;
        ((u64::from(slice) + 1 + below(mix(line ^ WHICH_OTHER), others)) % u64::from(self.slices)) as u32
    }
}

/// How far a slice is from an SM.
fn distance(spec: &GpuSpec, sm: u32, slice: u32) -> u32 {
    let latency = &spec.latency;
    let per_side = spec.hash.slices_per_side();
    let (side, in_side) = (slice / per_side, slice % per_side);
    let near = side == spec.sm_side(sm);
    let seated = side * per_side + twin(in_side, per_side, latency.twins);
    let seat = below(mix(u64::from(sm) << 32 | u64::from(seated)), u64::from(latency.spread_cycles) + 1) as u32;
    seat + if near { latency.near_cycles } else { latency.far_cycles }
}

/// The slice, or the one of its pair that has the seat of both. The pairs are far from each other, and the two of a
/// pair half the side apart, so that no slice has neighbours that look alike.
fn twin(slice: u32, per_side: u32, twins: u32) -> u32 {
    let half = per_side / 2;
    let second = |pair: u32| pair * half / twins + half;
    if (0..twins).any(|pair| second(pair) == slice) { slice - half } else { slice }
}

/// The time that the fastest of some accesses takes beyond the distance: one draw, however many accesses there are.
pub(crate) struct Fastest {
    /// The probability, in 2^-64, that it is at most each of the `values`, but for the last.
    at_most: Vec<u64>,
    /// In cycles.
    values: Vec<u32>,
}

impl Fastest {
    /// The fastest of `tries` accesses, at least one.
    pub(crate) fn of(tries: u32, latency: &Latency) -> Self {
        let noise = latency.noise_cycles;
        let usual = (0..=noise).map(|cycles| {
            let longer = f64::from(noise - cycles) / f64::from(noise + 1);
            (cycles, latency.outlier_rate + (1.0 - latency.outlier_rate) * longer)
        });
        let outliers = (0..=noise).map(|cycles| {
            let longer = f64::from(noise - cycles) / f64::from(noise + 1);
            // Beyond all usual times, so that the values are in order.
            (OUTLIER.max(noise + 1) + cycles, latency.outlier_rate * longer)
        });
        // The fastest takes longer than a value if all tries do.
        let of_all = |one: f64| ((1.0 - one.powf(f64::from(tries))) * 2f64.powi(64)) as u64;
        let (values, mut at_most): (Vec<_>, Vec<_>) = usual.chain(outliers).map(|(v, one)| (v, of_all(one))).unzip();
        at_most.pop();
        Fastest { at_most, values }
    }

    pub(crate) fn draw(&self, random: &mut Random) -> u32 {
        let bits = random.next();
        self.values[self.at_most.partition_point(|&limit| limit <= bits)]
    }
}

/// A number from 0 to 1, and never 1, from 64 random bits.
fn unit_interval(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests;
