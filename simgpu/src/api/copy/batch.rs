//! Many copies in one call.

use super::{enqueue, line};
use crate::api::put;
use crate::objects::Outcome;
use crate::objects::current::{self, DefaultStream};
use crate::objects::stream::Stream;
use crate::objects::transfer::{Place, Shape, Side, Transfer};
use abi::cuda::*;
use std::ffi::{c_uint, c_void};

/// More copies than a batch is taken to have.
const MOST: usize = 1 << 20;
/// cuda.h: `CU_MEMCPY_SRC_ACCESS_ORDER_STREAM` to `_ANY`, and the one flag.
const ORDERS: core::ops::RangeInclusive<c_uint> = 1..=3;
const FLAGS: c_uint = 1;
/// cuda.h: `CU_MEMCPY_OPERAND_TYPE_POINTER` and `_ARRAY`.
const OPERAND_POINTER: c_uint = 1;
const OPERAND_ARRAY: c_uint = 2;

/// cuda.h: `CUmemcpyAttributes`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Attributes {
    order: c_uint,
    hints: [CUmemLocation; 2],
    flags: c_uint,
}

/// cuda.h: `CUmemcpy3DOperand`, as a pointer.
#[derive(Clone, Copy)]
#[repr(C)]
struct Operand {
    kind: c_uint,
    pointer: CUdeviceptr,
    row: usize,
    layer: usize,
    hint: CUmemLocation,
}

/// cuda.h: `CUDA_MEMCPY3D_BATCH_OP`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Operation {
    from: Operand,
    to: Operand,
    extent: [usize; 3],
    order: c_uint,
    flags: c_uint,
}

const _: () = assert!(size_of::<Attributes>() == 24 && size_of::<Operation>() == 112);

/// The stream of a batch, which must not be the legacy one.
fn resolve(stream: CUstream, default: DefaultStream) -> Outcome<std::sync::Arc<Stream>> {
    let stream = current::stream(stream, default)?;
    if stream.is_legacy() { Err(CUDA_ERROR_INVALID_VALUE) } else { Ok(stream) }
}

/// Enqueues all copies, or none where one is wrong; its number then goes to `fail`, or the greatest number where the
/// call as a whole is wrong.
fn submit(
    stream: Outcome<std::sync::Arc<Stream>>,
    count: usize,
    fail: *mut usize,
    copy: impl Fn(usize) -> Outcome<Option<Transfer>>,
) -> Outcome {
    let tell = |index: usize| {
        // SAFETY: the caller passes null or a place for the number, as cuda.h demands.
        let _ = unsafe { put(fail, index) };
    };
    let stream = stream.inspect_err(|_| tell(usize::MAX))?;
    let mut copies = Vec::new();
    for index in 0..count {
        copies.extend(copy(index).inspect_err(|_| tell(index))?);
    }
    copies.into_iter().try_for_each(|copy| enqueue(&stream, copy))
}

/// Whether an array of that many entries can be there.
fn sound<T>(array: *const T, count: usize) -> Outcome {
    if array.is_null() || count == 0 || count > MOST { Err(CUDA_ERROR_INVALID_VALUE) } else { Ok(()) }
}

/// The attributes of a batch: each set has the number of the copy that it begins with, and they rise from 0.
fn check(attributes: *const Attributes, indices: *const usize, count: usize, copies: usize) -> Outcome {
    sound(attributes, count)?;
    sound(indices, count)?;
    let mut last = None;
    for index in 0..count {
        // SAFETY: not null, so arrays of `count` entries, as cuda.h demands.
        let (it, first) = unsafe { (attributes.add(index).read_unaligned(), indices.add(index).read_unaligned()) };
        let rises = last.map_or(first == 0, |last| first > last) && first < copies;
        if !rises || !ORDERS.contains(&it.order) || it.flags & !FLAGS != 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        last = Some(first);
    }
    Ok(())
}

/// The three arrays of a batch of lines.
#[derive(Clone, Copy)]
struct Lines {
    to: *const CUdeviceptr,
    from: *const CUdeviceptr,
    sizes: *const usize,
    count: usize,
}

impl Lines {
    fn check(self) -> Outcome {
        sound(self.to, self.count)?;
        sound(self.from, self.count)?;
        sound(self.sizes, self.count)
    }

