//! Stream memory operations: streams that wait for a word in memory, or write one.

use crate::objects::Outcome;
use crate::objects::command::Command;
use crate::objects::current::{self, DefaultStream};
use crate::objects::words::{Wait, Write};
use abi::cuda::*;
use std::ffi::c_uint;

/// cuda.h: the operations of `cuStreamBatchMemOp`.
const WAIT_32: u64 = 1;
const WRITE_32: u64 = 2;
const WAIT_64: u64 = 4;
const WRITE_64: u64 = 5;
const FLUSH: u64 = 3;
const BARRIER: u64 = 6;
/// cuda.h: `CUstreamBatchMemOpParams`, as plain words: the operation, the address, the value, the flags.
pub(crate) type Operation = [u64; 6];

fn wait(address: u64, value: u64, flags: c_uint, wide: bool) -> Outcome<Command> {
    Wait::new(address, value, flags, wide).map(Command::WaitValue)
}

fn write(address: u64, value: u64, flags: c_uint, wide: bool) -> Outcome<Command> {
    Write::new(address, value, flags, wide).map(Command::WriteValue)
}

fn submit(stream: CUstream, default: DefaultStream, command: impl FnOnce() -> Outcome<Command>) -> Outcome {
    let stream = current::stream(stream, default)?;
    stream.submit(command()?)?;
    Ok(())
}

/// The commands that a list of operations asks for.
pub(crate) fn commands(count: c_uint, operations: *const Operation) -> Outcome<Vec<Command>> {
    if operations.is_null() || count > 256 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let mut commands = Vec::new();
    for index in 0..count as usize {
        // SAFETY: the array has `count` operations, as cuda.h demands.
        let [operation, address, value, flags, ..] = unsafe { operations.add(index).read() };
        let (flags, narrow) = (flags as c_uint, u64::from(value as u32));
        match operation & 0xFFFF_FFFF {
            WAIT_32 => commands.push(wait(address, narrow, flags, false)?),
            WAIT_64 => commands.push(wait(address, value, flags, true)?),
            WRITE_32 => commands.push(write(address, narrow, flags, false)?),
            WRITE_64 => commands.push(write(address, value, flags, true)?),
            // Every command here is done in order and seen by all.
            FLUSH | BARRIER => {}
            _ => return Err(CUDA_ERROR_INVALID_VALUE),
        }
    }
    Ok(commands)
}

fn batch(stream: CUstream, default: DefaultStream, count: c_uint, operations: *const Operation) -> Outcome {
    let stream = current::stream(stream, default)?;
    for command in commands(count, operations)? {
        stream.submit(command)?;
    }
    Ok(())
}

macro_rules! value_functions {
    ($($wait:ident / $wait_twin:ident, $write:ident / $write_twin:ident: $value:ty, $wide:literal;)*) => {
        export! {
            $(
                fn $wait/$wait_twin[default](stream: CUstream, address: CUdeviceptr, value: $value, flags: c_uint) {
                    submit(stream, default, || wait(address, u64::from(value), flags, $wide))
                }

                fn $write/$write_twin[default](stream: CUstream, address: CUdeviceptr, value: $value, flags: c_uint) {
                    submit(stream, default, || write(address, u64::from(value), flags, $wide))
                }
            )*
        }
    };
}

value_functions! {
    cuStreamWaitValue32 / cuStreamWaitValue32_ptsz, cuStreamWriteValue32 / cuStreamWriteValue32_ptsz: u32, false;
    cuStreamWaitValue32_v2 / cuStreamWaitValue32_v2_ptsz,
        cuStreamWriteValue32_v2 / cuStreamWriteValue32_v2_ptsz: u32, false;
    cuStreamWaitValue64 / cuStreamWaitValue64_ptsz, cuStreamWriteValue64 / cuStreamWriteValue64_ptsz: u64, true;
    cuStreamWaitValue64_v2 / cuStreamWaitValue64_v2_ptsz,
        cuStreamWriteValue64_v2 / cuStreamWriteValue64_v2_ptsz: u64, true;
}

export! {
    fn cuStreamBatchMemOp/cuStreamBatchMemOp_ptsz[default](
        stream: CUstream,
        count: c_uint,
        operations: *const Operation,
        _flags: c_uint,
    ) {
        batch(stream, default, count, operations)
    }

    fn cuStreamBatchMemOp_v2/cuStreamBatchMemOp_v2_ptsz[default](
        stream: CUstream,
        count: c_uint,
        operations: *const Operation,
        _flags: c_uint,
    ) {
        batch(stream, default, count, operations)
    }
}
