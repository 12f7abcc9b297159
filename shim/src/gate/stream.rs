//! Copies in the order of a stream: the stream itself asks and waits, by memory operations on a lane.

use super::idle::is_next_to_run;
use super::mapped::Mapped;
use super::{BLOCKING_LANE, Copy, How, Place, Turn, consider, count, decide, turn_of};
use crate::cut::Part;
use crate::decision::{Decision, Why};
use crate::traffic::{Load, Loads, Traffic};
use crate::{captures, fault, real, watchdog};
use abi::cuda::*;
use region::{Direction, GPUS, LANES, Lane};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{MutexGuard, PoisonError, TryLockError};

/// A copy in the order of a stream. `copy` hands a part to the driver, or with none what the caller asked for.
pub(crate) fn in_stream(traffic: Traffic, stream: CUstream, copy: impl FnMut(Option<Part>) -> CUresult) -> CUresult {
    let mut copy = Copy::new(traffic.extent(), copy);
    let how = consider(|| match turn_of(traffic, Place::Stream(stream)) {
        Decision::Govern(How::InTurn(turn)) => turn.through(stream),
        Decision::Govern(How::Ferried) => Decision::Govern(Way::Ferried),
        Decision::PassThrough(why) => Decision::PassThrough(why),
    });
    match how {
        Some(Way::Ferried) => return CUDA_SUCCESS,
        Some(Way::Lane(mut placed)) => {
            fault::shielded(|| placed.go(&mut copy));
        }
        None => {}
    }
    copy.rest()
}

/// What becomes of a copy in a stream.
enum Way {
    Lane(Placed),
    Ferried,
}

/// Work in the order of a stream that moves things both ways and that the driver takes as one.
pub(crate) fn around(loads: Loads, stream: CUstream, forward: impl FnOnce() -> CUresult) -> CUresult {
    let Some((joined, gpu)) = consider(|| count(loads.over, loads.within)) else { return forward() };
    // The waits stand in this order in every stream, so that no two can wait for each other's turn.
    let turns = Direction::ALL.map(|direction| {
        let load = Load { direction, bytes: loads.over[direction as usize], is_stretch: false, cut: None };
        if load.bytes == units::Bytes::ZERO {
            return None;
        }
        let way = consider(|| match decide(joined, gpu, load, Place::Batch) {
            Decision::Govern(How::InTurn(turn)) => turn.through(stream),
            Decision::Govern(How::Ferried) => Decision::Govern(Way::Ferried),
            Decision::PassThrough(why) => Decision::PassThrough(why),
        })?;
        if let Way::Lane(placed) = way { Some(placed) } else { None }
    });
    let [mut to_device, mut to_host] = turns;
    let mut forward = Some(forward);
    let mut copy = Copy::new(None, |_| forward.take().map_or(CUDA_ERROR_UNKNOWN, |forward| forward()));
    match (&mut to_device, &mut to_host) {
        (Some(one), Some(other)) => {
            fault::shielded(|| {
                one.begin();
                other.go(&mut copy);
                one.end(copy.next());
            });
        }
        (Some(one), None) | (None, Some(one)) => {
            fault::shielded(|| one.go(&mut copy));
        }
        (None, None) => {}
    }
    copy.rest()
}

/// Whose copies are in each lane. A lane that two streams share would have one wait for the other, which may be behind a
/// long kernel; so a stream takes a lane that has nothing in it.
static OWNERS: [[[AtomicUsize; LANES]; 2]; GPUS] =
    [const { [const { [const { AtomicUsize::new(0) }; LANES] }; 2] }; GPUS];

impl Turn {
    /// The lane for the stream's next copy, with its order held: the one in which it has copies already, or an empty
    /// one. `None` where every lane has another stream's copies in it.
    fn lane_for(&self, stream: CUstream) -> Option<(usize, MutexGuard<'static, ()>)> {
        let owners = &OWNERS[self.gpu][self.direction as usize];
        // Streams are pointers to large structures, so their low bits say little.
        let start = (stream as usize).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
        let lanes = || (0..BLOCKING_LANE).map(|i| (start + i) % BLOCKING_LANE);
        let own = |&lane: &usize| owners[lane].load(Ordering::Acquire) == stream as usize;
        if let Some(lane) = lanes().filter(own).find(|&lane| self.lane(lane).is_outstanding()) {
            let guard = self.order(lane).lock().unwrap_or_else(PoisonError::into_inner);
            return Some((lane, guard));
        }
        lanes().find_map(|lane| {
            let guard = match self.order(lane).try_lock() {
                Ok(guard) => guard,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return None,
            };
            (!self.lane(lane).is_outstanding()).then(|| {
                owners[lane].store(stream as usize, Ordering::Release);
                (lane, guard)
            })
        })
    }

