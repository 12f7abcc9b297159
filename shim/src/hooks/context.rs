//! Contexts: readied when they are new, forgotten when they are gone.

use crate::{captures, fault, ferry, gate, life, real};
use abi::cuda::{CUDA_SUCCESS, CUcontext, CUdevice, CUresult};
use settings::CopyChoice;

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

/// Does what copies need in the context, while nothing runs there that could be waited for.
fn prepare(context: CUcontext, primary: bool) -> Option<()> {
    let joined = life::joined().filter(|joined| joined.settings.copies != CopyChoice::Off)?;
    // SAFETY: the driver gave out this context just now; it is popped below.
    if unsafe { real::cuCtxPushCurrent_v2.get()?(context) } != CUDA_SUCCESS {
        return None;
    }
    gate::LaneAddresses::of(joined);
    ferry::prepare(joined, primary);
    let mut popped = std::ptr::null_mut();
    // SAFETY: takes away what was pushed above.
    real::cuCtxPopCurrent_v2.get().map(|pop| unsafe { pop(&mut popped) });
    Some(())
}

/// A context is to be destroyed.
pub(crate) fn destroyed(forward: impl FnOnce() -> CUresult, context: CUcontext) -> CUresult {
    released(forward, || ferry::context_gone(context))
}

/// A hold on a device's primary context is to be given back, or it is to be reset.
pub(crate) fn primary_released(forward: impl FnOnce() -> CUresult, device: CUdevice) -> CUresult {
    released(forward, || ferry::primary_released(device))
}

/// A context may come to its end, which `then` settles.
pub(crate) fn released(forward: impl FnOnce() -> CUresult, then: impl FnOnce()) -> CUresult {
    let _aside = fault::shielded(ferry::stand_aside);
    let result = forward();
    if result == CUDA_SUCCESS {
        fault::shielded(|| {
            captures::forget_all();
            then();
        });
    }
    result
}
