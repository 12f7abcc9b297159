//! Filling device memory with a value.

use super::driver::driver;
use super::{Outcome, pages};
use crate::os::Fault;
use crate::timing::bus;
use crate::timing::clock::{now, sleep_until};
use abi::cuda::*;
use units::{Bytes, DeviceVa, Nanos};

/// The area of a fill: bytes from line to line, elements a line, lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    pub(crate) pitch: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// A fill.
#[derive(Clone, Debug)]
pub(crate) struct Fill {
    to: DeviceVa,
    pattern: Vec<u8>,
    area: Area,
}

impl Fill {
    /// A fill of memory that is there, or nothing where the area is empty.
    pub(crate) fn new(dst: CUdeviceptr, pattern: &[u8], area: Area) -> Outcome<Option<Self>> {
        let to = DeviceVa::new(dst);
        let line = pattern.len().checked_mul(area.width).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        let size = Bytes::new(pattern.len() as u64);
        let pitch_counts = area.height > 1;
        if !to.is_aligned(size) || (pitch_counts && (area.pitch < line || !area.pitch.is_multiple_of(pattern.len()))) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        if line == 0 || area.height == 0 {
            return Ok(None);
        }
        let before = if pitch_counts { area.pitch.checked_mul(area.height - 1) } else { Some(0) };
        let span = before.and_then(|before| before.checked_add(line)).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        driver()?.memory.check(to, Bytes::new(span as u64))?;
        Ok(Some(Fill { to, pattern: pattern.to_vec(), area }))
    }

    /// Does it, not before `ready`; returns when it ended.
    pub(crate) fn run(&self, ready: Nanos) -> Result<Nanos, Fault> {
        let Ok(driver) = driver() else { return Ok(ready) };
        let spec = driver.machine.spec();
        let line = self.pattern.len() * self.area.width;
        let bytes = line * self.area.height;
        let end = ready + bus::duration(Bytes::new(bytes as u64), spec.dram.gbps, spec.launch_us);
        // Whole patterns fit the buffer, as they are powers of two.
        let buffer = self.pattern.repeat((line.min(1 << 20) / self.pattern.len()).max(1));
        for y in 0..self.area.height {
            let to = self.to + Bytes::new((y * self.area.pitch) as u64);
            let mut done = 0;
            while done < line {
                let part = buffer.len().min(line - done);
                pages::write(driver.machine, to + Bytes::new(done as u64), &buffer[..part])?;
                done += part;
            }
        }
        sleep_until(end);
        Ok(end.max(now()))
    }
}
