//! Launching kernels.

use super::present;
use crate::objects::Outcome;
use crate::objects::command::Command;
use crate::objects::current::{self, DefaultStream};
use crate::objects::driver::driver;
use crate::objects::kernels::{Behaviour, Call};
use crate::objects::launch::Launch;
use crate::objects::module::FUNCTIONS;
use crate::objects::stream::Stream;
use abi::cuda::*;
use std::ffi::{c_uint, c_void};
use std::sync::Arc;

/// cuda.h: the ends of a list of extra launch parameters and its two keys.
const PARAM_END: usize = 0;
const PARAM_BUFFER: usize = 1;
const PARAM_SIZE: usize = 2;

/// How many blocks a grid has, or an error for a grid that cannot be.
fn blocks(grid: [c_uint; 3], block: [c_uint; 3]) -> Outcome<u64> {
    let product = |of: [c_uint; 3]| of.iter().try_fold(1u64, |all, &one| all.checked_mul(u64::from(one)));
    match (product(grid), product(block)) {
        (Some(blocks @ 1..), Some(1..=1024)) => Ok(blocks),
        _ => Err(CUDA_ERROR_INVALID_VALUE),
    }
}

/// Reads a kernel's arguments from an array of pointers to them, or from one buffer.
///
/// # Safety
/// `params` and `extra` are null or as cuda.h demands for a kernel with the behaviour's parameters.
unsafe fn arguments(
    behaviour: Behaviour,
    params: *mut *mut c_void,
    extra: *mut *mut c_void,
) -> Outcome<[u64; Call::ARGUMENTS]> {
    let mut values = [0; Call::ARGUMENTS];
    if !params.is_null() {
        for (index, (value, &size)) in values.iter_mut().zip(behaviour.sizes()).enumerate() {
            // SAFETY: the array has a pointer for each parameter.
            let at: *const u8 = unsafe { params.add(index).read() }.cast();
            present(at)?;
            // SAFETY: not null, so a pointer to a value of the parameter's size.
            *value = unsafe { number(at, size) };
        }
        return Ok(values);
    }
    // SAFETY: `extra` is null or a list of keys and values up to its end.
    let (buffer, length) = unsafe { extra_buffer(extra) }?;
    let mut offset = 0usize;
    for (value, &size) in values.iter_mut().zip(behaviour.sizes()) {
        offset = offset.next_multiple_of(size);
        if offset + size > length {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: the buffer has `length` bytes, and the value was just found to lie within.
        *value = unsafe { number(buffer.add(offset), size) };
        offset += size;
    }
    Ok(values)
}

/// The buffer of parameters and its length that a list of extras names.
///
/// # Safety
/// `extra` is null or a list as cuda.h describes.
unsafe fn extra_buffer(mut extra: *mut *mut c_void) -> Outcome<(*const u8, usize)> {
    let (mut buffer, mut length) = (core::ptr::null::<u8>(), 0);
    while !extra.is_null() {
        // SAFETY: the list goes on until its end is found, in pairs of a key and a value.
        let key = unsafe { extra.read() } as usize;
        if key == PARAM_END {
            break;
        }
        // SAFETY: as above, the value after the key.
        let value = unsafe { extra.add(1).read() };
        match key {
            PARAM_BUFFER => buffer = value.cast_const().cast(),
            // SAFETY: this key's value points to the length.
            PARAM_SIZE if !value.is_null() => length = unsafe { value.cast::<usize>().read() },
            _ => return Err(CUDA_ERROR_INVALID_VALUE),
        }
        // SAFETY: as above, the next pair.
        extra = unsafe { extra.add(2) };
    }
    if buffer.is_null() { Err(CUDA_ERROR_INVALID_VALUE) } else { Ok((buffer, length)) }
}

/// A number of 4 or 8 bytes.
///
/// # Safety
/// `at` points to `size` readable bytes.
unsafe fn number(at: *const u8, size: usize) -> u64 {
    // SAFETY: the function's contract.
    unsafe { if size == 4 { u64::from(at.cast::<u32>().read_unaligned()) } else { at.cast::<u64>().read_unaligned() } }
}

/// The grid of a launch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) grid: [c_uint; 3],
    pub(crate) block: [c_uint; 3],
    /// Dynamic shared memory a block.
    pub(crate) shared: c_uint,
}

/// The most shared memory that a block can have.
const MOST_SHARED: c_uint = 227 << 10;

