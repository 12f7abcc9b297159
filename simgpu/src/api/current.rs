//! The functions that make contexts current to a thread.

use super::put;
use crate::objects::context::Context;
use crate::objects::driver::driver;
use crate::objects::{Outcome, current};
use abi::cuda::*;

fn pop(context: *mut CUcontext) -> Outcome {
    driver()?;
    let top = current::pop().ok_or(CUDA_ERROR_INVALID_CONTEXT)?;
    if context.is_null() {
        return Ok(());
    }
    // SAFETY: not null, and a place for the answer, as cuda.h demands.
    unsafe { put(context, top.id) }
}

export! {
    fn cuCtxSetCurrent(context: CUcontext) {
        driver()?;
        // One that was destroyed is taken, and then none is current (recorded on an H200).
        let new = if context.is_null() { None } else { Context::find(context).ok() };
        current::replace(new);
        Ok(())
    }

    fn cuCtxGetCurrent(context: *mut CUcontext) {
        driver()?;
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands; so below.
        unsafe { put(context, current::top().map_or(CUcontext::NULL, |top| top.id)) }
    }

    fn cuCtxPushCurrent(ctx: CUcontext) {
        driver()?;
        current::push(Context::find(ctx)?);
        Ok(())
    }

    fn cuCtxPushCurrent_v2(ctx: CUcontext) {
        driver()?;
        current::push(Context::find(ctx)?);
        Ok(())
    }

    fn cuCtxPopCurrent(ctx: *mut CUcontext) {
        pop(ctx)
    }

    fn cuCtxPopCurrent_v2(ctx: *mut CUcontext) {
        pop(ctx)
    }
}
