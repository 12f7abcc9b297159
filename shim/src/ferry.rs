//! Copies by a kernel of a few blocks instead of the copy engine: how a best-effort tenant leaves the engine to a
//! latency-sensitive one and still uses the rest of the bus.
//!
//! The copy engine serves whole commands, so beside it a small copy waits for pieces, and small pieces cost the bus a
//! third of its rate. The loads of an SM meet the engine's on the bus itself, where a few of them hardly delay it: on an
//! H100 a 256 KiB copy took 27 us at p99 beside four such blocks that moved 50 GB/s, 25 us alone, and 750 us beside the
//! engine at 55 GB/s (docs/decisions/011). Only towards the device: what SMs write to the host clogs the bus.
//!
//! It must never start a kernel where the program could tell, but by a profiler. So: only where the operator asks for it
//! (a kernel waits where one of the program's fills every SM, and the copy engine does not); only for large copies in streams, of
//! memory that the driver says is pinned and mapped as a whole; only under MPS, where kernels of two processes run side by
//! side; and not in a process that launches cooperative kernels, which may fill every SM and wait for a copy.

use crate::life::Joined;
use crate::log::{info, warning};
use crate::traffic::Span;
use crate::{captures, gate, real};
use abi::cuda::*;
use settings::CopyChoice;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use units::Bytes;

const MODULE: &str = concat!(include_str!("ferry.ptx"), "\0");
const BLOCKS: c_uint = 4;
const THREADS: c_uint = 512;
/// Smaller copies are not worth a launch, nor do they hold anyone up.
const LEAST: Bytes = Bytes::kib(512);
/// What the kernel moves at a time.
const UNIT: u64 = 16;

/// cuda.h: `CU_DEVICE_ATTRIBUTE_MPS_ENABLED`.
const MPS_ENABLED: c_int = 133;
/// cuda.h: `CU_POINTER_ATTRIBUTE_…`.
const MEMORY_TYPE: c_uint = 2;
const DEVICE_POINTER: c_uint = 3;
const IS_MANAGED: c_uint = 8;
const DEVICE_ORDINAL: c_uint = 9;
const RANGE_START: c_uint = 11;
const RANGE_SIZE: c_uint = 12;

/// The program launches kernels that may need every SM.
static COOPERATES: AtomicBool = AtomicBool::new(false);

/// A cooperative kernel is launched.
#[inline]
pub(crate) fn cooperates() {
    COOPERATES.store(true, Ordering::Relaxed);
}

/// What a copy from the host to a device has to say for itself.
#[derive(Clone, Copy)]
pub(crate) struct Crossing {
    pub(crate) to: Span,
    pub(crate) from: *const c_void,
    pub(crate) stream: CUstream,
}

/// Launches the copy; `None` where it has to go another way, in which case nothing was launched.
pub(crate) fn take(joined: &Joined, crossing: Crossing) -> Option<()> {
    let Crossing { to, from, stream } = crossing;
    let (dst, src, bytes) = (to.start.get(), from as u64, to.len.get());
    let fits = to.len >= LEAST && dst.is_multiple_of(UNIT) && src.is_multiple_of(UNIT);
    if !fits || joined.settings.copies != CopyChoice::Ferry || COOPERATES.load(Ordering::Relaxed) {
        return None;
    }
    let launch = real::cuLaunchKernel.get()?;
    let mut device: CUdevice = -1;
    // SAFETY: the function writes a device ordinal.
    if unsafe { real::cuCtxGetDevice.get()?(&mut device) } != CUDA_SUCCESS || !is_shared(device) {
        return None;
    }
    let from = pinned(src, to.len)?;
    if !is_own(dst, device) || !gate::is_all_there(to) || captures::may_go_on(stream) {
        return None;
    }
    let function = kernel()?;
    let (mut dst, mut from, mut whole, mut rest) = (dst, from, bytes / UNIT * UNIT, (bytes % UNIT) as u32);
    let mut arguments: [*mut c_void; 4] =
        [(&raw mut dst).cast(), (&raw mut from).cast(), (&raw mut whole).cast(), (&raw mut rest).cast()];
    // SAFETY: the kernel's parameters are these four; both ranges are mapped for the device as a whole, and the caller
    // gave them to this copy until the stream is past it.
    let launched = unsafe {
        launch(function, BLOCKS, 1, 1, THREADS, 1, 1, 0, stream, arguments.as_mut_ptr(), std::ptr::null_mut())
    };
    (launched == CUDA_SUCCESS).then_some(())
}

