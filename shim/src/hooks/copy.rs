//! Copies: what they move is told ([`crate::traffic`]), and those over the bus take their turn ([`crate::gate`]).

/// A stretch of memory, copied on the calling thread.
macro_rules! blocking {
    ($traffic:expr, $forward:ident, $real:ident($dst:ident, $src:ident)) => {
        crate::gate::blocking($traffic, |part| match part {
            None => $forward(),
            // SAFETY: the part lies within the range that the caller gave.
            Some(part) => unsafe {
                use crate::hooks::copy::Start;
                $real($dst.plus(part.x), $src.plus(part.x), part.extent.width)
            },
        })
    };
}

/// A stretch of memory, copied in the order of a stream.
macro_rules! in_stream {
    ($traffic:expr, $name:ident, $forward:ident, $real:ident($dst:ident, $src:ident, $stream:ident)) => {{
        let stream = crate::hooks::stream::named($stream, stringify!($name));
        crate::gate::in_stream($traffic, stream, |part| match part {
            None => $forward(),
            // SAFETY: the part lies within the range that the caller gave; null means the default stream of this
            // spelling of the function.
            Some(part) => unsafe {
                use crate::hooks::copy::Start;
                $real($dst.plus(part.x), $src.plus(part.x), part.extent.width, $stream)
            },
        })
    }};
}

pub(crate) use {blocking, in_stream};

use crate::cut::Part;
use crate::gate;
use crate::traffic::{Loads, Traffic};
use abi::cuda::*;
use std::ffi::c_void;
use units::Bytes;

/// Where a copy begins, on either side.
pub(crate) trait Start {
    fn plus(self, offset: usize) -> Self;
}

impl Start for CUdeviceptr {
    fn plus(self, offset: usize) -> Self {
        self.wrapping_add(offset as u64)
    }
}

impl Start for *const c_void {
    fn plus(self, offset: usize) -> Self {
        self.wrapping_byte_add(offset)
    }
}

impl Start for *mut c_void {
    fn plus(self, offset: usize) -> Self {
        self.wrapping_byte_add(offset)
    }
}

/// A description of a rectangle or box.
pub(crate) trait Shape: Copy {
    /// What it moves.
    fn traffic(&self) -> Traffic;
    /// The description of a part of it.
    fn part(self, part: Part) -> Self;
}

impl Shape for CUDA_MEMCPY2D {
    fn traffic(&self) -> Traffic {
        Traffic::rectangle(self)
    }

    fn part(mut self, part: Part) -> Self {
        self.srcXInBytes += part.x;
        self.dstXInBytes += part.x;
        self.srcY += part.y;
        self.dstY += part.y;
        (self.WidthInBytes, self.Height) = (part.extent.width, part.extent.height);
        self
    }
}

impl Shape for CUDA_MEMCPY3D {
    fn traffic(&self) -> Traffic {
        Traffic::solid(self)
    }

    fn part(mut self, part: Part) -> Self {
        self.srcXInBytes += part.x;
        self.dstXInBytes += part.x;
        self.srcY += part.y;
        self.dstY += part.y;
        self.srcZ += part.z;
        self.dstZ += part.z;
        (self.WidthInBytes, self.Height, self.Depth) = (part.extent.width, part.extent.height, part.extent.depth);
        self
    }
}

/// The description that a call was given, if it was given one.
///
/// # Safety
/// `copy` is null or points to a description.
unsafe fn described<T: Shape>(copy: *const T) -> Option<T> {
    // SAFETY: the function's contract; as the program may, unaligned.
    (!copy.is_null()).then(|| unsafe { copy.read_unaligned() })
}

/// A rectangle or box, copied on the calling thread.
///
/// # Safety
/// `copy` is null or points to a description.
pub(crate) unsafe fn shaped<T: Shape>(
    copy: *const T,
    forward: impl Fn() -> CUresult,
    real: impl Fn(*const T) -> CUresult,
) -> CUresult {
    // SAFETY: the function's contract.
    let Some(shape) = (unsafe { described(copy) }) else { return forward() };
    gate::blocking(shape.traffic(), |part| match part {
        None => forward(),
        Some(part) => real(&shape.part(part)),
    })
}

/// A rectangle or box, copied in the order of a stream.
///
/// # Safety
/// `copy` is null or points to a description.
pub(crate) unsafe fn shaped_in_stream<T: Shape>(
    copy: *const T,
    stream: CUstream,
    forward: impl Fn() -> CUresult,
    real: impl Fn(*const T) -> CUresult,
) -> CUresult {
    // SAFETY: the function's contract.
    let Some(shape) = (unsafe { described(copy) }) else { return forward() };
    gate::in_stream(shape.traffic(), stream, |part| match part {
        None => forward(),
        Some(part) => real(&shape.part(part)),
    })
}

/// A copy that stays on devices: only counted.
pub(crate) fn within(forward: impl FnOnce() -> CUresult, bytes: usize) -> CUresult {
    gate::within(Bytes::new(bytes as u64));
    forward()
}

/// A box from one device to another: only counted.
///
/// # Safety
/// `copy` is null or points to a description.
pub(crate) unsafe fn peer_box(forward: impl FnOnce() -> CUresult, copy: *const CUDA_MEMCPY3D_PEER) -> CUresult {
    if !copy.is_null() {
        // SAFETY: the function's contract; as the program may, unaligned.
        let copy = unsafe { copy.read_unaligned() };
        let bytes = copy.WidthInBytes.saturating_mul(copy.Height).saturating_mul(copy.Depth);
        gate::within(Bytes::new(bytes.min(isize::MAX as usize) as u64));
    }
    forward()
}

/// Many copies that the driver takes as one.
pub(crate) fn together(loads: Loads, stream: CUstream, forward: impl FnOnce() -> CUresult) -> CUresult {
    gate::around(loads, stream, forward)
}

/// One copy with hints, as [`together`].
pub(crate) fn hinted(
    forward: impl FnOnce() -> CUresult,
    dst: CUdeviceptr,
    src: CUdeviceptr,
    bytes: usize,
    stream: CUstream,
) -> CUresult {
    let mut loads = Loads::default();
    loads.add(Traffic::unified(dst, src, bytes));
    gate::around(loads, stream, forward)
}
