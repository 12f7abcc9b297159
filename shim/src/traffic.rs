//! What a copy moves: over the bus, which way and how much of it, or only within a device.
//!
//! The driver takes a copy's ends as typed pointers, as pointers that tell by themselves where they are, or as
//! descriptions of boxes. Here all of them become a [`Traffic`]. Nothing is validated: where an end makes no sense, the
//! copy is no traffic, and the driver says what is wrong with it.

use crate::cut::Extent;
use crate::real;
use abi::cuda::*;
use region::Direction;
use std::ffi::{c_uint, c_void};
use units::{Bytes, DeviceVa};

/// What a copy moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// It crosses the bus.
    Bus(Load),
    /// It stays on a device.
    Within(Bytes),
    /// Host to host, nothing, or nothing that can be.
    None,
}

/// A copy over the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) direction: Direction,
    pub(crate) bytes: Bytes,
    /// Whether the program gives it as a stretch, and not as a rectangle or box, of which the driver checks more.
    pub(crate) is_stretch: bool,
    /// Its shape and the memory that it touches, where it may be cut.
    pub(crate) cut: Option<(Extent, Ends)>,
}

/// The two ends of a copy over the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    /// From the first byte to the last.
    pub(crate) device: Span,
    /// Where it begins in host memory, as the program says.
    pub(crate) host: *const c_void,
}

/// A range of device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: DeviceVa,
    pub(crate) len: Bytes,
}

/// One end of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Host(*const c_void),
    Device(DeviceVa),
    /// In the texture units' layout, whose bytes have no addresses.
    Array,
}

/// How a box lies at one end: bytes from line to line, lines from slice to slice, and where it begins.
#[derive(Clone, Copy, Debug)]
struct Lay {
    end: End,
    x: usize,
    y: usize,
    z: usize,
    pitch: usize,
    lines: usize,
}

impl Lay {
    /// Whether every part of the box is valid exactly if the whole is, as far as its lines and slices go.
    fn is_plain(&self, extent: Extent) -> bool {
        let fits = |from: usize, size: usize, room: usize| from.checked_add(size).is_some_and(|end| end <= room);
        self.end != End::Array
            && fits(self.x, extent.width, self.pitch)
            && (extent.depth == 1 || fits(self.y, extent.height, self.lines))
    }

    /// How many bytes there are to line `y` of slice `z`.
    fn offset(&self, z: usize, y: usize) -> Option<usize> {
        z.checked_mul(self.lines)?.checked_add(y)?.checked_mul(self.pitch)
    }

    /// How many bytes there are to the box.
    fn start(&self) -> Option<usize> {
        self.offset(self.z, self.y)?.checked_add(self.x)
    }

    /// The device memory from the first byte to the last.
    fn span(&self, extent: Extent) -> Option<Span> {
        let End::Device(base) = self.end else { return None };
        let len =
            self.offset(extent.depth.checked_sub(1)?, extent.height.checked_sub(1)?)?.checked_add(extent.width)?;
        Some(Span { start: base.checked_add(Bytes::new(self.start()? as u64))?, len: Bytes::new(len as u64) })
    }
}

/// cuda.h: `CU_POINTER_ATTRIBUTE_MEMORY_TYPE`.
const MEMORY_TYPE: c_uint = 2;

/// Where an address is that tells by itself.
fn unified_end(address: CUdeviceptr) -> End {
    let mut kind: c_uint = 0;
    let Some(ask) = real::cuPointerGetAttribute.get() else { return End::Host(address as *const c_void) };
    // SAFETY: the function writes a `CUmemorytype`; an address that the driver does not know is refused.
    match unsafe { ask((&raw mut kind).cast(), MEMORY_TYPE, address) } {
        CUDA_SUCCESS if kind == CU_MEMORYTYPE_DEVICE => End::Device(DeviceVa::new(address)),
        _ => End::Host(address as *const c_void),
    }
}

/// Whether what a program gave as host memory is not a device's. The driver takes a device's too, and refuses as a whole
/// what goes past its end.
pub(crate) fn is_host_memory(address: *const c_void) -> bool {
    matches!(unified_end(address as CUdeviceptr), End::Host(_))
}

impl Traffic {
    /// A stretch from the host to a device.
    pub(crate) fn to_device(dst: CUdeviceptr, src: *const c_void, bytes: usize) -> Self {
        line(End::Host(src), End::Device(DeviceVa::new(dst)), bytes)
    }

    /// A stretch from a device to the host.
    pub(crate) fn to_host(dst: *const c_void, src: CUdeviceptr, bytes: usize) -> Self {
        line(End::Device(DeviceVa::new(src)), End::Host(dst), bytes)
    }

    /// A stretch between addresses that tell by themselves where they are.
    pub(crate) fn unified(dst: CUdeviceptr, src: CUdeviceptr, bytes: usize) -> Self {
        line(unified_end(src), unified_end(dst), bytes)
    }

    /// A stretch of an array, which is left whole.
    pub(crate) fn array(direction: Direction, bytes: usize) -> Self {
        match bytes {
            0 => Traffic::None,
            bytes => Traffic::Bus(Load { direction, bytes: Bytes::new(bytes as u64), is_stretch: false, cut: None }),
        }
    }

