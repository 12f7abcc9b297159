//! The structures with which memory is described: where it lies, what kind it is and what a copy's shape is.

use super::{CUarray, CUcontext, CUdeviceptr};
use core::ffi::{c_char, c_int, c_uint, c_void};

/// `CUmemLocation`: a device (cuda.h: `CU_MEM_LOCATION_TYPE_DEVICE`).
pub const CU_MEM_LOCATION_TYPE_DEVICE: c_uint = 1;
/// `CUDA_MEMCPY2D` and its like: an address on the host (cuda.h: `CU_MEMORYTYPE_HOST`).
pub const CU_MEMORYTYPE_HOST: c_uint = 1;
/// `CUDA_MEMCPY2D` and its like: an address on a device (cuda.h: `CU_MEMORYTYPE_DEVICE`).
pub const CU_MEMORYTYPE_DEVICE: c_uint = 2;
/// `CUDA_MEMCPY2D` and its like: an array (cuda.h: `CU_MEMORYTYPE_ARRAY`).
pub const CU_MEMORYTYPE_ARRAY: c_uint = 3;
/// `CUDA_MEMCPY2D` and its like: an address that tells by itself where it is (cuda.h: `CU_MEMORYTYPE_UNIFIED`).
pub const CU_MEMORYTYPE_UNIFIED: c_uint = 4;

/// The place of memory (cuda.h: `CUmemLocation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct CUmemLocation {
    /// The kind of place that `id` counts, as [`CU_MEM_LOCATION_TYPE_DEVICE`].
    pub r#type: c_uint,
    /// A device's ordinal or a host's NUMA node.
    pub id: c_int,
}

/// The hints in a [`CUmemAllocationProp`] (cuda.h: `allocFlags`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct CUmemAllocationPropFlags {
    /// Whether the memory should be compressible.
    pub compressionType: u8,
    /// Whether other devices will reach the memory by GPUDirect RDMA.
    pub gpuDirectRDMACapable: u8,
    /// Bits for special uses.
    pub usage: u16,
    /// Zero.
    pub reserved: [u8; 4],
}

/// The properties of memory that `cuMemCreate` is to make (cuda.h: `CUmemAllocationProp`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CUmemAllocationProp {
    /// Pinned, or one of the newer types.
    pub r#type: c_uint,
    /// The kinds of handle that it may be exported as.
    pub requestedHandleTypes: c_uint,
    /// The place of the memory.
    pub location: CUmemLocation,
    /// Null on Linux.
    pub win32HandleMetaData: *mut c_void,
    /// Hints.
    pub allocFlags: CUmemAllocationPropFlags,
}

/// A device allocation's name for another process (cuda.h: `CUipcMemHandle`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CUipcMemHandle {
    /// Known to the driver only.
    pub reserved: [c_char; 64],
}

/// An event's name for another process (cuda.h: `CUipcEventHandle`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CUipcEventHandle {
    /// Known to the driver only.
    pub reserved: [c_char; 64],
}

/// A copy of a rectangle (cuda.h: `CUDA_MEMCPY2D_v2`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CUDA_MEMCPY2D {
    /// Source x, in bytes.
    pub srcXInBytes: usize,
    /// Source y.
    pub srcY: usize,
    /// Source memory type, which says which of the next three counts.
    pub srcMemoryType: c_uint,
    /// Source address on the host.
    pub srcHost: *const c_void,
    /// Source address on a device, or on either for unified memory.
    pub srcDevice: CUdeviceptr,
    /// Source array.
    pub srcArray: CUarray,
    /// Source bytes from line to line.
    pub srcPitch: usize,
    /// Destination x, in bytes.
    pub dstXInBytes: usize,
    /// Destination y.
    pub dstY: usize,
    /// Destination memory type, which says which of the next three counts.
    pub dstMemoryType: c_uint,
    /// Destination address on the host.
    pub dstHost: *mut c_void,
    /// Destination address on a device, or on either for unified memory.
    pub dstDevice: CUdeviceptr,
    /// Destination array.
    pub dstArray: CUarray,
    /// Destination bytes from line to line.
    pub dstPitch: usize,
    /// Bytes a line.
    pub WidthInBytes: usize,
    /// Lines.
    pub Height: usize,
}

