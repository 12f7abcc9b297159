//! The contexts of this process, as they are made and end.

use super::capture;
use super::objects::{Context, OBJECTS, free};
use super::{query, streams};
use crate::base::shield::shielded;
use abi::cuda::*;

/// A context is to be made, or held once more.
///
/// # Safety
/// `place` is null or where the driver writes a handle, if it succeeds.
pub(crate) unsafe fn created(place: *mut CUcontext, forward: impl FnOnce() -> CUresult) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS && !place.is_null() {
        // SAFETY: the driver returned success, so it wrote a handle here.
        let context = unsafe { place.read_unaligned() };
        shielded(|| {
            let new = || Context { primary_of: None, holds: 0 };
            OBJECTS.contexts.change(context, new, |known| known.holds += 1);
        });
    }
    result
}

/// The primary context of a device is to be held once more. It gets a new entry each time, so that whoever looked at the
/// one before, and then let the context go, does not remove it.
///
/// # Safety
/// `place` is null or where the driver writes a handle, if it succeeds.
pub(crate) unsafe fn retained(place: *mut CUcontext, device: CUdevice, forward: impl FnOnce() -> CUresult) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS && !place.is_null() {
        // SAFETY: the driver returned success, so it wrote a handle here.
        let context = unsafe { place.read_unaligned() };
        shielded(|| OBJECTS.contexts.insert(context, Context { primary_of: Some(device), holds: 0 }));
    }
    result
}

/// A context is to be destroyed, with the captures in it.
pub(crate) fn destroyed(context: CUcontext, forward: impl FnOnce() -> CUresult) -> CUresult {
    let captures = shielded(|| capture::within(context)).unwrap_or_default();
    let result = free(&OBJECTS.contexts, context, || streams::quiet(forward));
    if result == CUDA_SUCCESS {
        shielded(|| captures.forget());
    }
    result
}

/// A hold on a context is to be let go (`cuCtxDetach`), with the last of which the context ends.
pub(crate) fn detached(context: CUcontext, forward: impl FnOnce() -> CUresult) -> CUresult {
    let is_last = shielded(|| OBJECTS.contexts.look(context, |known| known.holds <= 1)).flatten();
    if is_last.is_none_or(|(_, last)| last) {
        return destroyed(context, forward);
    }
    let result = forward();
    if result == CUDA_SUCCESS {
        let fewer = |known: &mut Context| {
            known.holds = known.holds.saturating_sub(1);
            false
        };
        shielded(|| OBJECTS.contexts.take_if(context, fewer));
    }
    result
}

/// A hold on the primary context of a device is to be let go, or the context to be reset. It ends where nobody else holds
/// it, which the driver says.
pub(crate) fn released(device: CUdevice, forward: impl FnOnce() -> CUresult) -> CUresult {
    let seen = shielded(|| {
        let primary = OBJECTS.contexts.matching(|_, known| known.primary_of == Some(device));
        primary.into_iter().map(|(context, at)| (context, at, capture::within(context))).collect::<Vec<_>>()
    });
    let result = streams::quiet(forward);
    if result == CUDA_SUCCESS {
        shielded(|| {
            if query::primary_is_active(device) == Some(false) {
                for (context, generation, captures) in seen.unwrap_or_default() {
                    OBJECTS.contexts.remove_if_still(context, generation);
                    captures.forget();
                }
            }
        });
    }
    result
}

/// A green context is to be destroyed, with the captures in it.
pub(crate) fn green_destroyed(green: CUgreenCtx, forward: impl FnOnce() -> CUresult) -> CUresult {
    let captures = shielded(|| query::context_of_green(green).map(capture::within)).flatten();
    let result = streams::quiet(forward);
    if result == CUDA_SUCCESS {
        shielded(|| captures.unwrap_or_default().forget());
    }
    result
}
