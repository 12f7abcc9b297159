//! Copies: what they move is told ([`crate::traffic`]) and counted ([`crate::copies`]).

use crate::copies;
use crate::traffic::{Loads, Traffic};
use abi::cuda::*;
use units::Bytes;

/// A description of a rectangle or box.
pub(crate) trait Shape: Copy {
    /// What it moves.
    fn traffic(&self) -> Traffic;
}

impl Shape for CUDA_MEMCPY2D {
    fn traffic(&self) -> Traffic {
        Traffic::rectangle(self)
    }
}

impl Shape for CUDA_MEMCPY3D {
    fn traffic(&self) -> Traffic {
        Traffic::solid(self)
    }
}

/// A rectangle or box.
///
/// # Safety
/// `copy` is null or points to a description.
pub(crate) unsafe fn shaped<T: Shape>(copy: *const T, forward: impl FnOnce() -> CUresult) -> CUresult {
    if copy.is_null() {
        return forward();
    }
    // SAFETY: the function's contract; as the program may, unaligned.
    let shape = unsafe { copy.read_unaligned() };
    copies::whole(|| shape.traffic(), forward)
}

/// A copy that stays on devices.
pub(crate) fn within(forward: impl FnOnce() -> CUresult, bytes: usize) -> CUresult {
    copies::within(Bytes::new(bytes as u64));
    forward()
}

/// A box from one device to another.
///
/// # Safety
/// `copy` is null or points to a description.
pub(crate) unsafe fn peer_box(forward: impl FnOnce() -> CUresult, copy: *const CUDA_MEMCPY3D_PEER) -> CUresult {
    if !copy.is_null() {
        // SAFETY: the function's contract; as the program may, unaligned.
        let copy = unsafe { copy.read_unaligned() };
        let bytes = copy.WidthInBytes.saturating_mul(copy.Height).saturating_mul(copy.Depth);
        copies::within(Bytes::new(bytes.min(isize::MAX as usize) as u64));
    }
    forward()
}

/// Many copies that the driver takes as one. `loads` is asked only where they are counted.
pub(crate) fn together(loads: impl FnOnce() -> Loads, forward: impl FnOnce() -> CUresult) -> CUresult {
    copies::together(loads, forward)
}