    fn through(self, stream: CUstream) -> Decision<Way> {
        if captures::may_go_on(stream) {
            return Decision::PassThrough(Why::Capturing);
        }
        let parts =
            (Mapped::lanes(self.joined), real::cuStreamWriteValue32_v2.get(), real::cuStreamWaitValue32_v2.get());
        let (Some(addresses), Some(write), Some(wait)) = parts else {
            return Decision::PassThrough(Why::NoStreamGate);
        };
        let Some((lane, order)) = self.lane_for(stream) else { return Decision::PassThrough(Why::NoLane) };
        let lane = self.lane(lane);
        let [asked, done, gate] = lane.words().map(|word| addresses.device(word));
        let gate = StreamGate { stream, asked, done, gate, write, wait };
        let placed = Placed { turn: self, gate, lane, next: 0, last: 0, begun: false, working: true, _order: order };
        Decision::Govern(Way::Lane(placed))
    }
}

/// What a stream needs to take turns.
struct StreamGate {
    stream: CUstream,
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

/// A turn that has its lane.
struct Placed {
    turn: Turn,
    gate: StreamGate,
    lane: &'static Lane,
    /// The tickets of the next piece and of the last one.
    next: u32,
    last: u32,
    /// Whether tickets were taken that are not marked as done by an operation in the stream.
    begun: bool,
    /// Whether every operation was taken so far.
    working: bool,
    _order: MutexGuard<'static, ()>,
}

impl Placed {
    /// Asks for the copy when its stream comes to it.
    ///
    /// Where the stream has come to it already the host asks, which is seen at once. A copy engine serves one channel for
    /// its whole time slice of about a millisecond while that always has work, and looks at no other: so the arbiter, which
    /// sees that a latency-sensitive copy was submitted, leaves it gaps to look for the asking in. A best-effort tenant with
    /// small copies had a tenth of the bus instead of its half when its streams asked (measured on an H100).
    fn ask(&self, last: u32) -> bool {
        if is_next_to_run(self.gate.stream) {
            self.lane.ask(last);
            return true;
        }
        self.gate.write(self.gate.asked, last)
    }

    /// Puts into the stream what comes before the first piece.
    fn begin(&mut self) {
        (self.next, self.last) = self.turn.take_tickets(self.lane);
        self.begun = true;
        self.working = self.ask(self.last);
        self.turn.ring();
        watchdog::look_soon();
        self.wait();
    }

    fn wait(&mut self) {
        self.working = self.working && (!self.turn.waits() || self.gate.wait(self.next));
    }

    /// Puts into the stream what comes after a piece. After an error, no more pieces come.
    fn end(&mut self, result: CUresult) {
        let ends = result != CUDA_SUCCESS || self.next == self.last;
        if !self.working && !ends {
            return;
        }
        let ticket = if ends { self.last } else { self.next };
        let written = self.gate.write(self.gate.done, ticket);
        self.working = self.working && written;
        self.begun = self.begun && !(written && ends);
    }

    fn go(&mut self, copy: &mut Copy<impl FnMut(Option<Part>) -> CUresult>) {
        copy.cut(self.turn.parts);
        self.begin();
        for piece in 0..self.turn.count() {
            if piece > 0 {
                self.next = self.next.wrapping_add(1);
                self.wait();
            }
            let result = copy.next();
            self.end(result);
            if result != CUDA_SUCCESS {
                return;
            }
        }
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if self.begun {
            // The stream takes no more operations, so the lane stays with it: an operation that it took before may come
            // any time, and must not meet another stream's tickets. The gate is open for all that is in it.
            self.lane.open_all();
        }
    }
}

/// The stream is to be destroyed. Its work may go on, so another with the same handle must not take over its lanes.
pub(crate) fn forget(stream: CUstream) {
    for owner in OWNERS.iter().flatten().flatten() {
        let _ = owner.compare_exchange(stream as usize, NOBODY, Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// No stream has this handle (it is none of the special ones, and not aligned).
const NOBODY: usize = 7;