/// Whether the device's SMs run kernels of several processes at a time.
fn is_shared(device: CUdevice) -> bool {
    /// By ordinal: 0 while not asked, 1 for no, 2 for yes.
    static KNOWN: [AtomicU8; 16] = [const { AtomicU8::new(0) }; 16];
    let Some(known) = usize::try_from(device).ok().and_then(|device| KNOWN.get(device)) else { return false };
    if known.load(Ordering::Relaxed) == 0 {
        let mut mps: c_int = 0;
        let ask = real::cuDeviceGetAttribute.get();
        // SAFETY: the function writes a number.
        let asked = ask.map(|ask| unsafe { ask(&mut mps, MPS_ENABLED, device) });
        let shared = asked == Some(CUDA_SUCCESS) && mps != 0;
        if !shared {
            info!("device {device} is not shared through MPS: best-effort copies go by the copy engine alone");
        }
        known.store(1 + u8::from(shared), Ordering::Relaxed);
    }
    known.load(Ordering::Relaxed) == 2
}

/// Where the device sees a range of pinned host memory; `None` where it is not all pinned and mapped.
fn pinned(address: u64, len: Bytes) -> Option<CUdeviceptr> {
    let (mut kind, mut mapped, mut start, mut size): (c_uint, u64, u64, usize) = (0, 0, 0, 0);
    let mut names = [MEMORY_TYPE, DEVICE_POINTER, RANGE_START, RANGE_SIZE];
    let mut places: [*mut c_void; 4] =
        [(&raw mut kind).cast(), (&raw mut mapped).cast(), (&raw mut start).cast(), (&raw mut size).cast()];
    // SAFETY: each place has its attribute's size; what is not known is written as zero.
    let asked = unsafe { real::cuPointerGetAttributes.get()?(4, names.as_mut_ptr(), places.as_mut_ptr(), address) };
    let end = address.checked_add(len.get())?;
    let all = start <= address && end <= start.checked_add(size as u64)?;
    // The range is told in the device's addresses or in the host's, which under unified addressing are the same.
    (asked == CUDA_SUCCESS && kind == CU_MEMORYTYPE_HOST && mapped == address && all).then_some(mapped)
}

/// Whether the address is of plain memory of this device.
fn is_own(address: CUdeviceptr, device: CUdevice) -> bool {
    let (mut kind, mut ordinal, mut managed): (c_uint, CUdevice, c_uint) = (0, -1, 0);
    let mut names = [MEMORY_TYPE, DEVICE_ORDINAL, IS_MANAGED];
    let mut places: [*mut c_void; 3] = [(&raw mut kind).cast(), (&raw mut ordinal).cast(), (&raw mut managed).cast()];
    let Some(ask) = real::cuPointerGetAttributes.get() else { return false };
    // SAFETY: as above; a truth value takes no more room than a number.
    let asked = unsafe { ask(3, names.as_mut_ptr(), places.as_mut_ptr(), address) };
    asked == CUDA_SUCCESS && kind == CU_MEMORYTYPE_DEVICE && ordinal == device && managed == 0
}

/// The kernel in one context.
struct Loaded {
    /// The context's number, which no other ever has; 0 while the place is free.
    context: AtomicU64,
    /// The kernel; 0 where the context does not take it.
    function: AtomicUsize,
}

/// How many contexts are known; in more than these copies go another way.
const CONTEXTS: usize = 16;
static LOADED: [Loaded; CONTEXTS] =
    [const { Loaded { context: AtomicU64::new(0), function: AtomicUsize::new(0) } }; CONTEXTS];
static LOADING: Mutex<()> = Mutex::new(());

/// The kernel in the current context, loaded there the first time.
fn kernel() -> Option<CUfunction> {
    let mut context = 0;
    // SAFETY: null means the current context; the function writes a number.
    if unsafe { real::cuCtxGetId.get()?(std::ptr::null_mut(), &mut context) } != CUDA_SUCCESS || context == 0 {
        return None;
    }
    let find = || LOADED.iter().find(|loaded| loaded.context.load(Ordering::Acquire) == context);
    let known = |loaded: &Loaded| match loaded.function.load(Ordering::Relaxed) {
        0 => None,
        function => Some(function as CUfunction),
    };
    if let Some(loaded) = find() {
        return known(loaded);
    }
    // Loading may wait for the device, which would end a capture.
    if captures::any() {
        return None;
    }
    let _loading = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(loaded) = find() {
        return known(loaded);
    }
    let place = LOADED.iter().find(|loaded| loaded.context.load(Ordering::Relaxed) == 0)?;
    let function = load();
    place.function.store(function.map_or(0, |function| function as usize), Ordering::Relaxed);
    place.context.store(context, Ordering::Release);
    function
}

fn load() -> Option<CUfunction> {
    let (mut module, mut function) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the text ends with a NUL; the function writes a handle.
    let loaded = unsafe { real::cuModuleLoadData.get()?(&mut module, MODULE.as_ptr().cast()) };
    if loaded != CUDA_SUCCESS {
        warning!("copies go by the copy engine alone: the driver does not take the kernel for them (error {loaded})");
        return None;
    }
    // SAFETY: the module was loaded just now, and the name ends with a NUL.
    let found = unsafe { real::cuModuleGetFunction.get()?(&mut function, module, c"missile_ferry".as_ptr()) };
    (found == CUDA_SUCCESS).then_some(function)
}
