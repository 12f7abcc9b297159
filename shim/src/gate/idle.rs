//! Whether what is put into a stream runs at once.

use crate::{captures, real};
use abi::cuda::*;
use std::ffi::c_uint;

/// cuda.h: `CU_STREAM_NON_BLOCKING`.
const CU_STREAM_NON_BLOCKING: c_uint = 1;

/// Whether what is put into the stream now runs at once: it is idle, and so is the legacy default stream, if it is one of
/// those that wait for that.
pub(crate) fn is_next_to_run(stream: CUstream) -> bool {
    // Nor is asked while any stream is captured: that may end the capture.
    if captures::any() {
        return false;
    }
    let legacy = CU_STREAM_LEGACY as CUstream;
    // SAFETY: the caller found that the stream is not being captured, and for the other that is asked first.
    let is_idle = |stream| real::cuStreamQuery.get().is_some_and(|query| unsafe { query(stream) } == CUDA_SUCCESS);
    if !is_idle(stream) {
        return false;
    }
    let mut flags = 0;
    // SAFETY: the function writes the flags of a stream that lives.
    let told = real::cuStreamGetFlags.get().is_some_and(|ask| unsafe { ask(stream, &mut flags) } == CUDA_SUCCESS);
    stream == legacy
        || (told && flags & CU_STREAM_NON_BLOCKING != 0)
        || (!captures::may_go_on(legacy) && is_idle(legacy))
}
