//! The tenant's word about whether it has work on the GPU ([`region::Activity`]), kept by what the program does anyway.
//!
//! Work that is given to a stream sets the word. A call that waits for a stream, an event or a context, or that asks and is
//! told that it is done, clears it, unless more work was given meanwhile. For programs that do neither, the library's one
//! thread asks the driver after [`UNASKED`]. The word decides who waits for whom, and never what is right: one that is
//! cleared too early costs latency, one that is cleared late costs best-effort tenants time.

use super::membership::{self, Joined};
use crate::base::shield::shielded;
use crate::driver::null_stream::NullStream;
use crate::driver::streams::{self, LANES, Lane, Upto};
use crate::driver::{calls, objects::OBJECTS, query};
use abi::cuda::*;
use region::times::RESTING_LOOK;
use region::{Class, monotonic_nanos};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use units::Nanos;

mod gaps;
mod served;

pub(crate) use served::launches_graph;

/// The time after which the library's thread asks the driver about streams that nobody waits for: so long at most is
/// best-effort work held for nothing, and 200 questions a second cost nothing.
const UNASKED: Nanos = Nanos::from_millis(5);

/// The time without new work after which a stream that cannot be asked about counts as done.
const GIVEN_UP: Nanos = Nanos::from_millis(20);

/// A stream by its handle, and what a null handle means there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub(crate) handle: CUstream,
    pub(crate) null: NullStream,
}

impl Stream {
    /// The legacy default stream.
    pub(crate) const LEGACY: Stream = Stream { handle: CUstream::LEGACY, null: NullStream::Legacy };

    /// Its lane; `None` where there are too many.
    #[inline]
    pub(crate) fn lane(self) -> Option<&'static Lane> {
        streams::lane(self.handle, self.null)
    }
}

/// Whether a stream is being captured, so that what it is given is no work yet. Asked of the driver only while the process
/// captures anything.
#[inline]
pub(crate) fn is_captured(stream: Stream) -> bool {
    !OBJECTS.captures.is_empty() && crate::driver::capture::includes(stream.handle, stream.null)
}

/// Work is about to be given to a stream, which is not captured and has this lane.
#[inline]
pub(crate) fn given(joined: &Joined, lane: &Lane) {
    if lane.give() {
        begin(joined);
    }
}

/// Gives work to a stream.
#[inline]
pub(crate) fn giving<T>(stream: Stream, forward: impl FnOnce() -> T) -> T {
    if let Some(joined) = membership::joined()
        && !is_captured(stream)
        && let Some(lane) = stream.lane()
    {
        given(joined, lane);
    }
    forward()
}

/// Gives work to the null stream, all of which is done as the call returns.
#[inline]
pub(crate) fn giving_and_waiting(null: NullStream, forward: impl FnOnce() -> CUresult) -> CUresult {
    let own = Stream { handle: CUstream::NULL, null };
    stream(own, || giving(own, forward))
}

#[inline(never)]
fn begin(joined: &Joined) {
    let activity = joined.activity();
    if let Some(gpu) = joined.current_gpu() {
        activity.note_gpu(gpu);
    }
    let was_at_rest = !activity.works();
    activity.begin();
    if was_at_rest {
        let now = Nanos::new(monotonic_nanos());
        gaps::ended(joined, now);
        served::begin(joined, now);
        if RESTS.load(Ordering::Relaxed) && RESTS.swap(false, Ordering::SeqCst) {
            joined.slot().orders.wake();
        }
    }
}

/// Whether the library's thread sleeps for long, and is to be woken when work begins.
static RESTS: AtomicBool = AtomicBool::new(false);

#[inline]
fn done(lane: &Lane, upto: Upto) {
    if lane.done(upto) {
        end();
    }
}

/// A stream that had work has none.
fn end() {
    if let Some(joined) = membership::joined() {
        let others = joined.current_gpu().is_some_and(|gpu| {
            let gpu = &joined.region.layout().header.gpus[gpu];
            joined.settings.class == Class::Ls && !gpu.tenants(Class::Be).is_empty()
        });
        let now = Nanos::new(monotonic_nanos());
        if joined.activity().end(now, others) {
            served::end(joined, now);
        }
    }
}

/// A stream is waited for, or asked about.
#[inline]
pub(crate) fn stream(stream: Stream, forward: impl FnOnce() -> CUresult) -> CUresult {
    let seen = streams::known(stream.handle, stream.null).map(|lane| (lane, lane.upto()));
    let result = forward();
    if let Some((lane, upto)) = seen
        && result == CUDA_SUCCESS
    {
        done(lane, upto);
    }
    result
}

/// The current context, or one that is given, is waited for.
pub(crate) fn context(given: Option<CUcontext>, forward: impl FnOnce() -> CUresult) -> CUresult {
    let seen = shielded(|| {
        let context = given.filter(|context| !context.is_null()).or_else(query::current_context);
        context.map(streams::in_context)
    });
    let result = forward();
    if result == CUDA_SUCCESS {
        shielded(|| seen.flatten().into_iter().flatten().for_each(|(lane, upto)| done(lane, upto)));
    }
    result
}

/// A stream is to be destroyed.
pub(crate) fn destroyed(handle: CUstream, forward: impl FnOnce() -> CUresult) -> CUresult {
    shielded(|| streams::let_go(handle, end));
    forward()
}

