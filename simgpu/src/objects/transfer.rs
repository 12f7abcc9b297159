//! One copy: from where to where, in what shape, and how it is done.

use super::channels::Channels;
use super::driver::driver;
use super::host_memory::{self, HostPointer};
use super::{Outcome, pages};
use crate::machine::Machine;
use crate::os::{Fault, for_each_page_run};
use crate::timing::bus;
use crate::timing::clock::{now, sleep_until};
use crate::timing::piece::{NOTE_EVERY, Piece};
use abi::cuda::*;
use std::sync::Arc;
use units::{Bytes, DeviceVa, Nanos};

/// One end of a stretch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Host(HostPointer),
    Device(DeviceVa),
}

impl Place {
    /// The place that an address means: the device's where there is device memory at it, else the host's. An address at which
    /// device memory was is nobody's.
    pub(crate) fn at(address: u64) -> Outcome<Self> {
        let (va, memory) = (DeviceVa::new(address), &driver()?.memory);
        match memory.find(va) {
            Some(_) => Ok(Place::Device(va)),
            None if address == 0 || memory.was_given_out(va) => Err(CUDA_ERROR_INVALID_VALUE),
            None => Ok(Place::Host(HostPointer(address as *mut u8))),
        }
    }

    /// The place that an address means where nobody said whose it is. The host's has to be there: who names no kind of memory
    /// may have named none.
    pub(crate) fn unified(address: u64, bytes: usize) -> Outcome<Self> {
        match Self::at(address)? {
            Place::Host(pointer) if !host_memory::is_mapped(pointer.0 as usize, bytes) => Err(CUDA_ERROR_INVALID_VALUE),
            place => Ok(place),
        }
    }

    /// The place, where the caller said that it is the device's: device memory, or pinned memory by its address.
    pub(crate) fn reachable(self) -> Outcome<Self> {
        match self {
            Place::Host(pointer) if host_memory::find(pointer.0 as usize).is_none() => Err(CUDA_ERROR_INVALID_VALUE),
            place => Ok(place),
        }
    }

    /// The place so many bytes further on.
    fn plus(self, bytes: usize) -> Self {
        match self {
            Place::Host(pointer) => Place::Host(HostPointer(pointer.0.wrapping_add(bytes))),
            Place::Device(va) => Place::Device(DeviceVa::new(va.get().wrapping_add(bytes as u64))),
        }
    }

    fn check(self, bytes: usize) -> Outcome {
        match self {
            Place::Device(va) => driver()?.memory.check(va, Bytes::new(bytes as u64)),
            Place::Host(pointer) => (pointer.0 as usize).checked_add(bytes).map(drop).ok_or(CUDA_ERROR_INVALID_VALUE),
        }
    }
}

/// One side of a copy: where its first byte is, and how its lines lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    pub(crate) place: Place,
    /// Bytes from line to line.
    pub(crate) pitch: usize,
    /// Lines from slice to slice.
    pub(crate) lines: usize,
}

/// The shape of a copy: bytes a line, lines a slice, slices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) depth: usize,
}

impl Shape {
    /// A single line.
    pub(crate) fn line(width: usize) -> Self {
        Shape { width, height: 1, depth: 1 }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0 || self.depth == 0
    }

    fn bytes(self) -> Option<usize> {
        self.width.checked_mul(self.height)?.checked_mul(self.depth)
    }
}

impl Side {
    /// A side without gaps.
    pub(crate) fn packed(place: Place, shape: Shape) -> Self {
        Side { place, pitch: shape.width, lines: shape.height }
    }

    /// How many bytes lie from the first one copied to the last, or an error where there cannot be as many.
    fn span(self, shape: Shape) -> Outcome<usize> {
        let span = || {
            let slices = self.pitch.checked_mul(self.lines)?.checked_mul(shape.depth.checked_sub(1)?)?;
            let lines = self.pitch.checked_mul(shape.height.checked_sub(1)?)?;
            slices.checked_add(lines)?.checked_add(shape.width).filter(|&span| span <= isize::MAX as usize)
        };
        span().ok_or(CUDA_ERROR_INVALID_VALUE)
    }

