//! The copy gate: whole copies while nobody else wants the bus, pieces in turn while somebody does.
//!
//! A latency-sensitive tenant never waits: it only shows that it copies, so that the arbiter holds the others' pieces
//! back; where they have none, not even that. A best-effort tenant's copy is cut into pieces, each of which waits for the arbiter's leave: on a
//! stream by stream memory operations on the lane ([`stream`]; the host thread goes on at once), in a blocking call on the
//! calling thread ([`blocking`]). What the driver takes as one, such as a batch or a graph, waits as one piece. Beside
//! latency-sensitive tenants that would not feel it, large copies to the device go past the copy engine ([`ferry`]).

mod blocking;
mod copy;
mod idle;
mod mapped;
mod stream;

pub(crate) use blocking::blocking;
pub(crate) use idle::is_next_to_run;
pub(crate) use mapped::Mapped;
pub(crate) use stream::{around, forget, in_stream};

use crate::cut::{Extent, Parts};
use crate::decision::{Decision, Why};
use crate::life::{self, Joined};
use crate::traffic::{self, Ends, Load, Span, Traffic};
use crate::{fault, ferry, gpus, real};
use abi::cuda::{CUDA_SUCCESS, CUstream};
use copy::Copy;
use region::{Class, Direction, LANES, Lane, Regime, SMALL_COPY};
use settings::CopyChoice;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use units::{Bytes, DeviceVa};

/// The lane of copies that block their thread; the others are for streams.
const BLOCKING_LANE: usize = LANES - 1;

/// The least that a piece is, whatever the arbiter says.
const LEAST_PIECE: usize = 4096;

/// Held while a copy's pieces are numbered and put into a stream, so that two threads that share a lane do not mix.
static ORDER: [[[Mutex<()>; LANES]; 2]; region::GPUS] =
    [const { [const { [const { Mutex::new(()) }; LANES] }; 2] }; region::GPUS];

/// A copy that is to take its turn.
struct Turn {
    joined: &'static Joined,
    gpu: usize,
    direction: Direction,
    /// Its parts, each of which is a piece; `None` for a copy that goes as one.
    parts: Option<Parts>,
    bytes: Bytes,
}

impl Turn {
    /// Whether it waits for leave; if not, it only shows that it is there.
    fn waits(&self) -> bool {
        self.joined.settings.class == Class::Be
    }

    /// How many tickets it needs.
    fn count(&self) -> u32 {
        self.parts.map_or(1, |parts| parts.number() as u32)
    }

    /// What a piece is charged for.
    fn piece(&self) -> Bytes {
        self.parts.map_or(self.bytes, |parts| Bytes::new(parts.piece() as u64))
    }

    fn lane(&self, lane: usize) -> &'static Lane {
        self.joined.slot().lane(self.gpu, self.direction, lane)
    }

    /// Lets the arbiter know that somebody asks; only who waits for leave has to wake it.
    fn ring(&self) {
        let bell = &self.joined.region.layout().header.doorbell;
        if self.waits() { bell.ring_for_leave() } else { bell.ring() }
    }

    fn order(&self, lane: usize) -> &'static Mutex<()> {
        &ORDER[self.gpu][self.direction as usize][lane]
    }
}

/// How a governed copy goes.
enum How {
    /// In its turn.
    InTurn(Turn),
    /// Past the copy engine: its stream waits for the kernel that does it.
    Ferried,
}

/// Where a copy runs.
#[derive(Clone, Copy)]
enum Place {
    /// In the thread that calls for it, which waits.
    Thread,
    /// In the order of a stream.
    Stream(CUstream),
    /// Somewhere in what the driver takes as one.
    Batch,
}

/// Counts what a call moves, whatever becomes of it. The GPU that it is about, if it is governed at all.
fn count(over: [Bytes; 2], within: Bytes) -> Decision<(&'static Joined, usize)> {
    let Some(joined) = life::joined() else { return Decision::PassThrough(Why::NotJoined) };
    if fault::has_failed() {
        return Decision::PassThrough(Why::Fault);
    }
    if within > Bytes::ZERO {
        joined.tenant().on_device.fetch_add(within.get(), Ordering::Relaxed);
    }
    let Some(gpu) = gpus::current(joined) else { return Decision::PassThrough(Why::UnknownGpu) };
    for (moved, bytes) in joined.tenant().moved[gpu].iter().zip(over) {
        if bytes > Bytes::ZERO {
            moved.fetch_add(bytes.get(), Ordering::Relaxed);
        }
    }
    if over[Direction::H2d as usize] > SMALL_COPY && joined.settings.class == Class::Ls {
        joined.tenant().large[gpu].fetch_add(1, Ordering::Relaxed);
    }
    joined.region.layout().header.doorbell.ring();
    Decision::Govern((joined, gpu))
}

