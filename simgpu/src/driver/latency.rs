//! The kernel that measures how far each SM is from each address.
//!
//! `missile_latency(u64 addrs, u32 count, u32 reps, u64 out, u64 smids)`, with one working thread a block: block `b`
//! writes the number of its SM to `smids[b]`, and to `out[b * count + i]` the cycles of the fastest of `reps` atomics
//! on the address `addrs[i]`.

use super::pages;
use crate::kernel::Fault;
use crate::machine::Machine;
use crate::spec::GpuSpec;
use crate::timing::clock::now;
use std::collections::HashMap;
use units::{Bytes, DeviceVa, PhysAddr};

/// Addresses in one stretch of this size are served by one slice.
const LINE: u64 = 256;
/// How much longer than usual an outlier takes, in cycles: a refresh, a TLB miss or another kernel's burst.
const OUTLIER: u32 = 2_000;

/// Where the kernel's arrays lie.
pub(crate) struct Arrays {
    pub(crate) addresses: DeviceVa,
    pub(crate) out: DeviceVa,
    pub(crate) smids: DeviceVa,
}

/// Runs the kernel; returns for how many cycles it keeps its SMs.
pub(crate) fn measure(machine: &Machine, arrays: &Arrays, count: u32, reps: u32, blocks: u64) -> Result<f64, Fault> {
    let spec = machine.spec();
    let mut places = Vec::new();
    let mut pages = HashMap::new();
    for index in 0..u64::from(count) {
        let va = element(arrays.addresses, index, 8)?;
        let address = pages::read_u64(machine, va)?;
        let page = address & !(PAGE - 1);
        let phys = match pages.get(&page) {
            Some(&phys) => phys,
            None => *pages.entry(page).or_insert(pages::translate(DeviceVa::new(page))?),
        };
        places.push(phys + Bytes::new(address - page));
    }
    let mut random = Random::new(now().get() ^ ((machine.slot() as u64) << 56));
    let mut row = Vec::with_capacity(places.len() * 4);
    for block in 0..blocks {
        let sm = (block % u64::from(spec.sms)) as u32;
        row.clear();
        for &place in &places {
            row.extend(fastest(spec, &mut random, place, sm, reps).to_le_bytes());
        }
        pages::write(machine, element(arrays.smids, block, 4)?, &sm.to_le_bytes())?;
        pages::write(machine, element(arrays.out, block * u64::from(count), 4)?, &row)?;
    }
    let waves = blocks.div_ceil(u64::from(spec.sms)) as f64;
    Ok(waves * f64::from(count) * f64::from(reps) * f64::from(spec.latency.far_cycles))
}

/// The page within which physical addresses are contiguous.
const PAGE: u64 = 4096;

fn element(array: DeviceVa, index: u64, size: u64) -> Result<DeviceVa, Fault> {
    index.checked_mul(size).and_then(|offset| array.checked_add(Bytes::new(offset))).ok_or(Fault { va: array })
}

/// The fastest of `reps` accesses from an SM to a place, in cycles.
fn fastest(spec: &GpuSpec, random: &mut Random, place: PhysAddr, sm: u32, reps: u32) -> u32 {
    let latency = &spec.latency;
    let near = spec.side_of(place) == spec.sm_side(sm);
    // Where the slice sits as seen from the SM: the same for every access of this SM to this line.
    let seat = mix((place.get() / LINE) ^ (u64::from(sm) << 48));
    let base = if near { latency.near_cycles } else { latency.far_cycles } + below(seat, latency.spread_cycles);
    let one = |random: &mut Random| {
        let noise = below(random.next(), latency.noise_cycles);
        let outlier = (random.next() >> 11) as f64 / ((1u64 << 53) as f64) < latency.outlier_rate;
        base + noise + if outlier { OUTLIER } else { 0 }
    };
    (0..reps.max(1)).map(|_| one(random)).min().unwrap_or(base)
}

/// A number from 0 to `most`, from 64 random bits.
fn below(bits: u64, most: u32) -> u32 {
    ((u128::from(bits) * (u128::from(most) + 1)) >> 64) as u32
}

/// Numbers without a pattern (splitmix64).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }
}

/// Spreads every bit over all (the finalizer of splitmix64).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_and_far_are_told_apart() {
        let mut spec = GpuSpec::builtin("h200").expect("built in").expect("sound");
        spec.latency.outlier_rate = 0.0;
        let latency = spec.latency.clone();
        let mut random = Random::new(1);
        for page in 0..64 {
            let place = PhysAddr::new(page * PAGE);
            for sm in 0..spec.sms {
                let cycles = fastest(&spec, &mut random, place, sm, 4);
                let near = spec.side_of(place) == spec.sm_side(sm);
                let base = if near { latency.near_cycles } else { latency.far_cycles };
                assert!((base..=base + latency.spread_cycles + latency.noise_cycles).contains(&cycles));
            }
        }
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        assert_eq!(below(u64::MAX, 10), 10);
        assert_eq!(below(0, 10), 0);
        assert_eq!(below(u64::MAX, 0), 0);
    }
}
