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

/// A fill.
pub(crate) struct Fill {
    to: DeviceVa,
    pattern: Vec<u8>,
    count: usize,
}

impl Fill {
    pub(crate) fn run(&self, ready: Nanos) -> Result<Nanos, Fault> {
        let Ok(driver) = driver() else { return Ok(ready) };
        let spec = driver.machine.spec();
        let bytes = self.pattern.len() * self.count;
        let end = ready + bus::duration(Bytes::new(bytes as u64), spec.dram.gbps, spec.launch_us);
        // Whole patterns fit the buffer, as they are powers of two.
        let buffer = self.pattern.repeat((bytes.min(1 << 20) / self.pattern.len()).max(1));
        let mut done = 0;
        while done < bytes {
            let part = buffer.len().min(bytes - done);
            pages::write(driver.machine, self.to + Bytes::new(done as u64), &buffer[..part])?;
            done += part;
        }
        sleep_until(end);
        Ok(end.max(now()))
    }
}

fn fill(dst: CUdeviceptr, pattern: &[u8], count: usize, stream: CUstream, default: DefaultStream) -> Outcome {
    let stream = Stream::resolve(stream, default)?;
    let to = DeviceVa::new(dst);
    let bytes = pattern.len().checked_mul(count).ok_or(CUDA_ERROR_INVALID_VALUE)?;
    if !to.is_aligned(Bytes::new(pattern.len() as u64)) {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    if bytes == 0 {
        return Ok(());
    }
    driver()?.memory.check(to, Bytes::new(bytes as u64))?;
    // Like the real driver's, a fill is asynchronous to the host even without a stream.
    stream.submit(Command::Fill(Fill { to, pattern: pattern.to_vec(), count }))?;
    Ok(())
}

const NULL: CUstream = core::ptr::null_mut();

export! {
    fn cuMemsetD8_v2/cuMemsetD8_v2_ptds[default](dst: CUdeviceptr, value: c_uchar, count: usize) {
        fill(dst, &[value], count, NULL, default)
    }

    fn cuMemsetD16_v2/cuMemsetD16_v2_ptds[default](dst: CUdeviceptr, value: c_ushort, count: usize) {
        fill(dst, &value.to_le_bytes(), count, NULL, default)
    }

    fn cuMemsetD32_v2/cuMemsetD32_v2_ptds[default](dst: CUdeviceptr, value: c_uint, count: usize) {
        fill(dst, &value.to_le_bytes(), count, NULL, default)
    }

    fn cuMemsetD8Async/cuMemsetD8Async_ptsz[default](
        dst: CUdeviceptr,
        value: c_uchar,
        count: usize,
        stream: CUstream,
    ) {
        fill(dst, &[value], count, stream, default)
    }

    fn cuMemsetD16Async/cuMemsetD16Async_ptsz[default](
        dst: CUdeviceptr,
        value: c_ushort,
        count: usize,
        stream: CUstream,
    ) {
        fill(dst, &value.to_le_bytes(), count, stream, default)
    }

    fn cuMemsetD32Async/cuMemsetD32Async_ptsz[default](
        dst: CUdeviceptr,
        value: c_uint,
        count: usize,
        stream: CUstream,
    ) {
        fill(dst, &value.to_le_bytes(), count, stream, default)
    }
}
