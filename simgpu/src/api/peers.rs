//! Peer access: between devices, of which there is one, so that no context has a peer.

use crate::objects::context::Context;
use crate::objects::{Outcome, current};
use abi::cuda::*;
use std::ffi::c_uint;

/// cuda.h: `CUDA_ERROR_PEER_ACCESS_UNSUPPORTED` and `CUDA_ERROR_PEER_ACCESS_NOT_ENABLED`.
const CUDA_ERROR_PEER_ACCESS_UNSUPPORTED: CUresult = 217;
const CUDA_ERROR_PEER_ACCESS_NOT_ENABLED: CUresult = 705;

fn check(context: CUcontext) -> Outcome {
    let (own, other) = (current::context()?, Context::find(context)?);
    if own.id == other.id { Err(CUDA_ERROR_INVALID_CONTEXT) } else { other.check() }
}

export! {
    fn cuCtxEnablePeerAccess(ctx: CUcontext, flags: c_uint) {
        check(ctx)?;
        if flags != 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        Err(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED)
    }

    fn cuCtxDisablePeerAccess(ctx: CUcontext) {
        check(ctx)?;
        Err(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED)
    }
}