/// A copy of a box (cuda.h: `CUDA_MEMCPY3D_v2`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CUDA_MEMCPY3D {
    /// Source x, in bytes.
    pub srcXInBytes: usize,
    /// Source y.
    pub srcY: usize,
    /// Source z.
    pub srcZ: usize,
    /// Source level of detail.
    pub srcLOD: usize,
    /// Source memory type, which says which of the next three counts.
    pub srcMemoryType: c_uint,
    /// Source address on the host.
    pub srcHost: *const c_void,
    /// Source address on a device, or on either for unified memory.
    pub srcDevice: CUdeviceptr,
    /// Source array.
    pub srcArray: CUarray,
    /// Null.
    pub reserved0: *mut c_void,
    /// Source bytes from line to line.
    pub srcPitch: usize,
    /// Source lines from slice to slice.
    pub srcHeight: usize,
    /// Destination x, in bytes.
    pub dstXInBytes: usize,
    /// Destination y.
    pub dstY: usize,
    /// Destination z.
    pub dstZ: usize,
    /// Destination level of detail.
    pub dstLOD: usize,
    /// Destination memory type, which says which of the next three counts.
    pub dstMemoryType: c_uint,
    /// Destination address on the host.
    pub dstHost: *mut c_void,
    /// Destination address on a device, or on either for unified memory.
    pub dstDevice: CUdeviceptr,
    /// Destination array.
    pub dstArray: CUarray,
    /// Null.
    pub reserved1: *mut c_void,
    /// Destination bytes from line to line.
    pub dstPitch: usize,
    /// Destination lines from slice to slice.
    pub dstHeight: usize,
    /// Bytes a line.
    pub WidthInBytes: usize,
    /// Lines a slice.
    pub Height: usize,
    /// Slices.
    pub Depth: usize,
}

