//! The copy gate: whole copies while nobody else wants the bus, pieces in turn while somebody does.
//!
//! A latency-sensitive tenant never waits: it only shows that it copies, so that the arbiter holds the others back. A
//! best-effort tenant's copy is cut into pieces, each of which waits for the arbiter's leave: on a stream by stream
//! memory operations on the lane (the host thread goes on at once), in a blocking call on the calling thread.

use crate::decision::{Decision, Why};
use crate::life::{self, Joined};
use crate::log::warning;
use crate::{broken, captures, fault, gpus, real, watchdog};
use abi::cuda::*;
use region::{Class, Direction, LANES, Lane, Waited};
use std::ffi::c_void;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use units::{Bytes, DeviceVa};

/// How long a blocking copy waits for leave before it goes without.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// The lane of copies that block their thread; the others are for streams.
const BLOCKING_LANE: usize = LANES - 1;

/// Held while a copy's pieces are numbered and put into a stream, so that two threads that share a lane do not mix.
static ORDER: [Mutex<()>; LANES] = [const { Mutex::new(()) }; LANES];

/// A part of a copy.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    offset: usize,
    len: usize,
}

impl Piece {
    /// How many bytes.
    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// Where the piece begins in a range that begins at `start`.
    pub(crate) fn of<T: Start>(self, start: T) -> T {
        start.plus(self.offset)
    }
}

/// Where a copy begins, on either side.
pub(crate) trait Start {
    fn plus(self, offset: usize) -> Self;
}

impl Start for CUdeviceptr {
    fn plus(self, offset: usize) -> Self {
        self.wrapping_add(offset as u64)
    }
}

impl Start for *const c_void {
    fn plus(self, offset: usize) -> Self {
        self.wrapping_byte_add(offset)
    }
}

impl Start for *mut c_void {
    fn plus(self, offset: usize) -> Self {
        self.wrapping_byte_add(offset)
    }
}

/// A copy under way, and how far it is.
struct Copy<F> {
    bytes: usize,
    copied: usize,
    result: CUresult,
    copy: F,
}

impl<F: FnMut(Piece) -> CUresult> Copy<F> {
    fn new(bytes: Bytes, copy: F) -> Self {
        Copy { bytes: bytes.as_usize(), copied: 0, result: CUDA_SUCCESS, copy }
    }

    /// Hands the next `len` bytes to the driver. After an error nothing more is handed on.
    fn next(&mut self, len: usize) -> CUresult {
        if self.result == CUDA_SUCCESS {
            self.copied += len;
            let piece =
                Piece { offset: self.copied - len, len: len - usize::from(len > 0 && broken::is("short-copy")) };
            self.result = (self.copy)(piece);
        }
        self.result
    }

    /// Hands what is left to the driver in one piece; a copy of nothing, too, which the driver may refuse.
    fn rest(mut self) -> CUresult {
        match self.bytes - self.copied {
            0 if self.bytes > 0 => self.result,
            left => self.next(left),
        }
    }
}

/// A copy that is to take its turn.
struct Turn {
    joined: &'static Joined,
    gpu: usize,
    direction: Direction,
    bytes: usize,
    /// The size of a piece; the whole copy for those who do not wait.
    piece: usize,
}

impl Turn {
    fn waits(&self) -> bool {
        self.joined.settings.class == Class::Be
    }

    fn count(&self) -> u32 {
        self.bytes.div_ceil(self.piece) as u32
    }

    /// The sizes of the pieces.
    fn pieces(&self) -> impl Iterator<Item = usize> + use<> {
        let (bytes, piece) = (self.bytes, self.piece);
        (0..bytes).step_by(piece).map(move |offset| piece.min(bytes - offset))
    }

    fn lane(&self, lane: usize) -> &'static Lane {
        self.joined.slot().lane(self.gpu, self.direction, lane)
    }
}

fn decide(direction: Direction, device: DeviceVa, bytes: Bytes) -> Decision<Turn> {
    let Some(joined) = life::joined() else { return Decision::PassThrough(Why::NotJoined) };
    if fault::has_failed() {
        return Decision::PassThrough(Why::Fault);
    }
    let Some(gpu) = gpus::current(joined) else { return Decision::PassThrough(Why::UnknownGpu) };
    let header = &joined.region.layout().header;
    joined.tenant().moved[gpu][direction as usize].fetch_add(bytes.get(), Ordering::Relaxed);
    header.doorbell.ring();
    if !joined.settings.copies || bytes == Bytes::ZERO {
        return Decision::PassThrough(Why::CopiesOff);
    }
    if header.gpus[gpu].bus(direction).contended.load(Ordering::Relaxed) == 0 {
        return Decision::PassThrough(Why::Uncontended);
    }
    if joined.silent.load(Ordering::Relaxed) {
        return Decision::PassThrough(Why::ArbiterSilent);
    }
    let range = bytes;
    let bytes = bytes.as_usize();
    let piece = match joined.settings.class {
        Class::Ls => bytes,
        // The arbiter's word, but never so small that a copy has more pieces than tickets can number.
        Class::Be => (header.piece_bytes.load(Ordering::Relaxed) as usize).max(4096).max(bytes >> 16),
    };
    if piece < bytes && !is_all_there(device, range) {
        return Decision::PassThrough(Why::UnknownRange);
    }
    Decision::Govern(Turn { joined, gpu, direction, bytes, piece })
}

