//! Where a stream's copies are handed over: a stream of the library's own for the kernel, one for its rescue, and a few
//! words that both sides see.
//!
//! A copy has a ticket, numbered on within its berth. The program's stream asks for it when it comes to the copy, and
//! waits until it is done. The kernel waits in the berth's own stream for the asking. What they and the host say to each
//! other is [`region::Handover`].

use super::kernel::{self, Order};
use super::memory::Current;
use crate::gate::is_next_to_run;
use crate::log::warning;
use crate::{captures, real, watchdog};
use abi::cuda::*;
use region::{Handover, ticket_after};
use std::ffi::{c_uint, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use units::{Bytes, Nanos};

/// How many streams of a process may have copies under way like this at a time.
pub(super) const BERTHS: usize = 16;
/// How many copies of one stream.
const CARGOES: usize = 16;

/// cuda.h: `CU_STREAM_NON_BLOCKING`.
const CU_STREAM_NON_BLOCKING: c_uint = 1;

/// The berths' words, in memory that the host and every context of the process see.
struct Board {
    words: &'static [Handover; BERTHS],
    device: CUdeviceptr,
}

/// One board a process, made when the first copy wants it.
fn board() -> Option<&'static Board> {
    static BOARD: OnceLock<Option<Board>> = OnceLock::new();
    BOARD.get_or_init(make_board).as_ref()
}

fn make_board() -> Option<Board> {
    const LEN: usize = size_of::<[Handover; BERTHS]>().next_multiple_of(4096);
    // Shared, so that a fork does not give this process other pages than the device has.
    // SAFETY: a new mapping at no particular place.
    let pages = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            LEN,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if pages == libc::MAP_FAILED {
        return None;
    }
    let flags = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP;
    let mut device = 0;
    // SAFETY: whole pages, made just now and never unmapped; the second function writes an address.
    let (registered, found) = unsafe {
        (
            real::cuMemHostRegister_v2.get()?(pages, LEN, flags),
            real::cuMemHostGetDevicePointer_v2.get()?(&mut device, pages, 0),
        )
    };
    if registered != CUDA_SUCCESS || found != CUDA_SUCCESS {
        warning!("copies go by the copy engine alone: the driver does not register memory (error {registered})");
        return None;
    }
    // SAFETY: the pages are zeroed, which is what new words are, large enough, aligned and never unmapped.
    Some(Board { words: unsafe { &*pages.cast() }, device })
}

/// A copy to be done: where to, where from as the host and as the device see it, and how much.
#[derive(Clone, Copy)]
pub(super) struct Cargo {
    pub(super) to: CUdeviceptr,
    pub(super) from: *const c_void,
    pub(super) mapped: CUdeviceptr,
    pub(super) bytes: Bytes,
}

/// A berth in use.
pub(super) struct Berth {
    index: usize,
    context: CUcontext,
    context_number: u64,
    function: CUfunction,
    /// Where the kernel waits for the asking, and runs.
    kernel: CUstream,
    /// Where the engine does what the kernel could not.
    rescue: CUstream,
    /// The program's stream that has the last copy here.
    owner: usize,
    /// The last ticket taken, and the last one that was given to the rescue.
    last: u32,
    rescued: u32,
    cargo: [Option<Cargo>; CARGOES],
    /// The copy that was asked for and had not started at the last look, and since when.
    pub(super) held: Option<(u32, Nanos)>,
    /// The driver refused something half-way: no more copies come here.
    spoiled: bool,
}

// SAFETY: the handles and addresses in it are only handed to the driver, which takes them from any thread.
unsafe impl Send for Berth {}

static PLACES: [Mutex<Option<Berth>>; BERTHS] = [const { Mutex::new(None) }; BERTHS];
/// How many of them were ever used: from the front.
static USED: AtomicUsize = AtomicUsize::new(0);

/// The berths that were ever used.
pub(super) fn all() -> impl Iterator<Item = &'static Mutex<Option<Berth>>> {
    PLACES[..USED.load(Ordering::Acquire).min(BERTHS)].iter()
}