/// A context may end.
pub(crate) fn context_ended(forward: impl FnOnce() -> CUresult) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS {
        shielded(|| streams::contexts_changed(end));
    }
    result
}

/// Events that are remembered: one for each place, the last recorded of those that fall there. Forgetting one only
/// means that its wait clears nothing.
const EVENTS: usize = 1024;

/// Events with the stream in which they were recorded last, and its work until then.
static RECORDED: [Recorded; EVENTS] = [const { Recorded::new() }; EVENTS];

struct Recorded {
    event: AtomicU64,
    /// The lane's number plus one.
    lane: AtomicU32,
    upto: AtomicU64,
}

impl Recorded {
    const fn new() -> Self {
        Recorded { event: AtomicU64::new(0), lane: AtomicU32::new(0), upto: AtomicU64::new(0) }
    }

    /// The place of an event.
    #[inline]
    fn of(event: CUevent) -> &'static Recorded {
        // Handles are addresses: what lies above their alignment tells them apart. The factor is 2^64 over the golden ratio.
        let mixed = (event.addr() as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &RECORDED[(mixed >> 54) as usize]
    }
}

/// An event is recorded in a stream.
#[inline]
pub(crate) fn record(event: CUevent, stream: Stream, forward: impl FnOnce() -> CUresult) -> CUresult {
    let result = forward();
    if let Some(lane) = streams::known(stream.handle, stream.null) {
        let place = Recorded::of(event);
        place.event.store(event.addr() as u64, Ordering::Relaxed);
        place.lane.store(lane.index as u32 + 1, Ordering::Relaxed);
        place.upto.store(lane.upto().code(), Ordering::Relaxed);
    }
    result
}

/// An event is waited for, or asked about.
#[inline]
pub(crate) fn event(event: CUevent, forward: impl FnOnce() -> CUresult) -> CUresult {
    let place = Recorded::of(event);
    let is_it = place.event.load(Ordering::Relaxed) == event.addr() as u64;
    let (lane, upto) = (place.lane.load(Ordering::Relaxed), place.upto.load(Ordering::Relaxed));
    let result = forward();
    if result == CUDA_SUCCESS
        && is_it
        && let Some(lane) = streams::numbered((lane as usize).wrapping_sub(1))
    {
        done(lane, Upto::from_code(upto));
    }
    result
}

/// The memory of the library's thread of streams that nobody waits for.
#[derive(Default)]
pub(crate) struct Unasked {
    /// By lane: its work as it was seen, and when first.
    seen: Vec<Option<(Upto, Nanos)>>,
    relaxed: bool,
    /// The pauses that had ended, and when that was last another number.
    begun: (usize, Nanos),
}

impl Unasked {
    /// Asks the driver about streams whose work was there long ago. The time after which it is to be called again, unless
    /// no work began for long; then it is called when some does.
    pub(crate) fn look(&mut self, joined: &Joined, now: Nanos) -> Option<Nanos> {
        if !self.matters(joined) {
            return None;
        }
        if gaps::count() != self.begun.0 {
            self.begun = (gaps::count(), now);
        }
        if !joined.activity().works() && now.saturating_sub(self.begun.1) >= RESTING_LOOK {
            RESTS.store(true, Ordering::SeqCst);
            // Work that began meanwhile may not have seen the mark.
            return joined.activity().works().then_some(UNASKED);
        }
        RESTS.store(false, Ordering::Relaxed);
        self.seen.resize(LANES, None);
        for (lane, upto) in streams::with_work() {
            let (known, since) = *self.seen[lane.index].get_or_insert((upto, now));
            if known != upto {
                self.seen[lane.index] = Some((upto, now));
                continue;
            }
            let waited = now.saturating_sub(since);
            if waited < UNASKED {
                continue;
            }
            self.relax();
            match streams::ask(lane) {
                Some(true) => done(lane, upto),
                Some(false) => {}
                None if waited >= GIVEN_UP => done(lane, upto),
                None => {}
            }
        }
        Some(UNASKED)
    }

    /// Whether others go by this tenant's word: best-effort ones by that of a latency-sensitive tenant, and that one, where it
    /// has a target, by those of best-effort ones.
    fn matters(&self, joined: &Joined) -> bool {
        let gpus = &joined.region.layout().header.gpus;
        joined.settings.class == Class::Ls || gpus.iter().any(|gpu| !gpu.tenants(Class::Ls).is_empty())
    }

    /// Has this thread's calls do no harm to captures of other threads (cuda.h: `CU_STREAM_CAPTURE_MODE_RELAXED`).
    fn relax(&mut self) {
        if !std::mem::replace(&mut self.relaxed, true)
            && let Some(exchange) = calls::cuThreadExchangeStreamCaptureMode.get()
        {
            let mut mode = CU_STREAM_CAPTURE_MODE_RELAXED;
            // SAFETY: the function reads a mode and writes the former one.
            unsafe { exchange(&mut mode) };
        }
    }
}

/// Before the process joins another region. Work that is under way ends here, so that no end of it is missed there: one
/// that is missed would keep the word set for ever, while one too many changes nothing.
pub(crate) fn leave() {
    streams::with_work().into_iter().for_each(|(lane, upto)| done(lane, upto));
}
