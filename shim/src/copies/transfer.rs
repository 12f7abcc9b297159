//! The transfer that a copy makes: over the bus, which way and how much of it, or only within a device.
//!
//! The driver takes a copy's ends as typed pointers, as pointers that tell by themselves where they are, or as
//! descriptions of boxes. Here all of them become a [`Transfer`]. Nothing is validated: where an end makes no sense, the
//! copy is none, and the driver says what is wrong with it.

use crate::driver::objects::Moved;
use crate::driver::query;
use abi::cuda::*;
use region::Direction;
use std::ffi::{c_uint, c_void};
use units::Bytes;

/// The transfer of one copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// It crosses the bus.
    Bus(Direction, Bytes),
    /// It stays on a device.
    Within(Bytes),
    /// Host to host, nothing, or nothing that can be.
    None,
}

/// One end of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Host,
    /// Device memory, or an array in it.
    Device,
}

/// The memory that a unified address points to.
fn unified_end(address: CUdeviceptr) -> End {
    if query::is_on_device(address) { End::Device } else { End::Host }
}

impl Transfer {
    /// A stretch, or a part of an array, over the bus.
    #[inline]
    pub(crate) fn over(direction: Direction, bytes: usize) -> Self {
        match direction {
            Direction::H2d => moved(End::Host, End::Device, [bytes, 1, 1]),
            Direction::D2h => moved(End::Device, End::Host, [bytes, 1, 1]),
        }
    }

    /// A stretch between addresses that tell by themselves where they are.
    pub(crate) fn unified(dst: CUdeviceptr, src: CUdeviceptr, bytes: usize) -> Self {
        moved(unified_end(src), unified_end(dst), [bytes, 1, 1])
    }

    /// A rectangle.
    pub(crate) fn rectangle(copy: &CUDA_MEMCPY2D) -> Self {
        let ends = end(copy.srcMemoryType, copy.srcDevice).zip(end(copy.dstMemoryType, copy.dstDevice));
        ends.map_or(Transfer::None, |(from, to)| moved(from, to, [copy.WidthInBytes, copy.Height, 1]))
    }

    /// A box from one device to another.
    pub(crate) fn between_devices(extent: [usize; 3]) -> Self {
        moved(End::Device, End::Device, extent)
    }

    /// A box.
    pub(crate) fn solid(copy: &CUDA_MEMCPY3D) -> Self {
        let ends = end(copy.srcMemoryType, copy.srcDevice).zip(end(copy.dstMemoryType, copy.dstDevice));
        ends.map_or(Transfer::None, |(from, to)| moved(from, to, [copy.WidthInBytes, copy.Height, copy.Depth]))
    }
}

/// The end of a box by its `CUmemorytype`; `address` counts where that is unified.
fn end(kind: c_uint, address: CUdeviceptr) -> Option<End> {
    match kind {
        CU_MEMORYTYPE_HOST => Some(End::Host),
        CU_MEMORYTYPE_DEVICE | CU_MEMORYTYPE_ARRAY => Some(End::Device),
        CU_MEMORYTYPE_UNIFIED => Some(unified_end(address)),
        _ => None,
    }
}

/// The transfer of a box of bytes a line, lines and slices.
#[inline]
fn moved(from: End, to: End, [width, height, depth]: [usize; 3]) -> Transfer {
    let bytes = width.checked_mul(height).and_then(|slice| slice.checked_mul(depth));
    let Some(bytes) = bytes.filter(|&bytes| (1..=isize::MAX as usize).contains(&bytes)) else { return Transfer::None };
    let bytes = Bytes::new(bytes as u64);
    match (from, to) {
        (End::Host, End::Host) => Transfer::None,
        (End::Host, End::Device) => Transfer::Bus(Direction::H2d, bytes),
        (End::Device, End::Host) => Transfer::Bus(Direction::D2h, bytes),
        (End::Device, End::Device) => Transfer::Within(bytes),
    }
}

impl Transfer {
    /// The bytes that it moves.
    #[inline]
    pub(crate) fn moved(self) -> Moved {
        let mut moved = Moved::default();
        self.add_to(&mut moved);
        moved
    }

