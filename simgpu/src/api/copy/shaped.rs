//! Copies of rectangles and boxes.

use super::{now_copy, peers, stream_copy};
use crate::objects::Outcome;
use crate::objects::transfer::{Place, Shape, Side, Transfer};
use abi::cuda::*;
use std::ffi::c_void;

/// One side of a box as cuda.h describes it.
struct Corner {
    kind: std::ffi::c_uint,
    host: *const c_void,
    device: CUdeviceptr,
    array: CUarray,
    x: usize,
    y: usize,
    z: usize,
    pitch: usize,
    lines: usize,
}

impl Corner {
    /// The place at which the box begins on this side, and how its lines lie.
    fn side(&self, shape: Shape) -> Outcome<Side> {
        let base = match self.kind {
            CU_MEMORYTYPE_HOST => Place::at(self.host as u64)?,
            CU_MEMORYTYPE_DEVICE => Place::at(self.device)?.reachable()?,
            CU_MEMORYTYPE_UNIFIED => Place::unified(self.device, 1)?,
            CU_MEMORYTYPE_ARRAY if !self.array.is_null() => return Err(CUDA_ERROR_NOT_SUPPORTED),
            _ => return Err(CUDA_ERROR_INVALID_VALUE),
        };
        self.offset(base, shape).ok_or(CUDA_ERROR_INVALID_VALUE)
    }

    fn offset(&self, base: Place, shape: Shape) -> Option<Side> {
        let (width, height) = (self.x.checked_add(shape.width)?, self.y.checked_add(shape.height)?);
        let pitch = if self.pitch == 0 { width } else { self.pitch };
        let lines = if self.lines == 0 { height } else { self.lines };
        // Lines that overlap are refused, and slices that do where there is more than one.
        if pitch < width || (lines < height && shape.depth > 1) {
            return None;
        }
        let line = self.z.checked_mul(lines)?.checked_add(self.y)?;
        let start = line.checked_mul(pitch)?.checked_add(self.x)?;
        let place = match base {
            Place::Host(pointer) => Place::at((pointer.0 as u64).checked_add(start as u64)?).ok()?,
            Place::Device(va) => Place::Device(va.checked_add(units::Bytes::new(start as u64))?),
        };
        Some(Side { place, pitch, lines })
    }
}

/// The copy that a description asks for; nothing where it is empty.
pub(in crate::api) fn boxed(copy: &CUDA_MEMCPY3D) -> Outcome<Option<Transfer>> {
    if !copy.reserved0.is_null() || !copy.reserved1.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let shape = Shape { width: copy.WidthInBytes, height: copy.Height, depth: copy.Depth };
    let from = Corner {
        kind: copy.srcMemoryType,
        host: copy.srcHost,
        device: copy.srcDevice,
        array: copy.srcArray,
        x: copy.srcXInBytes,
        y: copy.srcY,
        z: copy.srcZ,
        pitch: copy.srcPitch,
        lines: copy.srcHeight,
    };
    let to = Corner {
        kind: copy.dstMemoryType,
        host: copy.dstHost,
        device: copy.dstDevice,
        array: copy.dstArray,
        x: copy.dstXInBytes,
        y: copy.dstY,
        z: copy.dstZ,
        pitch: copy.dstPitch,
        lines: copy.dstHeight,
    };
    let (from, to) = (from.side(shape)?, to.side(shape)?);
    if shape.is_empty() { Ok(None) } else { Transfer::new(from, to, shape).map(Some) }
}

/// The description of a copy, as `cuGraphMemcpyNodeGetParams` gives it.
pub(in crate::api) fn description(copy: &Transfer) -> CUDA_MEMCPY3D {
    let parts = |side: Side| match side.place {
        Place::Host(pointer) => (CU_MEMORYTYPE_HOST, pointer.0.cast::<c_void>(), 0),
        Place::Device(va) => (CU_MEMORYTYPE_DEVICE, core::ptr::null_mut(), va.get()),
    };
    let (src_type, src_host, src_device) = parts(copy.from);
    let (dst_type, dst_host, dst_device) = parts(copy.to);
    let null = core::ptr::null_mut();
    CUDA_MEMCPY3D {
        srcXInBytes: 0,
        srcY: 0,
        srcZ: 0,
        srcLOD: 0,
        srcMemoryType: src_type,
        srcHost: src_host,
        srcDevice: src_device,
        srcArray: CUarray::NULL,
        reserved0: null,
        srcPitch: copy.from.pitch,
        srcHeight: copy.from.lines,
        dstXInBytes: 0,
        dstY: 0,
        dstZ: 0,
        dstLOD: 0,
        dstMemoryType: dst_type,
        dstHost: dst_host,
        dstDevice: dst_device,
        dstArray: CUarray::NULL,
        reserved1: null,
        dstPitch: copy.to.pitch,
        dstHeight: copy.to.lines,
        WidthInBytes: copy.shape.width,
        Height: copy.shape.height,
        Depth: copy.shape.depth,
    }
}