/// Whether the driver knows all of the range, which may be several mappings in a row. A copy of any other it has to
/// refuse as a whole; in pieces the first of them would be done.
fn is_all_there(device: DeviceVa, bytes: Bytes) -> bool {
    let Some(ask) = real::cuMemGetAddressRange_v2.get() else { return false };
    let Some(end) = device.checked_add(bytes) else { return false };
    let mut at = device;
    while at < end {
        let (mut base, mut len) = (0, 0);
        // SAFETY: the function writes an address and a length.
        let result = unsafe { ask(&mut base, &mut len, at.get()) };
        let next = DeviceVa::new(base).checked_add(Bytes::new(len as u64));
        match next.filter(|&next| result == CUDA_SUCCESS && next > at) {
            Some(next) => at = next,
            None => return false,
        }
    }
    true
}

/// Decides on a copy, and counts it where it passes through.
fn consider<T>(decide: impl FnOnce() -> Decision<T>) -> Option<T> {
    match fault::shielded(decide)? {
        Decision::Govern(turn) => Some(turn),
        Decision::PassThrough(why) => {
            life::passed(why);
            None
        }
    }
}

/// A copy that blocks its thread.
pub(crate) fn blocking(
    direction: Direction,
    device: DeviceVa,
    bytes: Bytes,
    copy: impl FnMut(Piece) -> CUresult,
) -> CUresult {
    let mut copy = Copy::new(bytes, copy);
    if let Some(turn) = consider(|| decide(direction, device, bytes)) {
        fault::shielded(|| turn.take_blocking(&mut copy));
    }
    copy.rest()
}

/// The tickets of a copy. However the copy ends, nobody waits for what does not come.
struct Tickets<'a> {
    lane: &'a Lane,
    last: u32,
    completed: bool,
}

impl Drop for Tickets<'_> {
    fn drop(&mut self) {
        if !self.completed {
            self.lane.open_all();
            self.lane.finish(self.last);
        }
    }
}

impl Turn {
    fn take_blocking(&self, copy: &mut Copy<impl FnMut(Piece) -> CUresult>) {
        // Blocking copies of other threads take their turn behind this one, as on the bus itself.
        let _order = ORDER[BLOCKING_LANE].lock().unwrap_or_else(PoisonError::into_inner);
        let lane = self.lane(BLOCKING_LANE);
        let first = lane.take(self.count());
        let last = first.wrapping_add(self.count() - 1);
        let mut tickets = Tickets { lane, last, completed: false };
        lane.ask(last);
        self.joined.region.layout().header.doorbell.ring();
        watchdog::look_soon();
        fault::on_purpose("panic-copy");
        let mut ticket = first;
        let mut gated = self.waits();
        for piece in self.pieces() {
            if gated {
                gated = self.wait(lane, ticket);
            }
            if copy.next(piece) != CUDA_SUCCESS {
                return;
            }
            lane.finish(ticket);
            ticket = ticket.wrapping_add(1);
        }
        tickets.completed = true;
    }

    /// Waits for leave; false where the arbiter gave none in time, so that the rest of the copy goes without.
    fn wait(&self, lane: &Lane, ticket: u32) -> bool {
        let start = Instant::now();
        let waited = lane.wait(ticket, LONGEST_WAIT);
        self.joined.tenant().copy_wait.record(start.elapsed().as_micros() as u64);
        if waited == Waited::TimedOut {
            self.joined.tenant().gate_timeouts.fetch_add(1, Ordering::Relaxed);
            lane.open_all();
        }
        waited == Waited::Granted
    }
}

/// A copy in the order of a stream.
pub(crate) fn in_stream(
    direction: Direction,
    device: DeviceVa,
    bytes: Bytes,
    stream: CUstream,
    copy: impl FnMut(Piece) -> CUresult,
) -> CUresult {
    let mut copy = Copy::new(bytes, copy);
    let turn = consider(|| match decide(direction, device, bytes) {
        Decision::Govern(turn) => turn.through(stream),
        Decision::PassThrough(why) => Decision::PassThrough(why),
    });
    if let Some((turn, gate)) = turn {
        fault::shielded(|| turn.take_in_stream(&gate, &mut copy));
    }
    copy.rest()
}

/// Where the GPU sees the first of this slot's lanes.
#[derive(Clone, Copy)]
pub(crate) struct LaneAddresses {
    host: usize,
    device: CUdeviceptr,
}

