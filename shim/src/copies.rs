//! Copies: counted as they are submitted, and passed on as they are.
//!
//! The hardware shares the bus ([`crate::groups`]), so there is nothing to decide here, but where the kernel refuses time
//! slices: then [`gate`] holds copies back on the host.

pub(crate) mod gate;

use crate::life::{self, Joined};
use crate::traffic::{Loads, Traffic};
use crate::{fault, gpus};
use abi::cuda::CUresult;
use region::{Direction, Why};
use std::sync::atomic::Ordering;
use units::Bytes;

/// A copy as the program submits it: counted, held back where there is a gate, and passed on.
#[inline]
pub(crate) fn whole(traffic: impl FnOnce() -> Traffic, forward: impl FnOnce() -> CUresult) -> CUresult {
    together(
        || {
            let mut loads = Loads::default();
            loads.add(traffic());
            loads
        },
        forward,
    )
}

/// Several copies that the driver takes as one.
#[inline]
pub(crate) fn together(loads: impl FnOnce() -> Loads, forward: impl FnOnce() -> CUresult) -> CUresult {
    fault::shielded(|| submit(loads()));
    forward()
}

/// Counts what stays on devices.
pub(crate) fn within(bytes: Bytes) {
    fault::shielded(|| count(Loads { within: bytes, ..Loads::default() }));
}

fn submit(loads: Loads) {
    match count(loads) {
        Ok((joined, gpu)) if gate::is_closed() => gate::wait(joined, gpu),
        Ok(_) => {}
        Err(why) => life::passed(why),
    }
}

/// Counts what a call moves. The tenant, and the GPU that the call is about.
#[inline]
fn count(loads: Loads) -> Result<(&'static Joined, usize), Why> {
    let joined = life::joined().ok_or(Why::NotJoined)?;
    if fault::has_failed() {
        return Err(Why::Fault);
    }
    fault::on_purpose("panic-copy");
    if loads.within > Bytes::ZERO {
        joined.tenant().on_device.fetch_add(loads.within.get(), Ordering::Relaxed);
    }
    if loads.over == [Bytes::ZERO; 2] {
        return Err(Why::OffTheBus);
    }
    let gpu = gpus::current(joined).ok_or(Why::UnknownGpu)?;
    for direction in Direction::ALL {
        let bytes = loads.over[direction as usize];
        if bytes > Bytes::ZERO {
            joined.tenant().moved[gpu][direction as usize].fetch_add(bytes.get(), Ordering::Relaxed);
        }
    }
    joined.region.layout().header.doorbell.nudge();
    Ok((joined, gpu))
}