/// A launch with its parameters copied.
///
/// # Safety
/// As for [`arguments`].
pub(crate) unsafe fn prepare(
    function: CUfunction,
    grid: Grid,
    params: *mut *mut c_void,
    extra: *mut *mut c_void,
) -> Outcome<Launch> {
    let blocks = blocks(grid.grid, grid.block)?;
    let found = FUNCTIONS.get(function)?;
    if grid.shared > MOST_SHARED || (!params.is_null() && !extra.is_null()) {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let behaviour = found.behaviour.ok_or(CUDA_ERROR_NOT_SUPPORTED)?;
    // SAFETY: the function's contract.
    let arguments = unsafe { arguments(behaviour, params, extra) }?;
    Ok(Launch::of(Call { behaviour, arguments, blocks }))
}

/// # Safety
/// As for [`arguments`].
unsafe fn launch(
    function: CUfunction,
    grid: Grid,
    (stream, default): (CUstream, DefaultStream),
    params: *mut *mut c_void,
    extra: *mut *mut c_void,
) -> Outcome {
    let stream = current::stream(stream, default)?;
    // SAFETY: the function's contract.
    let launch = unsafe { prepare(function, grid, params, extra) }?;
    submit(&stream, launch)
}

/// The same for a launch all of whose blocks run together.
///
/// # Safety
/// As for [`arguments`].
unsafe fn launch_together(
    function: CUfunction,
    grid: Grid,
    (stream, default): (CUstream, DefaultStream),
    params: *mut *mut c_void,
) -> Outcome {
    let least = blocks(grid.grid, grid.block)?.div_ceil(resident_on_an_sm(grid.block));
    if least > u64::from(driver()?.machine.spec().sms) {
        return Err(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
    }
    let stream = current::stream(stream, default)?;
    // SAFETY: the function's contract.
    let launch = unsafe { prepare(function, grid, params, core::ptr::null_mut()) }?;
    submit(&stream, Launch { least, ..launch })
}

fn submit(stream: &Arc<Stream>, launch: Launch) -> Outcome {
    // A captured launch has no descriptor yet: that is made with the graph's.
    let launch = if stream.seat.is_captured() { launch } else { launch.announced()? };
    stream.submit(Command::Launch(launch)).map(drop)
}

/// The blocks of a kernel that can run at once on one SM of the simulated GPU.
fn resident_on_an_sm(block: [c_uint; 3]) -> u64 {
    let threads = block.iter().map(|&one| u64::from(one)).product::<u64>().max(1);
    (2048 / threads).clamp(1, 32)
}

export! {
    fn cuLaunchKernel/cuLaunchKernel_ptsz[default](
        f: CUfunction,
        gx: c_uint,
        gy: c_uint,
        gz: c_uint,
        bx: c_uint,
        by: c_uint,
        bz: c_uint,
        shared: c_uint,
        stream: CUstream,
        params: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) {
        let grid = Grid { grid: [gx, gy, gz], block: [bx, by, bz], shared };
        // SAFETY: the caller's parameters are as cuda.h demands.
        unsafe { launch(f, grid, (stream, default), params, extra) }
    }

    fn cuLaunchKernelEx/cuLaunchKernelEx_ptsz[default](
        config: *const CUlaunchConfig,
        f: CUfunction,
        params: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) {
        present(config)?;
        // SAFETY: not null, so the caller's configuration.
        let config = unsafe { config.read() };
        if config.numAttrs > 0 {
            present(config.attrs)?;
        }
        let grid = Grid {
            grid: [config.gridDimX, config.gridDimY, config.gridDimZ],
            block: [config.blockDimX, config.blockDimY, config.blockDimZ],
            shared: config.sharedMemBytes,
        };
        // SAFETY: as above.
        unsafe { launch(f, grid, (config.hStream, default), params, extra) }
    }

    fn cuLaunchCooperativeKernel/cuLaunchCooperativeKernel_ptsz[default](
        f: CUfunction,
        gx: c_uint,
        gy: c_uint,
        gz: c_uint,
        bx: c_uint,
        by: c_uint,
        bz: c_uint,
        shared: c_uint,
        stream: CUstream,
        params: *mut *mut c_void,
    ) {
        let grid = Grid { grid: [gx, gy, gz], block: [bx, by, bz], shared };
        current::context()?;
        // SAFETY: as above.
        unsafe { launch_together(f, grid, (stream, default), params) }
    }

    /// On one device this is a list of launches, each in a stream of its own choice.
    fn cuLaunchCooperativeKernelMultiDevice(launches: *mut c_void, count: c_uint, flags: c_uint) {
        current::context()?;
        present(launches)?;
        // The list has a launch for each device at most.
        if count != 1 || flags > 3 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: not null, so one launch, as cuda.h demands.
        let it = unsafe { launches.cast::<MultiLaunch>().read_unaligned() };
        let grid = Grid { grid: it.grid, block: it.block, shared: it.shared };
        // The null stream is none of those that this function launches in.
        if it.stream.is_null() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: as above.
        unsafe { launch_together(it.function, grid, (it.stream, DefaultStream::Legacy), it.params) }
    }
}

/// cuda.h: `CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE`.
const CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE: CUresult = 720;

/// cuda.h: `CUDA_LAUNCH_PARAMS`.
#[derive(Clone, Copy)]
#[repr(C)]
struct MultiLaunch {
    function: CUfunction,
    grid: [c_uint; 3],
    block: [c_uint; 3],
    shared: c_uint,
    stream: CUstream,
    params: *mut *mut c_void,
}

const _: () = assert!(size_of::<MultiLaunch>() == 56);