/// Whether what was counted has to take its turn in this direction.
fn decide(joined: &'static Joined, gpu: usize, load: Load, place: Place) -> Decision<How> {
    if joined.settings.copies == CopyChoice::Off || load.bytes == Bytes::ZERO {
        return Decision::PassThrough(Why::CopiesOff);
    }
    let bus = joined.region.layout().header.gpus[gpu].bus(load.direction);
    let regime = bus.regime();
    if regime == Regime::Free {
        return Decision::PassThrough(Why::Uncontended);
    }
    if joined.silent.load(Ordering::Relaxed) {
        return Decision::PassThrough(Why::ArbiterSilent);
    }
    let waits = joined.settings.class == Class::Be;
    // To show itself takes a write in the stream behind the copy, which is worth it only where pieces are to be held.
    if !waits && !bus.is_in_pieces() {
        return Decision::PassThrough(Why::GoesFirst);
    }
    // Beside other best-effort tenants it has to take turns with them, which the engine's pieces do.
    if waits
        && regime == Regime::Yield
        && bus.lets_past_the_engine()
        && let Some(crossing) = crossing(gpu, load, place)
        && ferry::take(joined, crossing).is_some()
    {
        joined.tenant().ferried.fetch_add(load.bytes.get(), Ordering::Relaxed);
        return Decision::Govern(How::Ferried);
    }
    let cut = load.cut.filter(|_| waits);
    let parts = cut.and_then(|(extent, ends)| parts(extent, ends, bus.piece()));
    Decision::Govern(How::InTurn(Turn { joined, gpu, direction: load.direction, parts, bytes: load.bytes }))
}

/// What the ferry needs to know of a copy, where it is one that it may take: one stretch to the device, in a stream.
fn crossing(gpu: usize, load: Load, place: Place) -> Option<ferry::Crossing> {
    let Place::Stream(stream) = place else { return None };
    let (_, ends) = load.cut.filter(|_| load.is_stretch && load.direction == Direction::H2d)?;
    Some(ferry::Crossing { to: ends.device, from: ends.host, stream, gpu })
}

/// The pieces of a copy that is larger than one; `None` for one that goes whole.
fn parts(extent: Extent, ends: Ends, piece: Bytes) -> Option<Parts> {
    let bytes = extent.bytes()?;
    // The arbiter's word, but never so small that a copy has more pieces than tickets can number.
    let piece = piece.as_usize().max(LEAST_PIECE).max(bytes >> 16);
    let parts = extent.parts(piece);
    let may = bytes > piece && (2..1 << 20).contains(&parts.number());
    (may && is_all_there(ends.device) && traffic::is_host_memory(ends.host)).then_some(parts)
}

/// Whether the driver knows all of the range as one. A copy of any other it may have to refuse as a whole; in pieces the
/// first of them would be done. Ranges that are several mappings in a row are not told from allocations in a row.
pub(crate) fn is_all_there(span: Span) -> bool {
    let Some(ask) = real::cuMemGetAddressRange_v2.get() else { return false };
    let (mut base, mut len) = (0, 0);
    // SAFETY: the function writes an address and a length.
    let known = unsafe { ask(&mut base, &mut len, span.start.get()) } == CUDA_SUCCESS;
    let ends = (DeviceVa::new(base).checked_add(Bytes::new(len as u64)), span.start.checked_add(span.len));
    known && matches!(ends, (Some(known), Some(end)) if end <= known)
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

/// Counts a copy, and decides on it if it crosses the bus.
fn turn_of(traffic: Traffic, place: Place) -> Decision<How> {
    match traffic {
        Traffic::Bus(load) => {
            let mut over = [Bytes::ZERO; 2];
            over[load.direction as usize] = load.bytes;
            match count(over, Bytes::ZERO) {
                Decision::Govern((joined, gpu)) => decide(joined, gpu, load, place),
                Decision::PassThrough(why) => Decision::PassThrough(why),
            }
        }
        Traffic::Within(bytes) => {
            count([Bytes::ZERO; 2], bytes);
            Decision::PassThrough(Why::OffTheBus)
        }
        Traffic::None => Decision::PassThrough(Why::OffTheBus),
    }
}

/// Counts what stays on devices.
pub(crate) fn within(bytes: Bytes) {
    fault::shielded(|| count([Bytes::ZERO; 2], bytes));
}

impl Turn {
    /// Takes the turn's tickets on the lane: the first and the last of them.
    fn take_tickets(&self, lane: &Lane) -> (u32, u32) {
        let first = lane.take(self.count(), self.piece());
        (first, first.wrapping_add(self.count() - 1))
    }
}
