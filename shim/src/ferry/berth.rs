//! Where a copy is handed over: a stream of the library's own for the kernel, one for its rescue, and a few words that both
//! sides see.
//!
//! One copy at a time, of a stream that is idle. So the kernel may begin at once and waits for nothing in its queue, and the
//! program's stream alone waits for an answer. What they and the host say to each other is [`region::Handover`].
//!
//! Streams share a few of the device's queues, and one that waits holds its queue (docs/decisions/021). The kernel is
//! therefore submitted before the wait for it. The rescue comes behind the wait that it is to end; so a stream's copies are
//! taken only after a trial has shown that the rescue passes that stream while it waits.

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

/// How many streams' trials a berth remembers.
const TRIED: usize = 16;
/// For so long each half of a trial may take; who does not pass holds up the program once.
const LONGEST_TRIAL: Duration = Duration::from_millis(5);
/// For so long a kernel is waited for that has begun a copy which is to go another way.
const LONGEST_FAILING: Duration = Duration::from_secs(1);
/// For so long the thread looks without a pause.
const SPIN: Duration = Duration::from_micros(100);
/// How many streams there are for the rescue. What is put into one behind a wait may stay there for good; then another is
/// tried, which may get another of the device's queues.
const RESCUES: usize = 4;
/// A number that is cancelled from the beginning.
const NO_COPY: u32 = u32::MAX;

/// cuda.h: `CU_STREAM_NON_BLOCKING`.
const CU_STREAM_NON_BLOCKING: c_uint = 1;

/// A copy to be done: where to, where from as the host and as the device see it, how much.
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

/// What a copy by the engine takes: where to, where from and how many bytes.
pub(super) type Copied = (CUdeviceptr, *const c_void, usize);