/// A structure of the program's.
fn read<T: Copy>(pointer: *const T) -> Outcome<T> {
    if pointer.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    // SAFETY: not null, so a structure of that type, as cuda.h demands.
    Ok(unsafe { pointer.read_unaligned() })
}

fn flat(copy: *const CUDA_MEMCPY2D) -> Outcome<Option<Transfer>> {
    let copy = read(copy)?;
    let null = core::ptr::null_mut();
    boxed(&CUDA_MEMCPY3D {
        srcXInBytes: copy.srcXInBytes,
        srcY: copy.srcY,
        srcZ: 0,
        srcLOD: 0,
        srcMemoryType: copy.srcMemoryType,
        srcHost: copy.srcHost,
        srcDevice: copy.srcDevice,
        srcArray: copy.srcArray,
        reserved0: null,
        srcPitch: copy.srcPitch,
        srcHeight: 0,
        dstXInBytes: copy.dstXInBytes,
        dstY: copy.dstY,
        dstZ: 0,
        dstLOD: 0,
        dstMemoryType: copy.dstMemoryType,
        dstHost: copy.dstHost,
        dstDevice: copy.dstDevice,
        dstArray: copy.dstArray,
        reserved1: null,
        dstPitch: copy.dstPitch,
        dstHeight: 0,
        WidthInBytes: copy.WidthInBytes,
        Height: copy.Height,
        Depth: 1,
    })
}

fn solid(copy: *const CUDA_MEMCPY3D) -> Outcome<Option<Transfer>> {
    boxed(&read(copy)?)
}

fn between(copy: *const CUDA_MEMCPY3D_PEER) -> Outcome<Option<Transfer>> {
    let copy = read(copy)?;
    peers(copy.dstContext, copy.srcContext)?;
    let null = core::ptr::null_mut();
    boxed(&CUDA_MEMCPY3D {
        srcXInBytes: copy.srcXInBytes,
        srcY: copy.srcY,
        srcZ: copy.srcZ,
        srcLOD: copy.srcLOD,
        srcMemoryType: copy.srcMemoryType,
        srcHost: copy.srcHost,
        srcDevice: copy.srcDevice,
        srcArray: copy.srcArray,
        reserved0: null,
        srcPitch: copy.srcPitch,
        srcHeight: copy.srcHeight,
        dstXInBytes: copy.dstXInBytes,
        dstY: copy.dstY,
        dstZ: copy.dstZ,
        dstLOD: copy.dstLOD,
        dstMemoryType: copy.dstMemoryType,
        dstHost: copy.dstHost,
        dstDevice: copy.dstDevice,
        dstArray: copy.dstArray,
        reserved1: null,
        dstPitch: copy.dstPitch,
        dstHeight: copy.dstHeight,
        WidthInBytes: copy.WidthInBytes,
        Height: copy.Height,
        Depth: copy.Depth,
    })
}

export! {
    fn cuMemcpy2D_v2/cuMemcpy2D_v2_ptds[default](copy: *const CUDA_MEMCPY2D) {
        now_copy(|| flat(copy), default)
    }

    fn cuMemcpy2DUnaligned_v2/cuMemcpy2DUnaligned_v2_ptds[default](copy: *const CUDA_MEMCPY2D) {
        now_copy(|| flat(copy), default)
    }

    fn cuMemcpy2DAsync_v2/cuMemcpy2DAsync_v2_ptsz[default](copy: *const CUDA_MEMCPY2D, stream: CUstream) {
        stream_copy(|| flat(copy), stream, default)
    }

    fn cuMemcpy3D_v2/cuMemcpy3D_v2_ptds[default](copy: *const CUDA_MEMCPY3D) {
        now_copy(|| solid(copy), default)
    }

    fn cuMemcpy3DAsync_v2/cuMemcpy3DAsync_v2_ptsz[default](copy: *const CUDA_MEMCPY3D, stream: CUstream) {
        stream_copy(|| solid(copy), stream, default)
    }

    fn cuMemcpy3DPeer/cuMemcpy3DPeer_ptds[default](copy: *const CUDA_MEMCPY3D_PEER) {
        now_copy(|| between(copy), default)
    }

    fn cuMemcpy3DPeerAsync/cuMemcpy3DPeerAsync_ptsz[default](copy: *const CUDA_MEMCPY3D_PEER, stream: CUstream) {
        stream_copy(|| between(copy), stream, default)
    }
}
