//! Where a stream's copies are handed over: a stream of the library's own for the kernel, one for its rescue, and a few
//! words that both sides see.
//!
//! A copy has a ticket, numbered on within its berth. The program's stream asks for it when it comes to the copy, and
//! waits until it is done. The kernel waits in the berth's own stream for the asking. What they and the host say to each
//! other is [`region::Handover`].
//!
//! Streams may share a queue of the device, in which what is submitted first is in front. What is submitted for a copy is
//! therefore in an order in which nothing waits for what comes behind it. The rescue comes behind the wait that it is to
//! end; so a berth takes a stream's copies only after a trial has shown that its rescue passes that stream while it waits.

use super::harbor::Trial;
use super::kernel::{self, Order};
use super::memory::Current;
use crate::gate::is_next_to_run;
use crate::{real, watchdog};
use abi::cuda::*;
use region::{Handover, ticket_after};
use std::ffi::{c_uint, c_void};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use units::{Bytes, Nanos};

/// How many copies of one stream are under way at most.
const CARGOES: usize = 16;
/// How many streams' trials a berth remembers.
const TRIED: usize = 16;
/// For so long each half of a trial may take; who does not pass holds up the program once for each berth.
const LONGEST_TRIAL: Duration = Duration::from_millis(5);
/// For so long the thread looks without a pause.
const SPIN: Duration = Duration::from_micros(100);
/// What a trial copies.
pub(super) const CRUMB: usize = 16;
/// A number that is cancelled from the beginning.
const NO_COPY: u32 = u32::MAX;

/// cuda.h: `CU_STREAM_NON_BLOCKING`.
const CU_STREAM_NON_BLOCKING: c_uint = 1;

/// A copy to be done: where to, where from as the host and as the device see it, and how much.
#[derive(Clone, Copy)]
pub(super) struct Cargo {
    pub(super) to: CUdeviceptr,
    pub(super) from: *const c_void,
    pub(super) mapped: CUdeviceptr,
    pub(super) bytes: Bytes,
}

/// The program's stream: its handle, and its number, which no other ever has.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub(super) stream: CUstream,
    pub(super) number: u64,
}

/// Waits until the word shows the number, but not for long.
fn shows(word: &AtomicU32, number: u32) -> bool {
    let begun = Instant::now();
    while ticket_after(number, word.load(Ordering::SeqCst)) {
        match begun.elapsed() {
            long if long > LONGEST_TRIAL => return false,
            long if long > SPIN => std::thread::sleep(SPIN / 2),
            _ => std::hint::spin_loop(),
        }
    }
    true
}

/// The later of two tickets.
fn later(one: u32, other: u32) -> u32 {
    if ticket_after(one, other) { one } else { other }
}