/// Memory that host and device see: here, and where the device has it.
type Shared<T> = (&'static T, CUdeviceptr);

/// A context's place for copies.
pub(super) struct Berth {
    context: CUcontext,
    function: CUfunction,
    words: Shared<Handover>,
    trial: Shared<Trial>,
    trials: u32,
    /// What a trial copies: where to, where from and how much.
    crumb: Copied,
    /// The streams that were tried, and whether the rescue passed them; the oldest is forgotten first.
    tried: [(u64, bool); TRIED],
    /// Where the kernel runs.
    kernel: CUstream,
    /// Where the engine does what the kernel could not, and which of these is next.
    rescues: [CUstream; RESCUES],
    next_rescue: usize,
    /// The last copy's ticket, and the copy.
    last: u32,
    cargo: Option<Cargo>,
    /// Whether that was given to the rescue.
    rescued: bool,
    /// Since when its kernel is to begin, for the watchdog.
    pub(super) held: Option<(u32, Nanos)>,
    /// The driver refused something half-way: no more copies come here.
    spoiled: bool,
}

// SAFETY: the handles and addresses in it are only handed to the driver, which takes them from any thread.
unsafe impl Send for Berth {}

impl Berth {
    /// A berth in the current context.
    pub(super) fn new(
        current: &Current,
        function: CUfunction,
        words: Shared<Handover>,
        trial: Shared<Trial>,
        crumb: Copied,
    ) -> Option<Self> {
        let mut streams = [std::ptr::null_mut(); RESCUES + 1];
        for stream in &mut streams {
            // Non-blocking, so that they have nothing to do with what the legacy default stream waits for.
            // SAFETY: the function writes a handle.
            if unsafe { real::cuStreamCreate.get()?(stream, CU_STREAM_NON_BLOCKING) } != CUDA_SUCCESS {
                return None;
            }
        }
        let [kernel, rescues @ ..] = streams;
        words.0.cancel(NO_COPY);
        let mut berth = Berth {
            context: current.context,
            function,
            words,
            trial,
            trials: 0,
            crumb,
            tried: [(0, false); TRIED],
            kernel,
            rescues,
            next_rescue: 0,
            last: 0,
            cargo: None,
            rescued: false,
            held: None,
            spoiled: false,
        };
        // Once without a copy. The driver loads a kernel when it is first launched, and waits for all streams to do so:
        // behind one that waits for a later call, for ever. What the rescue's stream does may have a first time as well.
        let nothing = Cargo { to: 0, from: std::ptr::null(), mapped: 0, bytes: Bytes::ZERO };
        let runs = berth.launch(&nothing, NO_COPY) && (0..RESCUES).all(|next| berth.passes_in(next));
        berth.next_rescue = 0;
        runs.then_some(berth)
    }

    fn launch(&self, cargo: &Cargo, ticket: u32) -> bool {
        let Cargo { to, mapped, bytes, .. } = *cargo;
        let words = self.words.1;
        kernel::launch(self.function, self.kernel, &Order { to, from: mapped, bytes, words, ticket })
    }

    pub(super) fn words(&self) -> &'static Handover {
        self.words.0
    }

    /// Whether the last copy is not done, be it the kernel's or the rescue's.
    pub(super) fn is_outstanding(&self) -> bool {
        ticket_after(self.last, self.words().done())
    }

    /// The copy that is not done, if it is the kernel's still.
    pub(super) fn underway(&self) -> Option<u32> {
        (!self.spoiled && !self.rescued && self.is_outstanding()).then_some(self.last)
    }

    /// Hands a copy over, in the order of the stream. `None` where it has to go another way.
    pub(super) fn load(&mut self, line: Line, cargo: Cargo) -> Option<()> {
        let wait = real::cuStreamWaitValue32_v2.get()?;
        // The legacy stream waits for others that its own idleness may say nothing of.
        let comes_now = line.stream as usize != CU_STREAM_LEGACY && is_next_to_run(line.stream);
        if self.spoiled || self.is_outstanding() || !comes_now {
            return None;
        }
        let passes = match self.tried.iter().find(|(number, _)| *number == line.number) {
            Some(&(_, passes)) => passes,
            None => self.try_passing(line),
        };
        if !passes {
            return None;
        }
        let (words, device) = self.words;
        // What is done is as good as cancelled; left behind, the word would be ahead again half the numbers later.
        words.cancel(self.last);
        let ticket = self.last.wrapping_add(1);
        if !self.launch(&cargo, ticket) {
            // The ticket may be used, and must not be another copy's.
            self.spoiled = true;
            return None;
        }
        (self.last, self.cargo, self.rescued) = (ticket, Some(cargo), false);
        // SAFETY: a word of ours, which lives for ever, and the program's stream, which lives.
        if unsafe { wait(line.stream, device + Handover::DONE, ticket, CU_STREAM_WAIT_VALUE_GEQ) } != CUDA_SUCCESS {
            // The caller has it done another way, and no kernel may write there later.
            self.spoiled = true;
            words.cancel(ticket);
            let begun = Instant::now();
            while words.is_started(ticket) && words.outcome(ticket).is_none() && begun.elapsed() < LONGEST_FAILING {
                std::thread::sleep(SPIN);
            }
            return None;
        }
        Some(())
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
        let passes = waits && shows(&trial.here, number) && self.passes_now();
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

    /// Whether the next of the rescue's streams does now what it does in a rescue. If not, the one after it is next.
    fn passes_now(&mut self) -> bool {
        self.passes_in(self.next_rescue)
    }

    fn passes_in(&mut self, rescue: usize) -> bool {
        let (number, stream) = (self.next_number(), self.rescues[rescue]);
        let (trial, device) = self.trial;
        let submitted = self.rescue_one(stream, self.crumb, (device + Trial::PASSED, number));
        let passes = submitted == Some(true) && shows(&trial.passed, number);
        self.next_rescue = (rescue + usize::from(!passes)) % RESCUES;
        passes
    }

    /// Puts a copy by the engine into a stream of the rescue's, and what is to be written then. `None` where the driver
    /// lacks a function, false where it refused something.
    fn rescue_one(
        &self,
        stream: CUstream,
        (to, from, bytes): Copied,
        (answer, value): (CUdeviceptr, u32),
    ) -> Option<bool> {
        let (wait, write) = (real::cuStreamWaitValue32_v2.get()?, real::cuStreamWriteValue32_v2.get()?);
        let copy = real::cuMemcpyHtoDAsync_v2.get()?;
        // A wait that is over before all: small copies went through beside others' waits with one where they did not without,
        // and large ones either way (docs/decisions/021).
        let over = self.trial.1 + Trial::OVER;
        // SAFETY: words and a stream of ours. Both ranges are ours as well, or the program gave them to this copy until its
        // stream is past it, which waits for the answer.
        Some(unsafe {
            wait(stream, over, 0, CU_STREAM_WAIT_VALUE_GEQ) == CUDA_SUCCESS
                && copy(to, from, bytes, stream) == CUDA_SUCCESS
                && write(stream, answer, value, 0) == CUDA_SUCCESS
        })
    }

    /// Runs this in a context.
    fn in_context<T>(context: CUcontext, body: impl FnOnce() -> Option<T>) -> Option<T> {
        // SAFETY: the context lives, as far as its end was seen; it is popped below.
        if unsafe { real::cuCtxPushCurrent_v2.get()?(context) } != CUDA_SUCCESS {
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
        match Self::in_context(self.context, || Some(self.passes_now())) {
            Some(can) => can,
            None => {
                // The context has failed or ended.
                self.spoiled = true;
                false
            }
        }
    }

    /// Keeps the kernel of the copy from beginning.
    pub(super) fn cancel(&self) {
        self.words().cancel(self.last);
    }

    /// Has the engine do the copy, which no kernel does any more.
    pub(super) fn divert(&mut self) -> Option<()> {
        let Cargo { to, from, bytes, .. } = self.cargo?;
        let (stream, done) = (self.rescues[self.next_rescue], (self.words.1 + Handover::DONE, self.last));
        let submitted = Self::in_context(self.context, || self.rescue_one(stream, (to, from, bytes.as_usize()), done));
        // What the driver did not take is tried again at the next look.
        self.rescued = submitted == Some(true);
        self.rescued.then_some(())
    }
}
