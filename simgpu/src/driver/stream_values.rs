//! Stream memory operations: streams that wait for a word in memory, or write one.

use super::command::{Command, HostPointer};
use super::init::driver;
use super::stream::{DefaultStream, Stream};
use super::{Outcome, host_memory, pages};
use crate::kernel::Fault;
use crate::timing::clock::{nap, now};
use abi::cuda::*;
use std::ffi::c_uint;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use units::{Bytes, DeviceVa, Nanos};

/// How often a waiting stream looks, at first and later.
const FIRST_POLL: Nanos = Nanos::from_micros(5);
const LAST_POLL: Nanos = Nanos::from_micros(20);

/// cuda.h: the operations of `cuStreamBatchMemOp`.
const WAIT_32: u64 = 1;
const WRITE_32: u64 = 2;
const WAIT_64: u64 = 4;
const WRITE_64: u64 = 5;
const FLUSH: u64 = 3;
const BARRIER: u64 = 6;
/// The flag that asks to flush remote writes, of which there are none here (`CU_STREAM_WAIT_VALUE_FLUSH`).
const WAIT_FLUSH: c_uint = 1 << 30;

/// cuda.h: `CUstreamBatchMemOpParams`, as plain words: the operation, the address, the value, the flags.
pub(crate) type Operation = [u64; 6];

/// A word in pinned host memory or in device memory.
#[derive(Clone, Copy, Debug)]
struct Word {
    place: Place,
    wide: bool,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Host(HostPointer),
    Device(DeviceVa),
}

impl Word {
    fn at(address: u64, wide: bool) -> Outcome<Self> {
        let size = if wide { 8 } else { 4 };
        let va = DeviceVa::new(address);
        let memory = &driver()?.memory;
        let place = if memory.find(va).is_some() {
            memory.check(va, Bytes::new(size))?;
            Place::Device(va)
        } else if host_memory::is_pinned(address as usize, size as usize) {
            Place::Host(HostPointer(address as *mut u8))
        } else {
            return Err(CUDA_ERROR_INVALID_VALUE);
        };
        if address.is_multiple_of(size) { Ok(Word { place, wide }) } else { Err(CUDA_ERROR_INVALID_VALUE) }
    }

    /// Where this process sees the word now.
    fn pointer(self) -> Result<Option<*mut u8>, Fault> {
        match (self.place, driver()) {
            (Place::Host(pointer), _) => Ok(Some(pointer.0)),
            (Place::Device(va), Ok(driver)) => Ok(Some(driver.machine.vram_ptr(pages::translate(va)?))),
            (Place::Device(_), Err(_)) => Ok(None),
        }
    }

    fn load(self) -> Result<u64, Fault> {
        let Some(pointer) = self.pointer()? else { return Ok(0) };
        // SAFETY: the word is aligned and lies in mapped VRAM, or in host memory that the program keeps pinned for as
        // long as commands use it. Others may write it at any time, hence the atomic access.
        Ok(unsafe {
            if self.wide {
                AtomicU64::from_ptr(pointer.cast()).load(Ordering::Acquire)
            } else {
                u64::from(AtomicU32::from_ptr(pointer.cast()).load(Ordering::Acquire))
            }
        })
    }

    fn store(self, value: u64) -> Result<(), Fault> {
        let Some(pointer) = self.pointer()? else { return Ok(()) };
        // SAFETY: as in `load`.
        unsafe {
            if self.wide {
                AtomicU64::from_ptr(pointer.cast()).store(value, Ordering::Release);
            } else {
                AtomicU32::from_ptr(pointer.cast()).store(value as u32, Ordering::Release);
            }
        }
        Ok(())
    }
}

/// When a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// The difference is not negative, with wrap-around.
    AtLeast,
    Equal,
    /// They have a bit in common.
    And,
    /// There is a bit that neither has.
    Nor,
}

impl Condition {
    fn of(flags: c_uint) -> Outcome<Self> {
        Ok(match flags & !WAIT_FLUSH {
            CU_STREAM_WAIT_VALUE_GEQ => Condition::AtLeast,
            1 => Condition::Equal,
            2 => Condition::And,
            3 => Condition::Nor,
            _ => return Err(CUDA_ERROR_INVALID_VALUE),
        })
    }

    fn holds(self, word: u64, value: u64, wide: bool) -> bool {
        match (self, wide) {
            (Condition::AtLeast, true) => word.wrapping_sub(value) as i64 >= 0,
            (Condition::AtLeast, false) => (word as u32).wrapping_sub(value as u32) as i32 >= 0,
            (Condition::Equal, _) => word == value,
            (Condition::And, _) => word & value != 0,
            (Condition::Nor, true) => !(word | value) != 0,
            (Condition::Nor, false) => !((word | value) as u32) != 0,
        }
    }
}

/// A wait for a word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    word: Word,
    value: u64,
    condition: Condition,
}

impl Wait {
    /// Waits until the condition holds, or the context has a fault.
    pub(crate) fn run(&self, fault: &AtomicU32) -> Result<Nanos, Fault> {
        let mut pause = FIRST_POLL;
        while !self.condition.holds(self.word.load()?, self.value, self.word.wide) {
            if fault.load(Ordering::Acquire) != CUDA_SUCCESS {
                break;
            }
            nap(pause);
            pause = (pause + Nanos::from_micros(1)).min(LAST_POLL);
        }
        Ok(now())
    }
}

/// A write of a word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    word: Word,
    value: u64,
}

impl Write {
    pub(crate) fn run(&self) -> Result<Nanos, Fault> {
        self.word.store(self.value)?;
        Ok(now())
    }
}

fn wait(address: u64, value: u64, flags: c_uint, wide: bool) -> Outcome<Command> {
    let condition = Condition::of(flags)?;
    Ok(Command::WaitValue(Wait { word: Word::at(address, wide)?, value, condition }))
}

fn write(address: u64, value: u64, flags: c_uint, wide: bool) -> Outcome<Command> {
    // Bit 0 (NO_MEMORY_BARRIER) asks for less than is done here.
    if flags & !1 != CU_STREAM_WRITE_VALUE_DEFAULT {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    Ok(Command::WriteValue(Write { word: Word::at(address, wide)?, value }))
}

fn submit(stream: CUstream, default: DefaultStream, command: impl FnOnce() -> Outcome<Command>) -> Outcome {
    let stream = Stream::resolve(stream, default)?;
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
    let stream = Stream::resolve(stream, default)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_those_of_the_header() {
        assert!(Condition::AtLeast.holds(5, 5, false));
        assert!(Condition::AtLeast.holds(3, u64::from(u32::MAX), false), "the difference wraps around");
        assert!(!Condition::AtLeast.holds(4, 5, true));
        assert!(Condition::Equal.holds(7, 7, false) && !Condition::Equal.holds(8, 7, false));
        assert!(Condition::And.holds(6, 2, false) && !Condition::And.holds(4, 3, false));
        assert!(!Condition::Nor.holds(0xFFFF_0000, 0xFFFF, false) && Condition::Nor.holds(0, 1, false));
    }
}