    /// The shape of a copy that may be cut.
    pub(crate) fn extent(&self) -> Option<Extent> {
        match self {
            Traffic::Bus(load) => load.cut.map(|(extent, _)| extent),
            Traffic::Within(_) | Traffic::None => None,
        }
    }

    /// A rectangle.
    pub(crate) fn rectangle(copy: &CUDA_MEMCPY2D) -> Self {
        let from =
            lay(copy.srcMemoryType, copy.srcHost, copy.srcDevice, [copy.srcXInBytes, copy.srcY, 0], copy.srcPitch, 0);
        let to =
            lay(copy.dstMemoryType, copy.dstHost, copy.dstDevice, [copy.dstXInBytes, copy.dstY, 0], copy.dstPitch, 0);
        let extent = Extent { width: copy.WidthInBytes, height: copy.Height, depth: 1 };
        from.zip(to).map_or(Traffic::None, |(from, to)| shaped(from, to, extent))
    }

    /// A box.
    pub(crate) fn solid(copy: &CUDA_MEMCPY3D) -> Self {
        let from = [copy.srcXInBytes, copy.srcY, copy.srcZ];
        let to = [copy.dstXInBytes, copy.dstY, copy.dstZ];
        let from = lay(copy.srcMemoryType, copy.srcHost, copy.srcDevice, from, copy.srcPitch, copy.srcHeight);
        let to = lay(copy.dstMemoryType, copy.dstHost, copy.dstDevice, to, copy.dstPitch, copy.dstHeight);
        let extent = Extent { width: copy.WidthInBytes, height: copy.Height, depth: copy.Depth };
        from.zip(to).map_or(Traffic::None, |(from, to)| shaped(from, to, extent))
    }
}

fn lay(
    kind: c_uint,
    host: *const c_void,
    device: CUdeviceptr,
    [x, y, z]: [usize; 3],
    pitch: usize,
    lines: usize,
) -> Option<Lay> {
    let end = match kind {
        CU_MEMORYTYPE_HOST => End::Host(host),
        CU_MEMORYTYPE_DEVICE => End::Device(DeviceVa::new(device)),
        CU_MEMORYTYPE_UNIFIED => unified_end(device),
        CU_MEMORYTYPE_ARRAY => End::Array,
        _ => return None,
    };
    Some(Lay { end, x, y, z, pitch, lines })
}

fn line(from: End, to: End, bytes: usize) -> Traffic {
    let lay = |end| Lay { end, x: 0, y: 0, z: 0, pitch: bytes, lines: 1 };
    match shaped(lay(from), lay(to), Extent::line(bytes)) {
        Traffic::Bus(load) => Traffic::Bus(Load { is_stretch: true, ..load }),
        other => other,
    }
}

fn shaped(from: Lay, to: Lay, extent: Extent) -> Traffic {
    let Some(bytes) = extent.bytes().filter(|&bytes| bytes > 0).map(|bytes| Bytes::new(bytes as u64)) else {
        return Traffic::None;
    };
    let (direction, host, device, base) = match (from.end, to.end) {
        (End::Host(_), End::Host(_)) => return Traffic::None,
        (End::Host(base), _) => (Direction::H2d, from, to, base),
        (_, End::Host(base)) => (Direction::D2h, to, from, base),
        _ => return Traffic::Within(bytes),
    };
    let plain = from.is_plain(extent) && to.is_plain(extent);
    let ends = device.span(extent).zip(host.start()).filter(|_| plain);
    let ends = ends.map(|(device, start)| Ends { device, host: base.wrapping_byte_add(start) });
    Traffic::Bus(Load { direction, bytes, is_stretch: false, cut: ends.map(|ends| (extent, ends)) })
}

/// What several copies move together, by [`Direction`], and within devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loads {
    pub(crate) over: [Bytes; 2],
    pub(crate) within: Bytes,
}

impl Loads {
    pub(crate) fn add(&mut self, traffic: Traffic) {
        match traffic {
            Traffic::Bus(load) => {
                let over = &mut self.over[load.direction as usize];
                *over = over.saturating_add(load.bytes);
            }
            Traffic::Within(bytes) => self.within = self.within.saturating_add(bytes),
            Traffic::None => {}
        }
    }