/// A copy of a box from one context to another (cuda.h: `CUDA_MEMCPY3D_PEER`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CUDA_MEMCPY3D_PEER {
    /// Source x, in bytes.
    pub srcXInBytes: usize,
    /// Source y.
    pub srcY: usize,
    /// Source z.
    pub srcZ: usize,
    /// Source level of detail.
    pub srcLOD: usize,
    /// Source memory type, which says which of the next three counts.
    pub srcMemoryType: c_uint,
    /// Source address on the host.
    pub srcHost: *const c_void,
    /// Source address on a device, or on either for unified memory.
    pub srcDevice: CUdeviceptr,
    /// Source array.
    pub srcArray: CUarray,
    /// Source context.
    pub srcContext: CUcontext,
    /// Source bytes from line to line.
    pub srcPitch: usize,
    /// Source lines from slice to slice.
    pub srcHeight: usize,
    /// Destination x, in bytes.
    pub dstXInBytes: usize,
    /// Destination y.
    pub dstY: usize,
    /// Destination z.
    pub dstZ: usize,
    /// Destination level of detail.
    pub dstLOD: usize,
    /// Destination memory type, which says which of the next three counts.
    pub dstMemoryType: c_uint,
    /// Destination address on the host.
    pub dstHost: *mut c_void,
    /// Destination address on a device, or on either for unified memory.
    pub dstDevice: CUdeviceptr,
    /// Destination array.
    pub dstArray: CUarray,
    /// Destination context.
    pub dstContext: CUcontext,
    /// Destination bytes from line to line.
    pub dstPitch: usize,
    /// Destination lines from slice to slice.
    pub dstHeight: usize,
    /// Bytes a line.
    pub WidthInBytes: usize,
    /// Lines a slice.
    pub Height: usize,
    /// Slices.
    pub Depth: usize,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<CUmemLocation>() == 8);
    assert!(offset_of!(CUmemLocation, id) == 4);
    assert!(size_of::<CUmemAllocationProp>() == 32);
    assert!(size_of::<CUmemAllocationPropFlags>() == 8);
    assert!(offset_of!(CUmemAllocationProp, requestedHandleTypes) == 4);
    assert!(offset_of!(CUmemAllocationProp, location) == 8);
    assert!(offset_of!(CUmemAllocationProp, win32HandleMetaData) == 16);
    assert!(offset_of!(CUmemAllocationProp, allocFlags) == 24);
    assert!(size_of::<CUipcMemHandle>() == 64);
    assert!(size_of::<CUipcEventHandle>() == 64);
    assert!(size_of::<CUDA_MEMCPY2D>() == 128);
    assert!(offset_of!(CUDA_MEMCPY2D, srcY) == 8);
    assert!(offset_of!(CUDA_MEMCPY2D, srcMemoryType) == 16);
    assert!(offset_of!(CUDA_MEMCPY2D, srcHost) == 24);
    assert!(offset_of!(CUDA_MEMCPY2D, srcDevice) == 32);
    assert!(offset_of!(CUDA_MEMCPY2D, srcArray) == 40);
    assert!(offset_of!(CUDA_MEMCPY2D, srcPitch) == 48);
    assert!(offset_of!(CUDA_MEMCPY2D, dstXInBytes) == 56);
    assert!(offset_of!(CUDA_MEMCPY2D, dstY) == 64);
    assert!(offset_of!(CUDA_MEMCPY2D, dstMemoryType) == 72);
    assert!(offset_of!(CUDA_MEMCPY2D, dstHost) == 80);
    assert!(offset_of!(CUDA_MEMCPY2D, dstDevice) == 88);
    assert!(offset_of!(CUDA_MEMCPY2D, dstArray) == 96);
    assert!(offset_of!(CUDA_MEMCPY2D, dstPitch) == 104);
    assert!(offset_of!(CUDA_MEMCPY2D, WidthInBytes) == 112);
    assert!(offset_of!(CUDA_MEMCPY2D, Height) == 120);
    assert!(size_of::<CUDA_MEMCPY3D>() == 200);
    assert!(offset_of!(CUDA_MEMCPY3D, srcY) == 8);
    assert!(offset_of!(CUDA_MEMCPY3D, srcZ) == 16);
    assert!(offset_of!(CUDA_MEMCPY3D, srcLOD) == 24);
    assert!(offset_of!(CUDA_MEMCPY3D, srcMemoryType) == 32);
    assert!(offset_of!(CUDA_MEMCPY3D, srcHost) == 40);
    assert!(offset_of!(CUDA_MEMCPY3D, srcDevice) == 48);
    assert!(offset_of!(CUDA_MEMCPY3D, srcArray) == 56);
    assert!(offset_of!(CUDA_MEMCPY3D, reserved0) == 64);
    assert!(offset_of!(CUDA_MEMCPY3D, srcPitch) == 72);
    assert!(offset_of!(CUDA_MEMCPY3D, srcHeight) == 80);
    assert!(offset_of!(CUDA_MEMCPY3D, dstXInBytes) == 88);
    assert!(offset_of!(CUDA_MEMCPY3D, dstY) == 96);
    assert!(offset_of!(CUDA_MEMCPY3D, dstZ) == 104);
    assert!(offset_of!(CUDA_MEMCPY3D, dstLOD) == 112);
    assert!(offset_of!(CUDA_MEMCPY3D, dstMemoryType) == 120);
    assert!(offset_of!(CUDA_MEMCPY3D, dstHost) == 128);
    assert!(offset_of!(CUDA_MEMCPY3D, dstDevice) == 136);
    assert!(offset_of!(CUDA_MEMCPY3D, dstArray) == 144);
    assert!(offset_of!(CUDA_MEMCPY3D, reserved1) == 152);
    assert!(offset_of!(CUDA_MEMCPY3D, dstPitch) == 160);
    assert!(offset_of!(CUDA_MEMCPY3D, dstHeight) == 168);
    assert!(offset_of!(CUDA_MEMCPY3D, WidthInBytes) == 176);
    assert!(offset_of!(CUDA_MEMCPY3D, Height) == 184);
    assert!(offset_of!(CUDA_MEMCPY3D, Depth) == 192);
    assert!(size_of::<CUDA_MEMCPY3D_PEER>() == 200);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, srcY) == 8);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, srcZ) == 16);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, srcLOD) == 24);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, srcMemoryType) == 32);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, srcHost) == 40);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, srcDevice) == 48);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, srcArray) == 56);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, srcContext) == 64);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, srcPitch) == 72);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, srcHeight) == 80);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, dstXInBytes) == 88);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, dstY) == 96);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, dstZ) == 104);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, dstLOD) == 112);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, dstMemoryType) == 120);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, dstHost) == 128);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, dstDevice) == 136);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, dstArray) == 144);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, dstContext) == 152);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, dstPitch) == 160);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, dstHeight) == 168);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, WidthInBytes) == 176);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, Height) == 184);
    assert!(offset_of!(CUDA_MEMCPY3D_PEER, Depth) == 192);
};
