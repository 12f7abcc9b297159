//! Contexts: readied when they are new, forgotten when they are gone.

use crate::{captures, fault, ferry, gate, life, real};
use abi::cuda::{CUDA_SUCCESS, CUcontext, CUresult};
use settings::CopyChoice;

/// A context was made, or one more hold on it was taken.
///
/// # Safety
/// `context` is null or a place for a handle.
pub(crate) unsafe fn created(forward: impl FnOnce() -> CUresult, context: *mut CUcontext) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS && !context.is_null() {
        // SAFETY: the function's contract; the driver wrote the handle.
        let context = unsafe { context.read_unaligned() };
        fault::shielded(|| prepare(context));
    }
    result
}

/// Does what copies need in the context, while nothing runs there that could be waited for.
fn prepare(context: CUcontext) -> Option<()> {
    let joined = life::joined().filter(|joined| joined.settings.copies != CopyChoice::Off)?;
    // SAFETY: the driver gave out this context just now; it is popped below.
    if unsafe { real::cuCtxPushCurrent_v2.get()?(context) } != CUDA_SUCCESS {
        return None;
    }
    gate::LaneAddresses::of(joined);
    ferry::prepare(joined);
    let mut popped = std::ptr::null_mut();
    // SAFETY: takes away what was pushed above.
    real::cuCtxPopCurrent_v2.get().map(|pop| unsafe { pop(&mut popped) });
    Some(())
}

/// A context is to be destroyed.
pub(crate) fn released(forward: impl FnOnce() -> CUresult) -> CUresult {
    let _aside = fault::shielded(ferry::stand_aside);
    let result = forward();
    if result == CUDA_SUCCESS {
        fault::shielded(captures::forget_all);
    }
    result
}
