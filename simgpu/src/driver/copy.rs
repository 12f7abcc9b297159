//! Copies between host and device.

use super::command::{Command, HostPointer};
use super::init::driver;
use super::stream::{DefaultStream, Stream};
use super::{Outcome, host_memory, pages};
use crate::kernel::{Fault, for_each_page_run};
use crate::machine::Machine;
use crate::timing::bus::{self, Engine};
use crate::timing::clock::{now, sleep_until};
use abi::cuda::*;
use std::ffi::c_void;
use units::{Bytes, DeviceVa, Nanos};

/// How much is moved at least between two looks at the clock.
const LOOK_EVERY: usize = 1 << 20;

/// One end of a copy.
#[derive(Clone, Copy, Debug)]
enum Place {
    Host(HostPointer),
    Device(DeviceVa),
}

/// A copy.
pub(crate) struct Transfer {
    from: Source,
    to: Place,
    bytes: usize,
}

enum Source {
    Place(Place),
    /// What pageable memory held when the copy was asked for.
    Staged(Vec<u8>),
}

impl Place {
    /// What an address means: the device's where there is device memory at it, else the host's.
    fn at(address: u64) -> Outcome<Self> {
        let va = DeviceVa::new(address);
        Ok(match driver()?.memory.find(va) {
            Some(_) => Place::Device(va),
            None => Place::Host(HostPointer(address as *mut u8)),
        })
    }

    /// The place, where the caller said that it is the device's: device memory, or pinned memory by its address.
    fn reachable(self) -> Outcome<Self> {
        match self {
            Place::Host(pointer) if host_memory::find(pointer.0 as usize).is_none() => Err(CUDA_ERROR_INVALID_VALUE),
            place => Ok(place),
        }
    }

    fn check(self, bytes: usize) -> Outcome {
        match self {
            Place::Device(va) => driver()?.memory.check(va, Bytes::new(bytes as u64)),
            Place::Host(pointer) if pointer.0.is_null() => Err(CUDA_ERROR_INVALID_VALUE),
            Place::Host(_) => Ok(()),
        }
    }

    /// Whether the program may not touch the memory without the driver's knowing.
    fn is_steady(self, bytes: usize) -> bool {
        match self {
            Place::Device(_) => true,
            Place::Host(pointer) => host_memory::is_pinned(pointer.0 as usize, bytes),
        }
    }
}

impl Transfer {
    /// Does the copy.
    ///
    /// The data move as soon as the engine's turn is reserved, and the copy ends when its turn does. Where the host
    /// is too slow for the simulated bus, the engine is as slow as the host.
    pub(crate) fn run(&self, ready: Nanos) -> Result<Nanos, Fault> {
        let Ok(driver) = driver() else { return Ok(ready) };
        let (spec, timing) = (driver.machine.spec(), driver.machine.timing());
        let bytes = Bytes::new(self.bytes as u64);
        let (engine, duration): (Option<&Engine>, Nanos) = match (self.from.is_host(), self.to) {
            (true, Place::Device(_)) => {
                (Some(&timing.to_device), bus::duration(bytes, spec.bus.h2d_gbps, spec.bus.latency_us))
            }
            (false, Place::Host(_)) => {
                (Some(&timing.to_host), bus::duration(bytes, spec.bus.d2h_gbps, spec.bus.latency_us))
            }
            // Each byte is read and written; SMs do it, or an engine as fast as they are.
            (false, Place::Device(_)) => (None, bus::duration(bytes, spec.dram.gbps / 2.0, spec.launch_us)),
            (true, Place::Host(_)) => (None, Nanos::ZERO),
        };
        let end = match engine {
            Some(engine) => self.move_over(engine, driver.machine, engine.reserve(ready, now(), duration), duration)?,
            None => {
                self.move_data(driver.machine, &mut |_| ())?;
                now().max(ready + duration)
            }
        };
        sleep_until(end);
        Ok(end)
    }

    /// Moves the data over the bus, on which this copy has its turn until `end`; returns when it really ends. A host
    /// that falls behind keeps the engine busy for as much longer, at once, so that others wait as they would there.
    fn move_over(&self, engine: &Engine, machine: &Machine, mut end: Nanos, duration: Nanos) -> Result<Nanos, Fault> {
        let mut looked_at = 0;
        self.move_data(machine, &mut |moved| {
            if moved - looked_at < LOOK_EVERY && moved < self.bytes {
                return;
            }
            looked_at = moved;
            let left = (self.bytes - moved) as f64 / self.bytes as f64;
            let possible = now() + Nanos::new((duration.get() as f64 * left) as u64);
            if possible > end {
                engine.late(possible);
                end = possible;
            }
        })?;
        Ok(end)
    }

