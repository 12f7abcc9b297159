//! What the ferry has in a context: the kernel, memory for the words, and a berth.
//!
//! All of it is made when the context is new. Later it may be too late: to load a kernel, to register memory or to make a
//! stream may wait for what runs on the device, which may wait for a copy.

use super::berth::Berth;
use super::kernel;
use super::memory::Current;
use crate::log::{info, warning};
use crate::{captures, real};
use abi::cuda::*;
use region::Handover;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

/// How many contexts of a process are readied in all; in more than these copies go another way.
const CONTEXTS: usize = 16;

/// For a trial of whether a stream passes another that waits: see [`Berth`].
#[repr(C, align(128))]
pub(super) struct Trial {
    /// Written by the program's stream when it comes to the wait.
    pub(super) here: AtomicU32,
    /// What that waits for. Written by the host.
    pub(super) let_go: AtomicU32,
    /// Written by the rescue's stream.
    pub(super) passed: AtomicU32,
    /// The trial that goes on, or 0. Written by the host.
    pub(super) goes_on: AtomicU32,
    /// The trial that the watchdog saw at its last look.
    seen: AtomicU32,
    reserved: [u32; 27],
}

/// What a trial copies: enough for the driver to have the copy engine do it, as it does with what is to be rescued. It puts
/// less than that into a queue for kernels.
pub(super) const CRUMB: usize = 128 << 10;

impl Trial {
    /// The watchdog's look: lets a stream go whose trial goes on since the last one. Its thread may be in the driver, and
    /// that wait for the stream.
    fn look(&self) {
        let number = self.goes_on.load(Ordering::SeqCst);
        if number != 0 && self.seen.swap(number, Ordering::Relaxed) == number {
            // Never back to an earlier one: the trial may have ended meanwhile, and another begun.
            self.let_go.fetch_max(number, Ordering::SeqCst);
        }
    }

    /// Where [`Trial::here`] is from the beginning.
    pub(super) const HERE: u64 = 0;
    /// Where [`Trial::let_go`] is.
    pub(super) const LET_GO: u64 = 4;
    /// Where [`Trial::passed`] is.
    pub(super) const PASSED: u64 = 8;
    /// Where there is always 0.
    pub(super) const OVER: u64 = 124;
}

const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<Trial>() == 128 && offset_of!(Trial, here) == 0 && offset_of!(Trial, let_go) == 4);
    assert!(offset_of!(Trial, passed) == 8 && Trial::OVER >= offset_of!(Trial, reserved) as u64);
};

/// The memory that a context's streams and kernels see.
#[repr(C)]
pub(super) struct Board {
    pub(super) words: Handover,
    pub(super) trial: Trial,
    reserved: [u64; 480],
    /// What trials copy.
    crumb: [u8; CRUMB],
}

const _: () = assert!(size_of::<Board>().is_multiple_of(4096));

/// What the ferry has in one context.
pub(super) struct Harbor {
    number: u64,
    context: CUcontext,
    /// The device whose primary context it is.
    primary_of: Option<CUdevice>,
    /// The context is no more, or about to be: nothing of this may be handed to the driver.
    gone: AtomicBool,
    board: &'static Board,
    pub(super) berth: Mutex<Berth>,
}

static HARBORS: [AtomicPtr<Harbor>; CONTEXTS] = [const { AtomicPtr::new(std::ptr::null_mut()) }; CONTEXTS];

/// Those whose contexts live, as far as is known.
pub(super) fn all() -> impl Iterator<Item = &'static Harbor> {
    HARBORS.iter().filter_map(|harbor| {
        // SAFETY: null, or a leaked box.
        let harbor = unsafe { harbor.load(Ordering::Acquire).as_ref() };
        harbor.filter(|harbor| !harbor.gone.load(Ordering::Acquire))
    })
}

/// That of the current context, if it has one.
pub(super) fn of(current: &Current) -> Option<&'static Harbor> {
    all().find(|harbor| harbor.number == current.number && harbor.context == current.context)
}

