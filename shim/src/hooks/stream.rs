//! Streams: what is known of their captures.

use crate::{captures, fault};
use abi::cuda::{CUDA_SUCCESS, CUresult, CUstream};

/// A capture is to begin in the stream, given by a handle that means the same to every function.
pub(crate) fn begin_capture(forward: impl FnOnce() -> CUresult, stream: CUstream) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS {
        fault::shielded(|| captures::begin(stream));
    }
    result
}

/// The stream is to be destroyed.
pub(crate) fn destroy(forward: impl FnOnce() -> CUresult, stream: CUstream) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS {
        fault::shielded(|| captures::forget(stream));
    }
    result
}

/// The stream by a handle that means the same to every function. Null is the default stream: that of the thread in the
/// `_ptsz` spelling of `function`, else the legacy one.
#[inline]
pub(crate) fn named(stream: CUstream, function: &str) -> CUstream {
    match (stream.is_null(), function.ends_with("_ptsz")) {
        (true, true) => CUstream::PER_THREAD,
        (true, false) => CUstream::LEGACY,
        (false, _) => stream,
    }
}