    /// Moves the data, and tells between host and device after each stretch how much was moved so far.
    fn move_data(&self, machine: &Machine, moved: &mut dyn FnMut(usize)) -> Result<(), Fault> {
        let bytes = self.bytes;
        let from = match &self.from {
            Source::Place(place) => *place,
            Source::Staged(data) => Place::Host(HostPointer(data.as_ptr().cast_mut())),
        };
        match (from, self.to) {
            (Place::Host(from), Place::Host(to)) => {
                // SAFETY: the program gave that many bytes at both places, to be used until the copy is done, or the
                // source is as long a copy; they may overlap, which `copy` allows.
                unsafe { to.0.copy_from(from.0, bytes) };
                Ok(())
            }
            (Place::Host(from), Place::Device(to)) => {
                for_each_page_run(to, Bytes::new(bytes as u64), &mut |at, phys, run| {
                    // SAFETY: the program gave `bytes` readable bytes, or they are staged, and the run lies within
                    // them. No other thread of the driver writes there; one of the program's that does breaks the
                    // contract of the copy.
                    let part = unsafe {
                        core::slice::from_raw_parts(from.0.add((at - to).as_usize()).cast_const(), run.as_usize())
                    };
                    machine.write(phys, part);
                    moved((at - to + run).as_usize());
                })
            }
            (Place::Device(from), Place::Host(to)) => {
                for_each_page_run(from, Bytes::new(bytes as u64), &mut |at, phys, run| {
                    // SAFETY: the program gave `bytes` writable bytes for this copy alone, and the run lies within.
                    let part =
                        unsafe { core::slice::from_raw_parts_mut(to.0.add((at - from).as_usize()), run.as_usize()) };
                    machine.read(phys, part);
                    moved((at - from + run).as_usize());
                })
            }
            (Place::Device(from), Place::Device(to)) => {
                let mut buffer = vec![0; bytes.min(1 << 20)];
                let mut done = 0;
                while done < bytes {
                    let part = buffer.len().min(bytes - done);
                    let offset = Bytes::new(done as u64);
                    pages::read(machine, from + offset, &mut buffer[..part])?;
                    pages::write(machine, to + offset, &buffer[..part])?;
                    done += part;
                }
                Ok(())
            }
        }
    }
}

impl Source {
    fn is_host(&self) -> bool {
        !matches!(self, Source::Place(Place::Device(_)))
    }
}

/// Copies and waits.
fn now_copy(to: Place, from: Place, bytes: usize, stream: CUstream, default: DefaultStream) -> Outcome {
    let stream = Stream::resolve(stream, default)?;
    if bytes == 0 {
        return Ok(());
    }
    from.check(bytes)?;
    to.check(bytes)?;
    stream.submit_and_wait(Command::Copy(Transfer { from: Source::Place(from), to, bytes }))
}

/// Copies in stream order. Pageable sources are read at once, as the program may change them after the call; a
/// pageable destination makes the call wait, as with the real driver.
fn stream_copy(to: Place, from: Place, bytes: usize, stream: CUstream, default: DefaultStream) -> Outcome {
    if !to.is_steady(bytes) {
        return now_copy(to, from, bytes, stream, default);
    }
    let stream = Stream::resolve(stream, default)?;
    if bytes == 0 {
        return Ok(());
    }
    from.check(bytes)?;
    to.check(bytes)?;
    let from = match from {
        Place::Host(pointer) if !from.is_steady(bytes) => {
            // SAFETY: the program gave `bytes` readable bytes there.
            Source::Staged(unsafe { core::slice::from_raw_parts(pointer.0.cast_const(), bytes) }.to_vec())
        }
        _ => Source::Place(from),
    };
    stream.submit(Command::Copy(Transfer { from, to, bytes }))?;
    Ok(())
}

fn host(pointer: *const c_void) -> Place {
    Place::Host(HostPointer(pointer.cast_mut().cast()))
}

const NULL: CUstream = core::ptr::null_mut();

export! {
    fn cuMemcpyHtoD_v2/cuMemcpyHtoD_v2_ptds[default](dst: CUdeviceptr, src: *const c_void, bytes: usize) {
        now_copy(Place::at(dst)?.reachable()?, host(src), bytes, NULL, default)
    }

    fn cuMemcpyDtoH_v2/cuMemcpyDtoH_v2_ptds[default](dst: *mut c_void, src: CUdeviceptr, bytes: usize) {
        now_copy(host(dst), Place::at(src)?.reachable()?, bytes, NULL, default)
    }

    fn cuMemcpyDtoD_v2/cuMemcpyDtoD_v2_ptds[default](dst: CUdeviceptr, src: CUdeviceptr, bytes: usize) {
        now_copy(Place::at(dst)?.reachable()?, Place::at(src)?.reachable()?, bytes, NULL, default)
    }

    fn cuMemcpy/cuMemcpy_ptds[default](dst: CUdeviceptr, src: CUdeviceptr, bytes: usize) {
        now_copy(Place::at(dst)?, Place::at(src)?, bytes, NULL, default)
    }

    fn cuMemcpyHtoDAsync_v2/cuMemcpyHtoDAsync_v2_ptsz[default](
        dst: CUdeviceptr,
        src: *const c_void,
        bytes: usize,
        stream: CUstream,
    ) {
        stream_copy(Place::at(dst)?.reachable()?, host(src), bytes, stream, default)
    }

    fn cuMemcpyDtoHAsync_v2/cuMemcpyDtoHAsync_v2_ptsz[default](
        dst: *mut c_void,
        src: CUdeviceptr,
        bytes: usize,
        stream: CUstream,
    ) {
        stream_copy(host(dst), Place::at(src)?.reachable()?, bytes, stream, default)
    }

    fn cuMemcpyDtoDAsync_v2/cuMemcpyDtoDAsync_v2_ptsz[default](
        dst: CUdeviceptr,
        src: CUdeviceptr,
        bytes: usize,
        stream: CUstream,
    ) {
        stream_copy(Place::at(dst)?.reachable()?, Place::at(src)?.reachable()?, bytes, stream, default)
    }

    fn cuMemcpyAsync/cuMemcpyAsync_ptsz[default](
        dst: CUdeviceptr,
        src: CUdeviceptr,
        bytes: usize,
        stream: CUstream,
    ) {
        stream_copy(Place::at(dst)?, Place::at(src)?, bytes, stream, default)
    }
}