/// Whether streams have more than one of the device's queues, as they have unless the operator says otherwise. A stream that
/// waits holds one, and with one alone nothing else passes (docs/decisions/021).
pub(super) fn has_queues() -> bool {
    let Some(asked) = std::env::var_os("CUDA_DEVICE_MAX_CONNECTIONS") else { return true };
    let has = asked.to_str().and_then(|number| number.trim().parse::<u32>().ok()).is_some_and(|number| number > 1);
    if !has {
        info!(
            "copies go by the copy engine alone: with CUDA_DEVICE_MAX_CONNECTIONS={asked:?} it could not take them back"
        );
    }
    has
}

/// Readies the current context, which is new. `None` where something was refused.
pub(super) fn open(current: &Current, primary: bool) -> Option<()> {
    // What is to come may wait for the device, which would end a capture.
    if captures::any() || HARBORS.iter().all(|place| !place.load(Ordering::Relaxed).is_null()) {
        return None;
    }
    let function = kernel::load()?;
    let (board, device) = board()?;
    let mut scratch = 0;
    // SAFETY: the function writes an address.
    if unsafe { real::cuMemAlloc_v2.get()?(&mut scratch, CRUMB) } != CUDA_SUCCESS {
        return None;
    }
    let at = |offset: usize| device + offset as u64;
    let words = (&board.words, at(std::mem::offset_of!(Board, words)));
    let trial = (&board.trial, at(std::mem::offset_of!(Board, trial)));
    let crumb = (scratch, board.crumb.as_ptr().cast(), CRUMB);
    let berth = Berth::new(current, function, words, trial, crumb)?;
    let harbor = Harbor {
        number: current.number,
        context: current.context,
        primary_of: primary.then_some(current.device),
        gone: AtomicBool::new(false),
        board,
        berth: Mutex::new(berth),
    };
    let harbor = Box::into_raw(Box::new(harbor));
    let free = |place: &&AtomicPtr<Harbor>| {
        place.compare_exchange(std::ptr::null_mut(), harbor, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    };
    HARBORS.iter().find(free).map(|_| ())
}

/// New memory for the words, registered with the current context: where the host and where the device sees it.
fn board() -> Option<(&'static Board, CUdeviceptr)> {
    const LEN: usize = size_of::<Board>();
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
    // SAFETY: whole pages, made just now and never unmapped.
    let device = unsafe { register(pages, LEN) };
    if device.is_none() {
        warning!("copies go by the copy engine alone: the driver does not register memory");
    }
    // SAFETY: the pages are zeroed, which is what a new board is, large enough, aligned and never unmapped.
    Some((unsafe { &*pages.cast() }, device?))
}

/// Where the device sees pages that are registered with the current context.
///
/// # Safety
/// They are whole pages that stay mapped.
unsafe fn register(pages: *mut c_void, len: usize) -> Option<CUdeviceptr> {
    let mut device = 0;
    // SAFETY: the function's contract; the second function writes an address.
    let (registered, found) = unsafe {
        (
            real::cuMemHostRegister_v2.get()?(pages, len, CU_MEMHOSTREGISTER_DEVICEMAP),
            real::cuMemHostGetDevicePointer_v2.get()?(&mut device, pages, 0),
        )
    };
    (registered == CUDA_SUCCESS && found == CUDA_SUCCESS).then_some(device)
}

/// Whether any trial goes on.
pub(super) fn is_trying() -> bool {
    all().any(|harbor| harbor.board.trial.goes_on.load(Ordering::SeqCst) != 0)
}

/// The watchdog's look at the trials.
pub(super) fn look_at_trials() {
    all().for_each(|harbor| harbor.board.trial.look());
}

/// A context is about to be destroyed.
pub(crate) fn context_gone(context: CUcontext) {
    all().filter(|harbor| harbor.context == context).for_each(Harbor::close);
}

/// A hold on a device's primary context was given back, or it was reset.
pub(crate) fn primary_released(device: CUdevice) {
    let (mut flags, mut active): (c_uint, c_int) = (0, 0);
    // SAFETY: the function writes two numbers.
    let told = real::cuDevicePrimaryCtxGetState.get().map(|ask| unsafe { ask(device, &mut flags, &mut active) });
    if told != Some(CUDA_SUCCESS) || active == 0 {
        all().filter(|harbor| harbor.primary_of == Some(device)).for_each(Harbor::close);
    }
}

impl Harbor {
    fn close(&self) {
        self.gone.store(true, Ordering::Release);
    }
}