    fn copy(self, index: usize) -> Outcome<Option<Transfer>> {
        // SAFETY: `check` found arrays, which have `count` entries, as cuda.h demands.
        let (to, from, bytes) = unsafe {
            (
                self.to.add(index).read_unaligned(),
                self.from.add(index).read_unaligned(),
                self.sizes.add(index).read_unaligned(),
            )
        };
        if bytes == 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        line(Place::unified(to, bytes)?, Place::unified(from, bytes)?, bytes)
    }
}

fn side(operand: Operand, shape: Shape) -> Outcome<Side> {
    match operand.kind {
        OPERAND_POINTER => {}
        OPERAND_ARRAY if operand.pointer != 0 => return Err(CUDA_ERROR_NOT_SUPPORTED),
        _ => return Err(CUDA_ERROR_INVALID_VALUE),
    }
    let or = |given: usize, least: usize| if given == 0 { least } else { given };
    let (pitch, lines) = (or(operand.row, shape.width), or(operand.layer, shape.height));
    if pitch < shape.width || lines < shape.height {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    Ok(Side { place: Place::unified(operand.pointer, 1)?, pitch, lines })
}

fn solid(operations: *const Operation, index: usize) -> Outcome<Option<Transfer>> {
    // SAFETY: the caller found an array, which has more than `index` entries, as cuda.h demands.
    let it = unsafe { operations.add(index).read_unaligned() };
    let [width, height, depth] = it.extent;
    let shape = Shape { width, height, depth };
    if shape.is_empty() || !ORDERS.contains(&it.order) || it.flags & !FLAGS != 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    Transfer::new(side(it.from, shape)?, side(it.to, shape)?, shape).map(Some)
}

fn boxes(
    count: usize,
    ops: *mut c_void,
    fail: *mut usize,
    flags: u64,
    stream: Outcome<std::sync::Arc<Stream>>,
) -> Outcome {
    let ops: *const Operation = ops.cast();
    let stream = stream.and_then(|stream| {
        sound(ops, count)?;
        if flags == 0 { Ok(stream) } else { Err(CUDA_ERROR_INVALID_VALUE) }
    });
    submit(stream, count, fail, |index| solid(ops, index))
}

export! {
    fn cuMemcpyBatchAsync/cuMemcpyBatchAsync_ptsz[default](
        dsts: *mut CUdeviceptr,
        srcs: *mut CUdeviceptr,
        sizes: *mut usize,
        count: usize,
        attrs: *mut c_void,
        attr_indices: *mut usize,
        attr_count: usize,
        fail: *mut usize,
        stream: CUstream,
    ) {
        let lines = Lines { to: dsts, from: srcs, sizes, count };
        let stream = resolve(stream, default).and_then(|stream| {
            lines.check()?;
            check(attrs.cast(), attr_indices, attr_count, count)?;
            Ok(stream)
        });
        submit(stream, count, fail, |index| lines.copy(index))
    }

    fn cuMemcpyBatchAsync_v2/cuMemcpyBatchAsync_v2_ptsz[default](
        dsts: *mut CUdeviceptr,
        srcs: *mut CUdeviceptr,
        sizes: *mut usize,
        count: usize,
        attrs: *mut c_void,
        attr_indices: *mut usize,
        attr_count: usize,
        stream: CUstream,
    ) {
        let lines = Lines { to: dsts, from: srcs, sizes, count };
        let stream = resolve(stream, default)?;
        lines.check()?;
        check(attrs.cast(), attr_indices, attr_count, count)?;
        submit(Ok(stream), count, core::ptr::null_mut(), |index| lines.copy(index))
    }

    fn cuMemcpy3DBatchAsync/cuMemcpy3DBatchAsync_ptsz[default](
        count: usize,
        ops: *mut c_void,
        fail: *mut usize,
        flags: u64,
        stream: CUstream,
    ) {
        boxes(count, ops, fail, flags, resolve(stream, default))
    }

    fn cuMemcpy3DBatchAsync_v2/cuMemcpy3DBatchAsync_v2_ptsz[default](
        count: usize,
        ops: *mut c_void,
        flags: u64,
        stream: CUstream,
    ) {
        boxes(count, ops, core::ptr::null_mut(), flags, resolve(stream, default))
    }
}