impl LaneAddresses {
    /// Hands the slot's lanes to the driver, once.
    fn of(joined: &Joined) -> Option<LaneAddresses> {
        *joined.lanes.get_or_init(|| {
            let (pages, len) = joined.slot().lane_pages();
            let flags = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP;
            // SAFETY: whole pages of the region, which stay mapped as long as the process lives.
            let registered = unsafe { real::cuMemHostRegister_v2.get()?(pages.cast(), len, flags) };
            let mut device = 0;
            // SAFETY: the pages were registered just now, for mapping.
            let found = unsafe { real::cuMemHostGetDevicePointer_v2.get()?(&mut device, pages.cast(), 0) };
            if registered != CUDA_SUCCESS || found != CUDA_SUCCESS {
                // The kernel pins pages for a device only where no file system has to write them back.
                warning!(
                    "copies in streams are not gated: the driver does not take the region's memory (error {registered}); \
                     {} must lie on a tmpfs such as /run or /dev/shm",
                    joined.region.path().display()
                );
                return None;
            }
            Some(LaneAddresses { host: pages as usize, device })
        })
    }

    fn device(self, word: *const u32) -> CUdeviceptr {
        self.device + (word as usize - self.host) as u64
    }
}

/// What a stream needs to take turns.
struct StreamGate {
    stream: CUstream,
    lane: usize,
    asked: CUdeviceptr,
    done: CUdeviceptr,
    gate: CUdeviceptr,
    write: unsafe extern "C" fn(CUstream, CUdeviceptr, u32, u32) -> CUresult,
    wait: unsafe extern "C" fn(CUstream, CUdeviceptr, u32, u32) -> CUresult,
}

impl StreamGate {
    fn write(&self, word: CUdeviceptr, value: u32) -> bool {
        // SAFETY: the stream is the caller's; the word lies in pages registered with the driver.
        unsafe { (self.write)(self.stream, word, value, CU_STREAM_WRITE_VALUE_DEFAULT) == CUDA_SUCCESS }
    }

    fn wait(&self, ticket: u32) -> bool {
        // SAFETY: as above.
        unsafe { (self.wait)(self.stream, self.gate, ticket, CU_STREAM_WAIT_VALUE_GEQ) == CUDA_SUCCESS }
    }
}

impl Turn {
    fn through(self, stream: CUstream) -> Decision<(Turn, StreamGate)> {
        if captures::may_go_on(stream) {
            return Decision::PassThrough(Why::Capturing);
        }
        let parts =
            (LaneAddresses::of(self.joined), real::cuStreamWriteValue32_v2.get(), real::cuStreamWaitValue32_v2.get());
        let (Some(addresses), Some(write), Some(wait)) = parts else {
            return Decision::PassThrough(Why::NoStreamGate);
        };
        // Streams are pointers to large structures, so their low bits say little.
        let lane = ((stream as usize).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) % BLOCKING_LANE;
        let [asked, done, gate] = self.lane(lane).words().map(|word| addresses.device(word));
        let gate = StreamGate { stream, lane, asked, done, gate, write, wait };
        Decision::Govern((self, gate))
    }

    /// Asks for the copy when its stream comes to it.
    ///
    /// A stream that is idle has come to it: then the host asks. That matters for the latency-sensitive: a copy engine
    /// serves one channel for its whole time slice of about a millisecond while that has work, so an ask that is itself
    /// in the stream would be seen only when the other's slice is over (measured on an H200: LS p99 1063 us).
    fn ask(&self, gate: &StreamGate, lane: &Lane, last: u32) -> bool {
        // SAFETY: the stream is the caller's and is not being captured.
        let idle = real::cuStreamQuery.get().is_some_and(|query| unsafe { query(gate.stream) } == CUDA_SUCCESS);
        if idle && !self.waits() {
            lane.ask(last);
            return true;
        }
        gate.write(gate.asked, last)
    }

    fn take_in_stream(&self, gate: &StreamGate, copy: &mut Copy<impl FnMut(Piece) -> CUresult>) {
        let _order = ORDER[gate.lane].lock().unwrap_or_else(PoisonError::into_inner);
        let lane = self.lane(gate.lane);
        let first = lane.take(self.count());
        let last = first.wrapping_add(self.count() - 1);
        let mut tickets = Tickets { lane, last, completed: false };
        let mut working = self.ask(gate, lane, last);
        self.joined.region.layout().header.doorbell.ring();
        watchdog::look_soon();
        let mut ticket = first;
        for piece in self.pieces() {
            working = working && (!self.waits() || gate.wait(ticket));
            let result = copy.next(piece);
            working = working && gate.write(gate.done, ticket);
            if result != CUDA_SUCCESS {
                return;
            }
            ticket = ticket.wrapping_add(1);
        }
        tickets.completed = working;
    }
}
