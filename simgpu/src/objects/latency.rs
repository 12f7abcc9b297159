//! The kernel that measures how far each SM is from each address.
//!
//! `latency(u64 addrs, u32 count, u32 reps, u64 out, u64 smids)`, with one working thread a block: block `b`
//! writes the number of its SM to `smids[b]`, and to `out[b * count + i]` the cycles of the fastest of `reps` atomics
//! on the address `addrs[i]` (`0xffffffff` for no atomics).

use super::pages;
use crate::machine::Machine;
use crate::mix::Random;
use crate::os::Fault;
use crate::os::rm::groups::has_mps;
use crate::timing::clock::now;
use crate::timing::latency::{Distances, Fastest};
use std::collections::HashMap;
use units::{Bytes, DeviceVa};

/// The places of the kernel's arrays.
pub(crate) struct Arrays {
    pub(crate) addresses: DeviceVa,
    pub(crate) out: DeviceVa,
    pub(crate) smids: DeviceVa,
}

/// How many addresses are handled at a time.
const CHUNK: u32 = 1 << 16;
/// The page within which physical addresses are contiguous.
const PAGE: u64 = 4096;

/// Runs the kernel's blocks in turn on some SMs, which are in rising order; returns for how many cycles it keeps its SMs.
///
/// Under MPS SMs are numbered anew for each mask, as was measured.
pub(crate) fn measure(
    machine: &Machine,
    arrays: &Arrays,
    (count, reps): (u32, u32),
    (blocks, sms): (u64, &[u32]),
) -> Result<f64, Fault> {
    let spec = machine.spec();
    let place_of = |block: u64| (block % sms.len() as u64) as usize;
    let sm_of = |block: u64| sms[place_of(block)];
    let is_renumbered = has_mps();
    let number_of = |block: u64| if is_renumbered { place_of(block) as u32 } else { sm_of(block) };
    let used = &sms[..blocks.min(sms.len() as u64) as usize];
    let distances = Distances::of(spec, used.last().map_or(0, |last| last + 1));
    let fastest = Fastest::of(reps, &spec.latency);
    let mut random = Random::new(now().get() ^ ((machine.slot() as u64) << 56));
    for block in 0..blocks {
        pages::write(machine, element(arrays.smids, block, 4)?, &number_of(block).to_le_bytes())?;
    }
    let mut row = Vec::new();
    for first in (0..count).step_by(CHUNK as usize) {
        let slices = slices(machine, &distances, arrays.addresses, first, CHUNK.min(count - first))?;
        row.resize(slices.len() * 4, 0);
        for block in 0..blocks {
            let cycles_to = distances.row(sm_of(block));
            for (place, &slice) in row.as_chunks_mut().0.iter_mut().zip(&slices) {
                let cycles = if reps == 0 { u32::MAX } else { cycles_to[slice as usize] + fastest.draw(&mut random) };
                *place = cycles.to_le_bytes();
            }
            let at = block.saturating_mul(u64::from(count)).saturating_add(u64::from(first));
            pages::write(machine, element(arrays.out, at, 4)?, &row)?;
        }
    }
    let waves = blocks.div_ceil(sms.len() as u64) as f64;
    let slowest = spec.latency.near_cycles.max(spec.latency.far_cycles);
    Ok(waves * f64::from(count) * f64::from(reps) * f64::from(slowest))
}

/// The slices that some of the addresses look to be on.
fn slices(
    machine: &Machine,
    distances: &Distances,
    addresses: DeviceVa,
    first: u32,
    count: u32,
) -> Result<Vec<u32>, Fault> {
    let mut listed = vec![0; count as usize * 8];
    pages::read(machine, element(addresses, u64::from(first), 8)?, &mut listed)?;
    let mut pages = HashMap::new();
    let slice = |address: &[u8; 8]| {
        let address = u64::from_le_bytes(*address);
        let page = address & !(PAGE - 1);
        let phys = match pages.get(&page) {
            Some(&phys) => phys,
            None => *pages.entry(page).or_insert(pages::translate(DeviceVa::new(page))?),
        };
        Ok(distances.looks_like(phys + Bytes::new(address - page)))
    };
    listed.as_chunks().0.iter().map(slice).collect()
}

fn element(array: DeviceVa, index: u64, size: u64) -> Result<DeviceVa, Fault> {
    index.checked_mul(size).and_then(|offset| array.checked_add(Bytes::new(offset))).ok_or(Fault { va: array })
}