/// Memory that host and device see: here, and where the device has it.
type Shared<T> = (&'static T, CUdeviceptr);

/// One of a context's places for a stream's copies.
pub(super) struct Berth {
    index: usize,
    context: CUcontext,
    function: CUfunction,
    words: Shared<Handover>,
    trial: Shared<Trial>,
    trials: u32,
    /// Device memory that a trial copies to.
    scratch: CUdeviceptr,
    /// The streams that were tried, and whether the rescue passed them; the oldest is forgotten first.
    tried: [(u64, bool); TRIED],
    /// Where the kernel waits for the asking, and runs.
    kernel: CUstream,
    /// Where the engine does what the kernel could not.
    rescue: CUstream,
    /// The number of the stream that has the last copy here.
    owner: u64,
    /// The last ticket taken, the last one that was given to the rescue, and the last one that was cancelled.
    last: u32,
    rescued: u32,
    cancelled: u32,
    cargo: [Option<Cargo>; CARGOES],
    /// The copy that was asked for and had not started at the last look, and since when.
    pub(super) held: Option<(u32, Nanos)>,
    /// The driver refused something half-way: no more copies come here.
    spoiled: bool,
}

// SAFETY: the handles and addresses in it are only handed to the driver, which takes them from any thread.
unsafe impl Send for Berth {}

impl Berth {
    /// A berth in the current context.
    pub(super) fn new(
        index: usize,
        current: &Current,
        function: CUfunction,
        words: Shared<Handover>,
        trial: Shared<Trial>,
        scratch: CUdeviceptr,
    ) -> Option<Self> {
        let mut streams = [std::ptr::null_mut(); 2];
        for stream in &mut streams {
            // Non-blocking, so that they have nothing to do with what the legacy default stream waits for.
            // SAFETY: the function writes a handle.
            if unsafe { real::cuStreamCreate.get()?(stream, CU_STREAM_NON_BLOCKING) } != CUDA_SUCCESS {
                return None;
            }
        }
        let [kernel, rescue] = streams;
        words.0.cancel(NO_COPY);
        let berth = Berth {
            index,
            context: current.context,
            function,
            words,
            trial,
            trials: 0,
            scratch,
            tried: [(0, false); TRIED],
            kernel,
            rescue,
            owner: 0,
            last: 0,
            rescued: 0,
            cancelled: NO_COPY,
            cargo: [None; CARGOES],
            held: None,
            spoiled: false,
        };
        // Once without a copy. The driver loads a kernel when it is first launched, and waits for all streams to do so:
        // behind one that waits for a later call, for ever. What the rescue's stream does may have a first time as well.
        let (to, mapped, bytes) = (0, 0, Bytes::ZERO);
        let runs = berth.launch(&Cargo { to, from: std::ptr::null(), mapped, bytes }, NO_COPY) && berth.passes_now(0);
        runs.then_some(berth)
    }

    fn launch(&self, cargo: &Cargo, ticket: u32) -> bool {
        let Cargo { to, mapped, bytes, .. } = *cargo;
        let (words, berth) = (self.words.1, self.index as u32);
        kernel::launch(self.function, self.kernel, &Order { to, from: mapped, bytes, words, berth, ticket })
    }

    /// The last ticket taken.
    pub(super) fn last(&self) -> u32 {
        self.last
    }

    pub(super) fn words(&self) -> &'static Handover {
        self.words.0
    }

    /// The first copy that is not done, and not the rescue's.
    pub(super) fn head(&self) -> Option<u32> {
        let done = self.words().done();
        let past = later(self.rescued, done);
        ticket_after(self.last, past).then(|| past.wrapping_add(1))
    }

    /// Whether copies are not done, be they the kernel's or the rescue's.
    pub(super) fn is_outstanding(&self) -> bool {
        ticket_after(self.last, self.words().done())
    }

    /// Whether it has copies of this stream under way.
    pub(super) fn is_of(&self, line: &Line) -> bool {
        !self.spoiled && self.owner == line.number && self.is_outstanding()
    }

    /// Whether it has nothing to do.
    pub(super) fn is_free(&self) -> bool {
        !self.spoiled && !self.is_outstanding()
    }

    /// Whether its rescue passes the stream, as far as is known.
    pub(super) fn passes(&self, line: &Line) -> Option<bool> {
        self.tried.iter().find(|(number, _)| *number == line.number).map(|&(_, passes)| passes)
    }

    /// Keeps the kernels of all copies up to this one from beginning.
    pub(super) fn cancel(&mut self, ticket: u32) {
        self.cancelled = later(self.cancelled, ticket);
        self.words().cancel(self.cancelled);
    }

    /// Hands a copy over, in the order of the stream. `None` where it has to go another way.
    pub(super) fn load(&mut self, line: Line, cargo: Cargo) -> Option<()> {
        let (words, device) = self.words;
        let (ticket, done) = (self.last.wrapping_add(1), words.done());
        if ticket.wrapping_sub(done) as usize > CARGOES {
            return None;
        }
        let (wait, write) = (real::cuStreamWaitValue32_v2.get()?, real::cuStreamWriteValue32_v2.get()?);
        let seems_idle = is_next_to_run(line.stream);
        let passes = self.passes(&line).unwrap_or_else(|| seems_idle && self.try_passing(line));
        if !passes {
            return None;
        }
        // The legacy stream waits for others that its own idleness may say nothing of.
        let comes_now = seems_idle && line.stream as usize != CU_STREAM_LEGACY;
        // What is done is as good as cancelled; left behind, the words would be ahead again half the numbers later.
        self.cancel(done);
        self.rescued = later(self.rescued, done);
        // SAFETY: all three calls are about words of ours, which live for ever, and streams that live.
        let waits =
            |stream, word| unsafe { wait(stream, device + word, ticket, CU_STREAM_WAIT_VALUE_GEQ) } == CUDA_SUCCESS;
        // SAFETY: as above.
        let asks = || unsafe { write(line.stream, device + Handover::ASKED, ticket, 0) } == CUDA_SUCCESS;
        // The asking before the wait for it, and both before the wait for the answer: see the module's text.
        match comes_now {
            true => words.ask(ticket),
            false if !asks() => return None,
            false => {}
        }
        if !(comes_now || waits(self.kernel, Handover::ASKED)) || !self.launch(&cargo, ticket) {
            // The ticket is used, and no copy will ever have it.
            self.spoiled = true;
            return None;
        }
        (self.owner, self.last) = (line.number, ticket);
        self.cargo[ticket as usize % CARGOES] = Some(cargo);
        // An error here is that of a context that has failed, in which nothing waits any more.
        self.spoiled = !waits(line.stream, Handover::DONE);
        (!self.spoiled).then_some(())
    }

    /// Whether the rescue passes a stream that waits, tried with one that seems idle. False too where the stream does not
    /// come to the wait in time.
    fn try_passing(&mut self, line: Line) -> bool {
        let (Some(wait), Some(write)) = (real::cuStreamWaitValue32_v2.get(), real::cuStreamWriteValue32_v2.get())
        else {
            return false;
        };
        let (trial, device) = self.trial;
        let number = self.next_number();
        // From here on the watchdog lets the stream go, should this thread be held up in the driver.
        trial.goes_on.store(number, Ordering::SeqCst);
        watchdog::look_soon();
        // SAFETY: words of ours, and the program's stream, which lives.
        let waits = unsafe {
            write(line.stream, device + Trial::HERE, number, 0) == CUDA_SUCCESS
                && wait(line.stream, device + Trial::LET_GO, number, CU_STREAM_WAIT_VALUE_GEQ) == CUDA_SUCCESS
        };
        let passes = waits && shows(&trial.here, number) && self.passes_now(number);
        // Not where the watchdog has let it go: then nobody knows what it passed.
        let passes = passes && ticket_after(number, trial.let_go.load(Ordering::SeqCst));
        trial.let_go.store(number, Ordering::SeqCst);
        trial.goes_on.store(0, Ordering::SeqCst);
        self.tried.rotate_right(1);
        self.tried[0] = (line.number, passes);
        passes
    }

    fn next_number(&mut self) -> u32 {
        self.trials = self.trials.wrapping_add(1).max(1);
        self.trials
    }

    /// Whether the rescue's stream does something now.
    fn passes_now(&self, number: u32) -> bool {
        let (Some(write), Some(copy)) = (real::cuStreamWriteValue32_v2.get(), real::cuMemcpyHtoDAsync_v2.get()) else {
            return false;
        };
        let (trial, device) = self.trial;
        // SAFETY: a word, memory and a stream of ours.
        let submitted = unsafe {
            copy(self.scratch, std::ptr::from_ref(trial).cast(), CRUMB, self.rescue) == CUDA_SUCCESS
                && write(self.rescue, device + Trial::PASSED, number, 0) == CUDA_SUCCESS
        };
        submitted && shows(&trial.passed, number)
    }

    /// Runs this in the berth's context.
    fn in_context<T>(&self, body: impl FnOnce() -> Option<T>) -> Option<T> {
        // SAFETY: the context lives, as far as its end was seen; it is popped below.
        if unsafe { real::cuCtxPushCurrent_v2.get()?(self.context) } != CUDA_SUCCESS {
            return None;
        }
        let done = body();
        let mut popped = std::ptr::null_mut();
        // SAFETY: takes away what was pushed above.
        real::cuCtxPopCurrent_v2.get().map(|pop| unsafe { pop(&mut popped) });
        done
    }

    /// Whether the driver lets this thread in and the rescue's stream does something: before that, nothing is cancelled, as
    /// the kernel may begin after all.
    pub(super) fn can_rescue(&mut self) -> bool {
        let number = self.next_number();
        match self.in_context(|| Some(self.passes_now(number))) {
            Some(can) => can,
            None => {
                // The context has failed or ended.
                self.spoiled = true;
                false
            }
        }
    }

    /// Whether nothing more is to be tried here.
    pub(super) fn is_spoiled(&self) -> bool {
        self.spoiled
    }

    /// Has the engine do the copies from `first` on, each when the stream comes to it. They must be ones that no kernel
    /// does any more.
    pub(super) fn divert(&mut self, first: u32) -> Option<()> {
        let (wait, write) = (real::cuStreamWaitValue32_v2.get()?, real::cuStreamWriteValue32_v2.get()?);
        let copy = real::cuMemcpyHtoDAsync_v2.get()?;
        let (rescue, device) = (self.rescue, self.words.1);
        let one = |ticket: u32, cargo: Cargo| {
            // SAFETY: words and a stream of ours; the program gave both ranges to this copy until its stream is past it,
            // which waits for the answer.
            unsafe {
                wait(rescue, device + Handover::ASKED, ticket, CU_STREAM_WAIT_VALUE_GEQ) == CUDA_SUCCESS
                    && copy(cargo.to, cargo.from, cargo.bytes.as_usize(), rescue) == CUDA_SUCCESS
                    && write(rescue, device + Handover::DONE, ticket, 0) == CUDA_SUCCESS
            }
        };
        let number = self.last.wrapping_sub(first).wrapping_add(1);
        let tickets = || (0..number).map(|i| first.wrapping_add(i));
        let submitted = self.in_context(|| {
            let cargoes = tickets().map_while(|ticket| Some((ticket, self.cargo[ticket as usize % CARGOES]?)));
            Some(cargoes.take_while(|&(ticket, cargo)| one(ticket, cargo)).map(|(ticket, _)| ticket).last())
        })?;
        // What the driver did not take is tried again at the next look.
        self.rescued = submitted.map_or(self.rescued, |ticket| later(self.rescued, ticket));
        (submitted == Some(self.last)).then_some(())
    }
}
