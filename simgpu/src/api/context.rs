//! The functions of contexts.

use super::{device, present, put};
use crate::objects::context::{self, Context};
use crate::objects::driver::driver;
use crate::objects::{Outcome, current, pool};
use abi::cuda::*;
use std::ffi::{c_int, c_uint, c_void};

fn create(context: *mut CUcontext, flags: c_uint, device: CUdevice) -> Outcome {
    device::check(device)?;
    check_flags(flags)?;
    present(context)?;
    let new = Context::create(flags)?;
    // SAFETY: not null, and a place for the answer, as cuda.h demands.
    unsafe { put(context, new.id) }?;
    current::push(new);
    Ok(())
}

/// Flags that a context can have (cuda.h: `CU_CTX_FLAGS_MASK`); of the scheduling ones at most one is set.
const FLAGS: c_uint = 0xFF;
const SCHEDULING: c_uint = 0x07;

fn check_flags(flags: c_uint) -> Outcome {
    let sound = flags & !FLAGS == 0 && (flags & SCHEDULING).count_ones() <= 1;
    if sound { Ok(()) } else { Err(CUDA_ERROR_INVALID_VALUE) }
}

fn set_primary_flags(device: CUdevice, flags: c_uint) -> Outcome {
    device::check(device)?;
    check_flags(flags)?;
    context::set_primary_flags(flags);
    Ok(())
}

fn destroy(context: CUcontext) -> Outcome {
    driver()?;
    let context = Context::find(context)?;
    if context.is_primary() {
        return Err(CUDA_ERROR_INVALID_CONTEXT);
    }
    current::forget(&context);
    context.destroy()
}

/// The creation parameters ask for execution affinity or for a graphics context, neither of which is there.
fn check_params(params: *const c_void, count: c_int) -> Outcome {
    match (params.is_null(), count) {
        (true, 0) => Ok(()),
        (false, 1..) => Err(CUDA_ERROR_NOT_SUPPORTED),
        _ => Err(CUDA_ERROR_INVALID_VALUE),
    }
}

export! {
    fn cuDevicePrimaryCtxRetain(context: *mut CUcontext, device: CUdevice) {
        device::check(device)?;
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands; so below.
        context::retain_primary(|id| unsafe { put(context, id) })
    }

    fn cuDevicePrimaryCtxRelease(device: CUdevice) {
        device::check(device)?;
        context::release_primary(false)
    }

    fn cuDevicePrimaryCtxRelease_v2(device: CUdevice) {
        device::check(device)?;
        context::release_primary(false)
    }

    fn cuDevicePrimaryCtxReset(device: CUdevice) {
        device::check(device)?;
        context::release_primary(true)
    }

    fn cuDevicePrimaryCtxReset_v2(device: CUdevice) {
        device::check(device)?;
        context::release_primary(true)
    }

    fn cuDevicePrimaryCtxGetState(device: CUdevice, flags: *mut c_uint, active: *mut c_int) {
        device::check(device)?;
        let (found, is_active) = context::primary_state();
        // SAFETY: as above.
        unsafe {
            put(flags, found)?;
            put(active, c_int::from(is_active))
        }
    }

    fn cuDevicePrimaryCtxSetFlags(device: CUdevice, flags: c_uint) {
        set_primary_flags(device, flags)
    }

    fn cuDevicePrimaryCtxSetFlags_v2(device: CUdevice, flags: c_uint) {
        set_primary_flags(device, flags)
    }

    fn cuCtxCreate(ctx: *mut CUcontext, flags: c_uint, device: CUdevice) {
        create(ctx, flags, device)
    }

    fn cuCtxCreate_v2(ctx: *mut CUcontext, flags: c_uint, device: CUdevice) {
        create(ctx, flags, device)
    }

    fn cuCtxCreate_v3(ctx: *mut CUcontext, params: *mut c_void, count: c_int, flags: c_uint, device: CUdevice) {
        device::check(device)?;
        check_params(params, count)?;
        create(ctx, flags, device)
    }

    fn cuCtxCreate_v4(ctx: *mut CUcontext, params: *mut c_void, flags: c_uint, device: CUdevice) {
        device::check(device)?;
        check_params(params, c_int::from(!params.is_null()))?;
        create(ctx, flags, device)
    }

    fn cuCtxDestroy(ctx: CUcontext) {
        destroy(ctx)
    }

    fn cuCtxDestroy_v2(ctx: CUcontext) {
        destroy(ctx)
    }

    fn cuCtxAttach(ctx: *mut CUcontext, flags: c_uint) {
        let context = current::context()?;
        if flags != 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: as above.
        unsafe { put(ctx, context.id) }?;
        context.attach();
        Ok(())
    }

    /// Undoes `cuCtxAttach`, or destroys a context that was only created.
    fn cuCtxDetach(ctx: CUcontext) {
        driver()?;
        if Context::find(ctx)?.detach() { Ok(()) } else { destroy(ctx) }
    }

    fn cuCtxGetFlags(flags: *mut c_uint) {
        let context = current::context()?;
        // SAFETY: as above.
        unsafe { put(flags, context.flags()) }
    }

    fn cuCtxGetDevice(device: *mut CUdevice) {
        current::context()?;
        // SAFETY: as above.
        unsafe { put(device, 0) }
    }

    fn cuCtxGetDevice_v2(device: *mut CUdevice, ctx: CUcontext) {
        let context = if ctx.is_null() { current::context()? } else { Context::find(ctx)? };
        context.check()?;
        // SAFETY: as above.
        unsafe { put(device, 0) }
    }

    fn cuCtxSynchronize() {
        current::context()?.synchronize()?;
        pool::after_waiting();
        Ok(())
    }

    fn cuCtxSynchronize_v2(ctx: CUcontext) {
        let context = if ctx.is_null() { current::context()? } else { Context::find(ctx)? };
        context.synchronize()?;
        pool::after_waiting();
        Ok(())
    }
}