    /// Whether the program may not touch the memory without the driver's knowing.
    fn is_steady(self, shape: Shape) -> bool {
        match (self.place, self.span(shape)) {
            (Place::Device(_), _) => true,
            (Place::Host(pointer), Ok(span)) => host_memory::is_pinned(pointer.0 as usize, span),
            (Place::Host(_), Err(_)) => false,
        }
    }

    fn is_packed(self, shape: Shape) -> bool {
        (self.pitch == shape.width || shape.height * shape.depth == 1)
            && (self.lines == shape.height || shape.depth == 1)
    }

    fn line(self, z: usize, y: usize) -> Place {
        self.place.plus((z * self.lines + y) * self.pitch)
    }
}

/// A copy.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) from: Side,
    pub(crate) to: Side,
    pub(crate) shape: Shape,
    /// The bytes that pageable memory held when the copy was asked for; `from` points there.
    staged: Option<Arc<Vec<u8>>>,
}

impl Transfer {
    /// A copy whose two sides were found to be there. The shape is not empty.
    pub(crate) fn new(from: Side, to: Side, shape: Shape) -> Outcome<Self> {
        shape.bytes().ok_or(CUDA_ERROR_INVALID_VALUE)?;
        from.place.check(from.span(shape)?)?;
        to.place.check(to.span(shape)?)?;
        Ok(Transfer { from, to, shape, staged: None })
    }

    /// Whether the copy can go on after the call: its destination is no pageable memory.
    pub(crate) fn may_return_early(&self) -> bool {
        self.to.is_steady(self.shape)
    }

    /// The copy, with a pageable source read now, as the program may change it after the call.
    pub(crate) fn staged(mut self) -> Self {
        if self.from.is_steady(self.shape) {
            return self;
        }
        let mut data = Vec::with_capacity(self.bytes());
        for (z, y) in self.lines() {
            if let Place::Host(line) = self.from.line(z, y) {
                // SAFETY: the program gave `width` readable bytes at each line of the shape.
                data.extend_from_slice(unsafe { core::slice::from_raw_parts(line.0.cast_const(), self.shape.width) });
            }
        }
        let data = Arc::new(data);
        self.from = Side::packed(Place::Host(HostPointer(data.as_ptr().cast_mut())), self.shape);
        self.staged = Some(data);
        self
    }

    fn bytes(&self) -> usize {
        self.shape.width * self.shape.height * self.shape.depth
    }

    fn lines(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let height = self.shape.height;
        (0..self.shape.depth).flat_map(move |z| (0..height).map(move |y| (z, y)))
    }

    /// Does the copy, through the group that a context copies with.
    ///
    /// The data move at once, and the copy ends when its group has had the engine for long enough. Where the host is too
    /// slow for the simulated bus, the engine is as slow as the host while the group has it.
    pub(crate) fn run(&self, channels: &Channels, ready: Nanos) -> Result<Nanos, Fault> {
        let Ok(driver) = driver() else { return Ok(ready) };
        let (machine, spec) = (driver.machine, driver.machine.spec());
        let bytes = Bytes::new(self.bytes() as u64);
        let (group, gbps) = match (self.from.place, self.to.place) {
            (Place::Host(_), Place::Device(_)) => (Some(&channels.to_device), spec.bus.h2d_gbps),
            (Place::Device(_), Place::Host(_)) => (Some(&channels.to_host), spec.bus.d2h_gbps),
            // Each byte is read and written; SMs do it, or an engine as fast as they are.
            (Place::Device(_), Place::Device(_)) => (None, spec.dram.gbps / 2.0),
            (Place::Host(_), Place::Host(_)) => (None, f64::INFINITY),
        };
        if let Some((group, engine)) = group.and_then(|group| Some((group, machine.engine(group)?))) {
            let duration = bus::duration(bytes, gbps, spec.bus.latency_us);
            let mut piece = Piece::ask(engine, group, ready, duration, bytes);
            self.move_over(machine, &mut piece)?;
            return Ok(piece.finish());
        }
        let cost = if gbps.is_finite() { spec.launch_us } else { 0.0 };
        self.move_data(machine, &mut |_| ())?;
        let end = now().max(ready + bus::duration(bytes, gbps, cost));
        sleep_until(end);
        Ok(end)
    }