    /// Adds what it moves.
    #[inline]
    pub(crate) fn add_to(self, moved: &mut Moved) {
        match self {
            Transfer::Bus(direction, bytes) => {
                let over = &mut moved.over[direction as usize];
                *over = over.saturating_add(bytes);
            }
            Transfer::Within(bytes) => moved.within = moved.within.saturating_add(bytes),
            Transfer::None => {}
        }
    }
}

/// Adds up a batch of stretches. To ask where each of thousands of addresses is would cost more than to submit
/// them, so where the first and the last go the same way, all are taken to.
///
/// # Safety
/// The arrays are null or have `count` entries.
pub(crate) unsafe fn batch(
    dsts: *const CUdeviceptr,
    srcs: *const CUdeviceptr,
    sizes: *const usize,
    count: usize,
) -> Moved {
    let mut all = Moved::default();
    if dsts.is_null() || srcs.is_null() || sizes.is_null() || count == 0 || count > MOST {
        return all;
    }
    // SAFETY: the index is below `count`, and so below the number of the entries; as the program may, unaligned.
    let size = |index: usize| unsafe { sizes.add(index).read_unaligned() };
    // SAFETY: as above, for both.
    let ends = |index: usize| unsafe { (dsts.add(index).read_unaligned(), srcs.add(index).read_unaligned()) };
    let one = |index: usize, bytes: usize| {
        let (dst, src) = ends(index);
        Transfer::unified(dst, src, bytes)
    };
    let (first, last) = (one(0, 1), one(count - 1, 1));
    if kind(first) == kind(last) {
        let bytes = (0..count).fold(0usize, |sum, index| sum.saturating_add(size(index)));
        let bytes = Bytes::new(bytes.min(isize::MAX as usize) as u64);
        match first {
            Transfer::Bus(direction, _) => Transfer::Bus(direction, bytes).add_to(&mut all),
            Transfer::Within(_) => Transfer::Within(bytes).add_to(&mut all),
            Transfer::None => {}
        }
    } else {
        (0..count).for_each(|index| one(index, size(index)).add_to(&mut all));
    }
    all
}

/// Adds up a batch of boxes.
///
/// # Safety
/// `operations` is null or has `count` entries.
pub(crate) unsafe fn boxes(operations: *const c_void, count: usize) -> Moved {
    let mut all = Moved::default();
    let operations: *const CUDA_MEMCPY3D_BATCH_OP = operations.cast();
    if operations.is_null() || count > MOST {
        return all;
    }
    for index in 0..count {
        // SAFETY: the index is below `count`, and so below the number of the entries.
        let operation = unsafe { operations.add(index).read_unaligned() };
        let end = |operand: CUmemcpy3DOperand| match operand.r#type {
            CU_MEMCPY_OPERAND_TYPE_POINTER => unified_end(operand.op[0]),
            _ => End::Device,
        };
        moved(end(operation.src), end(operation.dst), operation.extent).add_to(&mut all);
    }
    all
}

/// Copies of one batch that are looked at, at most.
const MOST: usize = 1 << 20;

fn kind(traffic: Transfer) -> Option<Option<Direction>> {
    match traffic {
        Transfer::Bus(direction, _) => Some(Some(direction)),
        Transfer::Within(_) => Some(None),
        Transfer::None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_say_which_way_it_goes() {
        let of = |from, to| moved(from, to, [4, 4, 4]);
        assert_eq!(of(End::Host, End::Device), Transfer::Bus(Direction::H2d, Bytes::new(64)));
        assert_eq!(of(End::Device, End::Host), Transfer::Bus(Direction::D2h, Bytes::new(64)));
        assert_eq!(of(End::Device, End::Device), Transfer::Within(Bytes::new(64)));
        assert_eq!(of(End::Host, End::Host), Transfer::None);
    }

    #[test]
    fn a_box_that_cannot_be_is_no_transfer() {
        for extent in [[0, 1, 1], [1, 0, 1], [usize::MAX, 2, 1], [1 << 40, 1 << 40, 1], [usize::MAX, 1, 1]] {
            assert_eq!(moved(End::Host, End::Device, extent), Transfer::None);
        }
    }
}
