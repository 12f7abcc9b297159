//! Device memory as kernels and copies see it: by virtual address, page by page.

use crate::machine::Machine;
use crate::os::{Fault, for_each_page_run, mapping_changes};
use crate::timing::kernels::MAX_SIDES;
use std::collections::HashMap;
use std::sync::Mutex;
use units::{Bytes, DeviceVa, PhysAddr};

/// How much is read from each side.
pub(crate) type Sides = [Bytes; MAX_SIDES];

/// How many walks are remembered; more than a program's kernels have operands at a time.
const REMEMBERED: usize = 1024;

static WALKS: Mutex<Option<HashMap<(u64, u64), Walk>>> = Mutex::new(None);

struct Walk {
    changes: u64,
    sides: Sides,
}

/// Copies out of device memory.
pub(crate) fn read(machine: &Machine, va: DeviceVa, out: &mut [u8]) -> Result<(), Fault> {
    for_each_page_run(va, Bytes::new(out.len() as u64), &mut |at, phys, bytes| {
        let start = (at - va).as_usize();
        machine.read(phys, &mut out[start..start + bytes.as_usize()]);
    })
}

/// Copies into device memory.
pub(crate) fn write(machine: &Machine, va: DeviceVa, data: &[u8]) -> Result<(), Fault> {
    for_each_page_run(va, Bytes::new(data.len() as u64), &mut |at, phys, bytes| {
        let start = (at - va).as_usize();
        machine.write(phys, &data[start..start + bytes.as_usize()]);
    })
}

/// The physical address behind one byte.
pub(crate) fn translate(va: DeviceVa) -> Result<PhysAddr, Fault> {
    let mut found = PhysAddr::new(0);
    for_each_page_run(va, Bytes::new(1), &mut |_, phys, _| found = phys)?;
    Ok(found)
}

/// How the bytes of a stretch are spread over the sides of the memory system.
pub(crate) fn sides(machine: &Machine, va: DeviceVa, bytes: Bytes) -> Result<Sides, Fault> {
    let changes = mapping_changes();
    let key = (va.get(), bytes.get());
    if let Some(walk) = super::lock(&WALKS).as_ref().and_then(|walks| walks.get(&key))
        && walk.changes == changes
    {
        return Ok(walk.sides);
    }
    let sides = walk(machine, va, bytes)?;
    let mut walks = super::lock(&WALKS);
    let walks = walks.get_or_insert_default();
    if walks.len() >= REMEMBERED {
        walks.clear();
    }
    walks.insert(key, Walk { changes, sides });
    Ok(sides)
}

fn walk(machine: &Machine, va: DeviceVa, bytes: Bytes) -> Result<Sides, Fault> {
    let spec = machine.spec();
    // Addresses that agree above the lowest bit of all masks lie on one side.
    let lowest = spec.hash.side_masks().iter().fold(0, |all, mask| all | mask).trailing_zeros();
    let unit = 1u64 << lowest.clamp(7, 40);
    let mut sides = [0u64; MAX_SIDES];
    for_each_page_run(va, bytes, &mut |_, phys, bytes| {
        let (mut at, end) = (phys.get(), phys.get() + bytes.get());
        while at < end {
            let next = end.min((at | (unit - 1)) + 1);
            let side = spec.side_of(PhysAddr::new(at)) as usize;
            sides[side.min(MAX_SIDES - 1)] += next - at;
            at = next;
        }
    })?;
    Ok(sides.map(Bytes::new))
}
