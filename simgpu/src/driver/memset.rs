//! Filling device memory with a value.

use super::command::Command;
use super::init::driver;
use super::stream::{DefaultStream, Stream};
use super::{Outcome, pages};
use crate::kernel::Fault;
use crate::timing::bus;
use crate::timing::clock::{now, sleep_until};
use abi::cuda::*;
use std::ffi::{c_uchar, c_uint, c_ushort};
use units::{Bytes, DeviceVa, Nanos};

/// Where a fill goes: bytes from line to line, elements a line, lines.
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

/// A fill of memory that is there, or nothing where the area is empty.
pub(crate) fn prepare(dst: CUdeviceptr, pattern: &[u8], area: Area) -> Outcome<Option<Fill>> {
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

/// Like the real driver's, a fill is asynchronous to the host even without a stream.
fn fill(dst: CUdeviceptr, pattern: &[u8], area: Area, stream: CUstream, default: DefaultStream) -> Outcome {
    let stream = Stream::resolve(stream, default)?;
    match prepare(dst, pattern, area)? {
        Some(fill) => stream.submit(Command::Fill(fill)).map(drop),
        None => Ok(()),
    }
}

/// Declares the fills with elements of one size.
macro_rules! fills {
    ($(
        $value:ty: $now:ident / $now_twin:ident, $later:ident / $later_twin:ident,
        $now_2d:ident / $now_2d_twin:ident, $later_2d:ident / $later_2d_twin:ident;
    )*) => {
        export! {
            $(
                fn $now/$now_twin[default](dst: CUdeviceptr, value: $value, count: usize) {
                    fill(dst, &value.to_le_bytes(), Area { pitch: 0, width: count, height: 1 }, CUstream::NULL, default)
                }

                fn $later/$later_twin[default](dst: CUdeviceptr, value: $value, count: usize, stream: CUstream) {
                    fill(dst, &value.to_le_bytes(), Area { pitch: 0, width: count, height: 1 }, stream, default)
                }

                fn $now_2d/$now_2d_twin[default](
                    dst: CUdeviceptr,
                    pitch: usize,
                    value: $value,
                    width: usize,
                    height: usize,
                ) {
                    fill(dst, &value.to_le_bytes(), Area { pitch, width, height }, CUstream::NULL, default)
                }

                fn $later_2d/$later_2d_twin[default](
                    dst: CUdeviceptr,
                    pitch: usize,
                    value: $value,
                    width: usize,
                    height: usize,
                    stream: CUstream,
                ) {
                    fill(dst, &value.to_le_bytes(), Area { pitch, width, height }, stream, default)
                }
            )*
        }
    };
}

fills! {
    c_uchar: cuMemsetD8_v2 / cuMemsetD8_v2_ptds, cuMemsetD8Async / cuMemsetD8Async_ptsz,
        cuMemsetD2D8_v2 / cuMemsetD2D8_v2_ptds, cuMemsetD2D8Async / cuMemsetD2D8Async_ptsz;
    c_ushort: cuMemsetD16_v2 / cuMemsetD16_v2_ptds, cuMemsetD16Async / cuMemsetD16Async_ptsz,
        cuMemsetD2D16_v2 / cuMemsetD2D16_v2_ptds, cuMemsetD2D16Async / cuMemsetD2D16Async_ptsz;
    c_uint: cuMemsetD32_v2 / cuMemsetD32_v2_ptds, cuMemsetD32Async / cuMemsetD32Async_ptsz,
        cuMemsetD2D32_v2 / cuMemsetD2D32_v2_ptds, cuMemsetD2D32Async / cuMemsetD2D32Async_ptsz;
}
