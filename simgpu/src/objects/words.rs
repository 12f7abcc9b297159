//! Words in memory that streams wait for, or write.

use super::driver::driver;
use super::host_memory::{self, HostPointer};
use super::{Outcome, pages};
use crate::os::Fault;
use crate::timing::clock::{nap, now};
use abi::cuda::*;
use std::ffi::c_uint;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use units::{Bytes, DeviceVa, Nanos};

/// How often a waiting stream looks, at first and later.
const FIRST_POLL: Nanos = Nanos::from_micros(5);
const LAST_POLL: Nanos = Nanos::from_micros(20);

/// The flag that asks to flush remote writes, of which there are none here (`CU_STREAM_WAIT_VALUE_FLUSH`).
const WAIT_FLUSH: c_uint = 1 << 30;

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

    /// The address at which this process sees the word now.
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
    /// A wait for a word of 32 bits, or of 64 if it is `wide`.
    pub(crate) fn new(address: u64, value: u64, flags: c_uint, wide: bool) -> Outcome<Self> {
        let condition = Condition::of(flags)?;
        Ok(Wait { word: Word::at(address, wide)?, value, condition })
    }

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
    /// A write of a word of 32 bits, or of 64 if it is `wide`.
    pub(crate) fn new(address: u64, value: u64, flags: c_uint, wide: bool) -> Outcome<Self> {
        // Bit 0 (NO_MEMORY_BARRIER) asks for less than is done here.
        if flags & !1 != CU_STREAM_WRITE_VALUE_DEFAULT {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        Ok(Write { word: Word::at(address, wide)?, value })
    }

    pub(crate) fn run(&self) -> Result<Nanos, Fault> {
        self.word.store(self.value)?;
        Ok(now())
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
