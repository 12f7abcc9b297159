//! Contexts: readied when they are new, forgotten when they are gone.

use crate::{captures, fault, ferry, gate, life, real};
use abi::cuda::{CUDA_SUCCESS, CUcontext, CUdevice, CUresult};
use settings::CopyChoice;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A context was made, or one more hold on it was taken; `primary` says that it is its device's.
///
/// # Safety
/// `context` is null or a place for a handle.
pub(crate) unsafe fn created(forward: impl FnOnce() -> CUresult, context: *mut CUcontext, primary: bool) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS && !context.is_null() {
        // SAFETY: the function's contract; the driver wrote the handle.
        let context = unsafe { context.read_unaligned() };
        fault::shielded(|| prepare(context, primary));
    }
    result
}

/// The contexts that were new once, by number, which no other ever has.
static SEEN: Mutex<Vec<u64>> = Mutex::new(Vec::new());

/// Does what copies need in a context that is new, while nothing runs there that could be waited for.
fn prepare(context: CUcontext, primary: bool) -> Option<()> {
    let joined = life::joined().filter(|joined| joined.settings.copies != CopyChoice::Off)?;
    let mut number = 0;
    // SAFETY: the driver gave out this context just now; the function writes a number.
    if unsafe { real::cuCtxGetId.get()?(context, &mut number) } != CUDA_SUCCESS {
        return None;
    }
    let is_new = |mut seen: MutexGuard<'_, Vec<u64>>| {
        let is_new = !seen.contains(&number);
        seen.extend(is_new.then_some(number));
        is_new
    };
    if !is_new(SEEN.lock().unwrap_or_else(PoisonError::into_inner)) {
        return None;
    }
    // SAFETY: as above; it is popped below.
    if unsafe { real::cuCtxPushCurrent_v2.get()?(context) } != CUDA_SUCCESS {
        return None;
    }
    gate::Mapped::renew(joined);
    ferry::prepare(joined, primary);
    let mut popped = std::ptr::null_mut();
    // SAFETY: takes away what was pushed above.
    real::cuCtxPopCurrent_v2.get().map(|pop| unsafe { pop(&mut popped) });
    Some(())
}

/// A context is to be destroyed. Nothing of it is used from before that on, whatever the driver answers: it may tell of an
/// earlier error, and have destroyed it.
pub(crate) fn destroyed(forward: impl FnOnce() -> CUresult, context: CUcontext) -> CUresult {
    let _aside = fault::shielded(|| {
        let aside = ferry::stand_aside();
        ferry::context_gone(context);
        aside
    });
    released(forward)
}

/// A hold on a device's primary context is to be given back, or it is to be reset.
pub(crate) fn primary_released(forward: impl FnOnce() -> CUresult, device: CUdevice) -> CUresult {
    let _aside = fault::shielded(ferry::stand_aside);
    let result = released(forward);
    fault::shielded(|| ferry::primary_released(device));
    result
}

/// A context may come to its end.
pub(crate) fn released(forward: impl FnOnce() -> CUresult) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS {
        fault::shielded(captures::forget_all);
    }
    result
}