fn lock(place: &'static Mutex<Option<Berth>>) -> MutexGuard<'static, Option<Berth>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Readies a new context: everything that may wait for the device is done when nothing runs there.
pub(super) fn prepare(current: &Current) -> Option<()> {
    let function = kernel::load(current.number)?;
    let board = board()?;
    open(current, function)?.as_mut()?.warm_up(board);
    Some(())
}

/// Puts the copy in the stream's way; `None` where nothing was put there.
pub(super) fn take(current: &Current, stream: CUstream, cargo: Cargo) -> Option<()> {
    let function = kernel::of(current.number)?;
    let board = board()?;
    let mut place = moor(current, stream, function)?;
    let berth = place.as_mut()?;
    let taken = berth.load(board, stream, cargo);
    watchdog::look_soon();
    taken
}

/// The berth that has the stream's copies, or one that has none.
fn moor(current: &Current, stream: CUstream, function: CUfunction) -> Option<MutexGuard<'static, Option<Berth>>> {
    let is_here = |berth: &Berth| berth.context_number == current.number && !berth.spoiled;
    let own = |berth: &Berth| is_here(berth) && berth.owner == stream as usize && berth.is_outstanding();
    let free = |berth: &Berth| is_here(berth) && !berth.is_outstanding();
    let find = |fits: &dyn Fn(&Berth) -> bool| all().map(lock).find(|place| place.as_ref().is_some_and(fits));
    if let Some(place) = find(&own).or_else(|| find(&free)) {
        return Some(place);
    }
    // Making a stream may wait for the device, which would end a capture.
    if captures::any() {
        return None;
    }
    open(current, function)
}

/// A new berth in the context.
fn open(current: &Current, function: CUfunction) -> Option<MutexGuard<'static, Option<Berth>>> {
    for (index, place) in PLACES.iter().enumerate() {
        let mut place = lock(place);
        if place.is_none() {
            *place = Some(Berth::new(index, current, function)?);
            USED.fetch_max(index + 1, Ordering::AcqRel);
            return Some(place);
        }
    }
    None
}

impl Berth {
    fn new(index: usize, current: &Current, function: CUfunction) -> Option<Self> {
        let mut streams = [std::ptr::null_mut(); 2];
        for stream in &mut streams {
            // Non-blocking, so that they have nothing to do with what the legacy default stream waits for.
            // SAFETY: the function writes a handle.
            if unsafe { real::cuStreamCreate.get()?(stream, CU_STREAM_NON_BLOCKING) } != CUDA_SUCCESS {
                return None;
            }
        }
        let [kernel, rescue] = streams;
        Some(Berth {
            index,
            context: current.context,
            context_number: current.number,
            function,
            kernel,
            rescue,
            owner: 0,
            last: 0,
            rescued: 0,
            cargo: [None; CARGOES],
            held: None,
            spoiled: false,
        })
    }

    /// Has the kernel run once, as a copy that is cancelled. The driver loads it only when it is first launched, and may
    /// wait for the device then.
    fn warm_up(&self, board: &Board) {
        let words = board.device + (self.index * size_of::<Handover>()) as u64;
        let (to, from, bytes) = (0, 0, Bytes::ZERO);
        kernel::launch(
            self.function,
            self.kernel,
            &Order { to, from, bytes, words, berth: self.index as u32, ticket: 0 },
        );
    }

    /// The last ticket taken.
    pub(super) fn last(&self) -> u32 {
        self.last
    }

