//! `missile_extents`: the VRAM behind a range, for the probe and for tests that measure colours.

use super::ledger::ledger;
use crate::base::log::warning;
use crate::rm::version;
use abi::export::{Extent, ExtentsFn};
use std::ffi::c_int;
use units::{Bytes, DeviceVa};

/// Writes the extents of a range; see [`abi::export`].
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn missile_extents(va: u64, bytes: u64, out: *mut Extent, max: usize) -> c_int {
    let found = std::panic::catch_unwind(|| {
        if va.checked_add(bytes).is_none() {
            return -1;
        }
        let mut count = 0;
        let known = ledger().visit(DeviceVa::new(va), Bytes::new(bytes), |va, bytes, phys| {
            if count < max && !out.is_null() {
                let extent = Extent { va: va.get(), bytes: bytes.get(), phys: phys.get() };
                // SAFETY: the caller gives room for `max` extents.
                unsafe { out.add(count).write(extent) };
            }
            count += 1;
        });
        if !known {
            let (objects, mappings) = ledger().counts();
            match version::version() {
                Some(version) => warning!(
                    "the VRAM behind {va:#x} is not known (driver {version}, {objects} objects, {mappings} mappings)"
                ),
                None => warning!("the VRAM behind {va:#x} is not known: neither is the driver's version"),
            }
        }
        if known { c_int::try_from(count).unwrap_or(c_int::MAX) } else { -1 }
    });
    found.unwrap_or(-1)
}

const _: ExtentsFn = missile_extents;