    /// Moves the data over the bus, and notes from time to time how far they are.
    fn move_over(&self, machine: &Machine, piece: &mut Piece<'_>) -> Result<(), Fault> {
        let (mut noted, bytes) = (0, self.bytes());
        self.move_data(machine, &mut |moved| {
            if moved - noted >= NOTE_EVERY.as_usize() || moved == bytes {
                noted = moved;
                piece.moved(Bytes::new(moved as u64));
            }
        })
    }

    /// Moves the data, and tells between host and device after each stretch how much was moved so far.
    fn move_data(&self, machine: &Machine, moved: &mut dyn FnMut(usize)) -> Result<(), Fault> {
        if self.from.is_packed(self.shape) && self.to.is_packed(self.shape) {
            return move_line(machine, self.from.place, self.to.place, self.bytes(), moved);
        }
        let (mut before, width) = (0, self.shape.width);
        for (z, y) in self.lines() {
            move_line(machine, self.from.line(z, y), self.to.line(z, y), width, &mut |line| moved(before + line))?;
            before += width;
        }
        Ok(())
    }
}

/// The parts of a stretch after which the host notes how far it is: where each begins, and its length.
fn parts(whole: Bytes) -> impl Iterator<Item = (Bytes, Bytes)> {
    let part = move |at: u64| (Bytes::new(at), NOTE_EVERY.min(whole.saturating_sub(Bytes::new(at))));
    (0..whole.get()).step_by(NOTE_EVERY.as_usize()).map(part)
}

/// Moves one stretch.
fn move_line(
    machine: &Machine,
    from: Place,
    to: Place,
    bytes: usize,
    moved: &mut dyn FnMut(usize),
) -> Result<(), Fault> {
    match (from, to) {
        (Place::Host(from), Place::Host(to)) => {
            // SAFETY: the program gave that many bytes at both places, to be used until the copy is done, or the
            // source is as long a copy; they may overlap, which `copy` allows.
            unsafe { to.0.copy_from(from.0, bytes) };
            Ok(())
        }
        (Place::Host(from), Place::Device(to)) => {
            for_each_page_run(to, Bytes::new(bytes as u64), &mut |at, phys, run| {
                for (offset, length) in parts(run) {
                    let done = (at - to + offset).as_usize();
                    // SAFETY: the program gave `bytes` readable bytes, or they are staged, and the part of the run lies
                    // within them. No other thread of the driver writes there; one of the program's that does breaks the
                    // contract of the copy.
                    let part = unsafe { core::slice::from_raw_parts(from.0.add(done).cast_const(), length.as_usize()) };
                    machine.write(phys + offset, part);
                    moved(done + length.as_usize());
                }
            })
        }
        (Place::Device(from), Place::Host(to)) => {
            for_each_page_run(from, Bytes::new(bytes as u64), &mut |at, phys, run| {
                for (offset, length) in parts(run) {
                    let done = (at - from + offset).as_usize();
                    // SAFETY: the program gave `bytes` writable bytes for this copy alone, and the part of the run lies
                    // within.
                    let part = unsafe { core::slice::from_raw_parts_mut(to.0.add(done), length.as_usize()) };
                    machine.read(phys + offset, part);
                    moved(done + length.as_usize());
                }
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
