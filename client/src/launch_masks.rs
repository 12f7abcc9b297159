//! Masks on the launches of this process: the driver tells a subscriber of each launch's descriptor before it hands that
//! to the GPU, and a subscriber may change it ([`abi::qmd`]).

use crate::Library;
use abi::qmd::{self, EnableFn, SubscribeFn, TpcMask};
use core::ffi::{c_int, c_void};
use std::ptr::null;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// `CUresult cuGetExportTable(const void **, const CUuuid *)` of cuda.h.
type GetExportTableFn = unsafe extern "C" fn(*mut *const usize, *const [u8; 16]) -> c_int;

/// A subscription to the launches of this process, which puts one mask on all of them. It stays until the process ends,
/// as no way of ending it is known; without a mask it leaves launches alone.
#[derive(Clone, Copy, Debug)]
pub struct LaunchMasks {
    state: &'static State,
}

/// The words that the program shares with the driver's callback.
#[derive(Debug, Default)]
struct State {
    on: AtomicBool,
    /// The low and the high half of the mask.
    halves: [AtomicU64; 2],
    /// The number of descriptors that were given a mask.
    masked: AtomicU32,
    /// The first descriptor in which no place for one is known.
    unknown: OnceLock<qmd::UnknownQmd>,
}

impl LaunchMasks {
    /// Subscribes; `None` where the driver does not tell of launches.
    pub fn subscribe(library: &Library) -> Option<LaunchMasks> {
        let (subscribe, enable) = functions(library)?;
        // Never freed: the driver may call back until the process ends.
        let state: &'static State = Box::leak(Box::default());
        let (mut handle, user) = (0, core::ptr::from_ref(state).cast_mut().cast());
        // SAFETY: the callback takes `user` for the `State` that it is, all of whose parts may be used by several threads
        // and which lives as long as the process.
        let is_subscribed = unsafe { subscribe(&mut handle, on_launch, user) } == 0;
        // SAFETY: the handle is the one that the driver gave.
        let is_told = is_subscribed && unsafe { enable(1, handle, qmd::DOMAIN, qmd::LAUNCH) } == 0;
        is_told.then_some(LaunchMasks { state })
    }

    /// Takes these TPCs away from all launches of the process from now on; those before keep what they had. At least one
    /// TPC must be left, else a launch never ends.
    pub fn take(self, taken: TpcMask) {
        let bits = taken.bits();
        // The callback may see one half of the former mask where another thread launches meanwhile.
        self.state.halves[0].store(bits as u64, Ordering::Relaxed);
        self.state.halves[1].store((bits >> 64) as u64, Ordering::Relaxed);
        self.state.on.store(true, Ordering::Release);
    }

    /// Leaves launches alone from now on.
    pub fn stop(self) {
        self.state.on.store(false, Ordering::Release);
    }

    /// The number of launches that had a mask so far.
    pub fn masked(self) -> u32 {
        self.state.masked.load(Ordering::Relaxed)
    }

    /// The first launch's descriptor that should have had a mask and is of a version in which no place for one is known.
    pub fn unknown(self) -> Option<qmd::UnknownQmd> {
        self.state.unknown.get().copied()
    }
}

/// The driver's functions for subscribers.
fn functions(library: &Library) -> Option<(SubscribeFn, EnableFn)> {
    let get = library.address("cuGetExportTable")?;
    // SAFETY: cuda.h declares the function of this name with this type.
    let get = unsafe { core::mem::transmute::<*mut c_void, GetExportTableFn>(get) };
    let mut table: *const usize = null();
    // SAFETY: both are live: a place for a pointer, and a UUID.
    if unsafe { get(&mut table, &qmd::SUBSCRIBERS) } != 0 || table.is_null() {
        return None;
    }
    // SAFETY: a table of the driver's begins with its size in bytes, and stays as long as the library.
    let size = unsafe { table.read() };
    if size < (qmd::SUBSCRIBE.max(qmd::ENABLE) + 1) * size_of::<usize>() {
        return None;
    }
    // SAFETY: both words are within the table's size, and hold functions of these types or null, which `None` is.
    unsafe {
        let subscribe = table.add(qmd::SUBSCRIBE).cast::<Option<SubscribeFn>>().read()?;
        let enable = table.add(qmd::ENABLE).cast::<Option<EnableFn>>().read()?;
        Some((subscribe, enable))
    }
}

/// The driver's call about one launch, before it hands the launch to the GPU.
unsafe extern "C" fn on_launch(user: *mut c_void, _domain: c_int, _id: c_int, parameters: *const c_void) {
    // SAFETY: `user` is the state that the subscription was made with, which is never freed.
    let state = unsafe { &*user.cast::<State>() };
    if !state.on.load(Ordering::Acquire) {
        return;
    }
    // SAFETY: this is the one callback that was enabled, with the driver's parameters.
    let Some(descriptor) = (unsafe { qmd::descriptor(parameters) }) else { return };
    let half = |i: usize| u128::from(state.halves[i].load(Ordering::Relaxed));
    // SAFETY: the descriptor is the driver's, which waits for this call before anybody else uses it.
    match unsafe { qmd::set_mask(descriptor, TpcMask::new(half(0) | half(1) << 64)) } {
        Ok(()) => drop(state.masked.fetch_add(1, Ordering::Relaxed)),
        Err(unknown) => drop(state.unknown.set(unknown)),
    }
}
