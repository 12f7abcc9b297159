//! Limits of a context, which the simulated GPU keeps and has no use for, and its number and version.

use super::put;
use crate::objects::context::Context;
use crate::objects::{Outcome, current, lock};
use abi::cuda::*;
use std::ffi::c_uint;

/// The values that limits have at first, by their numbers (cuda.h: `CU_LIMIT_…`).
const FIRST: [usize; 7] = [1024, 1 << 20, 8 << 20, 2, 2048, 64, 0];
/// The most stack that a thread can have.
const MOST_STACK: usize = 512 << 10;

fn first(limit: c_uint) -> Outcome<usize> {
    FIRST.get(limit as usize).copied().ok_or(CUDA_ERROR_UNSUPPORTED_LIMIT)
}

/// cuda.h: `CUDA_ERROR_UNSUPPORTED_LIMIT`.
const CUDA_ERROR_UNSUPPORTED_LIMIT: CUresult = 215;

export! {
    fn cuCtxSetLimit(limit: c_uint, value: usize) {
        let context = current::context()?;
        first(limit)?;
        if limit == 0 && value > MOST_STACK {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        lock(&context.limits).insert(limit, value);
        Ok(())
    }

    fn cuCtxGetLimit(value: *mut usize, limit: c_uint) {
        let context = current::context()?;
        let first = first(limit)?;
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands; so below.
        unsafe { put(value, lock(&context.limits).get(&limit).copied().unwrap_or(first)) }
    }

    fn cuCtxGetApiVersion(ctx: CUcontext, version: *mut c_uint) {
        let context = if ctx.is_null() { current::context()? } else { Context::find(ctx)? };
        context.check()?;
        // SAFETY: as above.
        unsafe { put(version, 3020) }
    }

    fn cuCtxGetId(ctx: CUcontext, id: *mut u64) {
        let context = if ctx.is_null() { current::context()? } else { Context::find(ctx)? };
        // SAFETY: as above.
        unsafe { put(id, context.id.addr() as u64) }
    }
}