    /// The words of this berth. There is a board wherever there is a berth.
    pub(super) fn words(&self) -> Option<&'static Handover> {
        board().map(|board| &board.words[self.index])
    }

    /// The first copy that is not done, and not the rescue's.
    pub(super) fn head(&self) -> Option<u32> {
        let done = self.words()?.done();
        let past = if ticket_after(self.rescued, done) { self.rescued } else { done };
        ticket_after(self.last, past).then(|| past.wrapping_add(1))
    }

    /// Whether copies are not done, be they the kernel's or the rescue's.
    pub(super) fn is_outstanding(&self) -> bool {
        self.words().is_some_and(|words| ticket_after(self.last, words.done()))
    }

    /// Hands a copy over, in the order of the stream.
    fn load(&mut self, board: &Board, stream: CUstream, cargo: Cargo) -> Option<()> {
        let words = &board.words[self.index];
        let ticket = self.last.wrapping_add(1);
        if ticket.wrapping_sub(words.done()) as usize > CARGOES {
            return None;
        }
        let (wait, write) = (real::cuStreamWaitValue32_v2.get()?, real::cuStreamWriteValue32_v2.get()?);
        let device = board.device + (self.index * size_of::<Handover>()) as u64;
        let comes_now = is_next_to_run(stream);
        // SAFETY: all three calls are about words of ours, which live for ever, and streams that live.
        let waits =
            |stream, word| unsafe { wait(stream, device + word, ticket, CU_STREAM_WAIT_VALUE_GEQ) } == CUDA_SUCCESS;
        // SAFETY: as above.
        let asks = || unsafe { write(stream, device + Handover::ASKED, ticket, 0) } == CUDA_SUCCESS;
        // The asking first. Streams may share a queue of the device, in which what is submitted first is in front: a wait
        // in front of the write that ends it would last for ever.
        match comes_now {
            true => words.ask(ticket),
            false if !asks() => return None,
            false => {}
        }
        let order = Order {
            to: cargo.to,
            from: cargo.mapped,
            bytes: cargo.bytes,
            words: device,
            berth: self.index as u32,
            ticket,
        };
        let launched =
            (comes_now || waits(self.kernel, Handover::ASKED)) && kernel::launch(self.function, self.kernel, &order);
        if !launched {
            // The ticket is used, and no copy will ever have it.
            self.spoiled = true;
            return None;
        }
        (self.owner, self.last) = (stream as usize, ticket);
        self.cargo[ticket as usize % CARGOES] = Some(cargo);
        // From here on errors are those of a context that has failed, in which nothing waits any more.
        self.spoiled = !waits(stream, Handover::DONE);
        (!self.spoiled).then_some(())
    }

    /// Has the engine do the copies from `first` on, each when the stream comes to it. They must be ones that no kernel
    /// does any more. Calls the driver in the berth's context.
    pub(super) fn divert(&mut self, first: u32) -> Option<()> {
        let board = board()?;
        let (wait, write) = (real::cuStreamWaitValue32_v2.get()?, real::cuStreamWriteValue32_v2.get()?);
        let copy = real::cuMemcpyHtoDAsync_v2.get()?;
        let device = board.device + (self.index * size_of::<Handover>()) as u64;
        // SAFETY: the context lives, as its copies are not done; popped below.
        if unsafe { real::cuCtxPushCurrent_v2.get()?(self.context) } != CUDA_SUCCESS {
            return None;
        }
        let mut ticket = first;
        let mut diverted = true;
        while !ticket_after(ticket, self.last) {
            if let Some(Cargo { to, from, bytes, .. }) = self.cargo[ticket as usize % CARGOES] {
                // SAFETY: words of ours and a stream of ours; the program gave both ranges to this copy until its
                // stream is past it, which waits for `done`.
                diverted &= unsafe {
                    wait(self.rescue, device + Handover::ASKED, ticket, CU_STREAM_WAIT_VALUE_GEQ) == CUDA_SUCCESS
                        && copy(to, from, bytes.as_usize(), self.rescue) == CUDA_SUCCESS
                        && write(self.rescue, device + Handover::DONE, ticket, 0) == CUDA_SUCCESS
                };
            }
            self.rescued = ticket;
            ticket = ticket.wrapping_add(1);
        }
        let mut popped = std::ptr::null_mut();
        // SAFETY: takes away what was pushed above.
        real::cuCtxPopCurrent_v2.get().map(|pop| unsafe { pop(&mut popped) });
        diverted.then_some(())
    }
}
