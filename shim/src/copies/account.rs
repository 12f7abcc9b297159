//! Counting what copies move, and holding them back where there is a gate.

use super::gate;
use crate::base::shield;
use crate::driver::objects::Moved;
use crate::tenant::membership::{self, Joined};
use abi::cuda::CUresult;
use region::{Direction, Why};
use std::sync::atomic::Ordering;
use units::Bytes;

/// One or several copies that the driver takes as one: counted, held back where there is a gate, and passed on.
#[inline]
pub(crate) fn submit(moved: impl FnOnce() -> Moved, forward: impl FnOnce() -> CUresult) -> CUresult {
    shield::shielded(|| match count(moved()) {
        Ok(Some((joined, gpu))) if gate::is_closed() => gate::wait(joined, gpu),
        Ok(_) => {}
        Err(why) => membership::passed(why),
    });
    forward()
}

/// Counts what a call moves. The tenant, and the GPU that the call is about, where it uses the bus.
#[inline]
fn count(moved: Moved) -> Result<Option<(&'static Joined, usize)>, Why> {
    let joined = membership::joined().ok_or(Why::NotJoined)?;
    if shield::has_failed() {
        return Err(Why::Fault);
    }
    shield::on_purpose("panic-copy");
    let counts = counts(&moved)?;
    if moved.within > Bytes::ZERO {
        joined.tenant().on_device.fetch_add(moved.within.get(), Ordering::Relaxed);
    }
    if counts == Counts::OnDevice {
        return Ok(None);
    }
    let gpu = joined.current_gpu().ok_or(Why::UnknownGpu)?;
    for direction in Direction::ALL {
        let bytes = moved.over[direction as usize];
        if bytes > Bytes::ZERO {
            joined.tenant().moved[gpu][direction as usize].fetch_add(bytes.get(), Ordering::Relaxed);
        }
    }
    joined.region.layout().header.doorbell.nudge();
    Ok(Some((joined, gpu)))
}

/// The way that a copy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    /// As traffic on the bus, which the arbiter is told of.
    OnTheBus,
    /// As bytes within devices, which are nobody's business but the tenant's.
    OnDevice,
}

/// The way that a call counts by what it moves.
#[inline]
fn counts(moved: &Moved) -> Result<Counts, Why> {
    match (moved.over == [Bytes::ZERO; 2], moved.within > Bytes::ZERO) {
        (false, _) => Ok(Counts::OnTheBus),
        (true, true) => Ok(Counts::OnDevice),
        (true, false) => Err(Why::OffTheBus),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(h2d: u64, d2h: u64, within: u64) -> Moved {
        Moved { over: [Bytes::new(h2d), Bytes::new(d2h)], within: Bytes::new(within) }
    }

    #[test]
    fn a_copy_within_a_device_wakes_nobody() {
        assert_eq!(counts(&moved(0, 0, 4096)), Ok(Counts::OnDevice));
    }

    #[test]
    fn a_copy_over_the_bus_is_told_to_the_arbiter_also_with_others_beside_it() {
        assert_eq!(counts(&moved(4096, 0, 0)), Ok(Counts::OnTheBus));
        assert_eq!(counts(&moved(0, 1, 4096)), Ok(Counts::OnTheBus));
    }

    #[test]
    fn a_copy_that_moves_nothing_passes_through() {
        assert_eq!(counts(&moved(0, 0, 0)), Err(Why::OffTheBus));
    }
}