    /// What a batch of stretches moves. To ask where each of thousands of addresses is would cost more than to submit
    /// them, so where the first and the last go the same way, all are taken to.
    ///
    /// # Safety
    /// The arrays are null or have `count` entries.
    pub(crate) unsafe fn of_batch(
        dsts: *const CUdeviceptr,
        srcs: *const CUdeviceptr,
        sizes: *const usize,
        count: usize,
    ) -> Self {
        let mut loads = Loads::default();
        if dsts.is_null() || srcs.is_null() || sizes.is_null() || count == 0 || count > MOST {
            return loads;
        }
        // SAFETY: the index is below `count`, and so below the number of the entries; as the program may, unaligned.
        let size = |index: usize| unsafe { sizes.add(index).read_unaligned() };
        // SAFETY: as above, for both.
        let ends = |index: usize| unsafe { (dsts.add(index).read_unaligned(), srcs.add(index).read_unaligned()) };
        let one = |index: usize, bytes: usize| {
            let (dst, src) = ends(index);
            Traffic::unified(dst, src, bytes)
        };
        let (first, last) = (one(0, 1), one(count - 1, 1));
        if kind(first) == kind(last) {
            let bytes = (0..count).fold(0usize, |sum, index| sum.saturating_add(size(index)));
            let bytes = Bytes::new(bytes.min(isize::MAX as usize) as u64);
            match first {
                Traffic::Bus(load) => loads.add(Traffic::Bus(Load { bytes, ..load })),
                Traffic::Within(_) => loads.add(Traffic::Within(bytes)),
                Traffic::None => {}
            }
        } else {
            (0..count).for_each(|index| loads.add(one(index, size(index))));
        }
        loads
    }

    /// What a batch of boxes moves.
    ///
    /// # Safety
    /// `operations` is null or has `count` entries.
    pub(crate) unsafe fn of_boxes(operations: *const c_void, count: usize) -> Self {
        let mut loads = Loads::default();
        let operations: *const CUDA_MEMCPY3D_BATCH_OP = operations.cast();
        if operations.is_null() || count > MOST {
            return loads;
        }
        for index in 0..count {
            // SAFETY: the index is below `count`, and so below the number of the entries.
            let operation = unsafe { operations.add(index).read_unaligned() };
            let end = |operand: CUmemcpy3DOperand| match operand.r#type {
                CU_MEMCPY_OPERAND_TYPE_POINTER => unified_end(operand.op[0]),
                _ => End::Array,
            };
            let [width, height, depth] = operation.extent;
            let lay = |end| Lay { end, x: 0, y: 0, z: 0, pitch: 0, lines: 0 };
            loads.add(shaped(lay(end(operation.src)), lay(end(operation.dst)), Extent { width, height, depth }));
        }
        loads
    }
}

/// More copies than a batch is taken to have.
const MOST: usize = 1 << 20;

fn kind(traffic: Traffic) -> Option<Option<Direction>> {
    match traffic {
        Traffic::Bus(load) => Some(Some(load.direction)),
        Traffic::Within(_) => Some(None),
        Traffic::None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VA: DeviceVa = DeviceVa::new(0x7f00_0000_0000);
    const HOST: End = End::Host(std::ptr::null());

    fn at(end: End, pitch: usize, lines: usize) -> Lay {
        Lay { end, x: 16, y: 2, z: 1, pitch, lines }
    }

    #[test]
    fn a_box_may_be_cut_where_its_parts_are_valid_as_the_whole_is() {
        let extent = Extent { width: 100, height: 10, depth: 3 };
        let cut = |pitch, lines| match shaped(at(HOST, pitch, lines), at(End::Device(VA), pitch, lines), extent) {
            Traffic::Bus(load) => load.cut,
            other => panic!("{other:?}"),
        };
        let (_, Ends { device: span, host }) = cut(128, 12).expect("it may");
        assert_eq!(host as usize, (12 + 2) * 128 + 16);
        assert_eq!(span.start, VA + Bytes::new((12 + 2) * 128 + 16));
        assert_eq!(span.len, Bytes::new((2 * 12 + 9) * 128 + 100));
        assert_eq!(cut(110, 12), None, "lines that overlap");
        assert_eq!(cut(0, 12), None, "a pitch that follows from the width");
        assert_eq!(cut(128, 11), None, "slices that overlap");
    }

    #[test]
    fn the_ends_say_which_way_it_goes() {
        let extent = Extent::line(64);
        let of = |from, to| shaped(at(from, 128, 1), at(to, 128, 1), extent);
        let device = End::Device(VA);
        assert!(matches!(of(HOST, device), Traffic::Bus(Load { direction: Direction::H2d, .. })));
        assert!(matches!(of(device, HOST), Traffic::Bus(Load { direction: Direction::D2h, .. })));
        assert!(matches!(of(HOST, End::Array), Traffic::Bus(Load { direction: Direction::H2d, cut: None, .. })));
        assert_eq!(of(End::Array, device), Traffic::Within(Bytes::new(64)));
        assert_eq!(of(HOST, HOST), Traffic::None);
    }

    #[test]
    fn what_cannot_be_is_no_traffic() {
        let (host, device) = (at(HOST, 1 << 50, 1 << 40), at(End::Device(VA), 1 << 50, 1 << 40));
        for (width, height, depth) in [(0, 1, 1), (1, 0, 1), (usize::MAX, 2, 1), (1 << 40, 1 << 40, 1)] {
            assert_eq!(shaped(host, device, Extent { width, height, depth }), Traffic::None);
        }
        let wide = shaped(host, device, Extent { width: 1 << 30, height: 1 << 20, depth: 3 });
        assert!(matches!(wide, Traffic::Bus(Load { cut: None, .. })), "its range has no end: {wide:?}");
    }
}
