//! Whether a stream of this process is being captured into a graph.
//!
//! Then nothing may be waited for: the driver would refuse it, and the capture would be lost. The driver tells of one
//! stream only, so those that captures began with are kept here.

use crate::real;
use abi::cuda::{
    CU_STREAM_CAPTURE_STATUS_NONE, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, CUDA_SUCCESS, CUresult, CUstream,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The streams that captures began with, and may go on in.
static BEGAN: Mutex<Vec<usize>> = Mutex::new(Vec::new());

fn began() -> MutexGuard<'static, Vec<usize>> {
    BEGAN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A capture began in the stream.
pub(crate) fn begin(stream: CUstream) {
    let mut began = began();
    if !began.contains(&stream.addr()) {
        began.push(stream.addr());
    }
}

/// The stream is no more; its handle must not be asked about.
pub(crate) fn forget(stream: CUstream) {
    began().retain(|&known| known != stream.addr());
}

/// A context is no more, and its streams with it. Which they were is not known; a capture in another context that is
/// forgotten with them makes an export fail that would have been refused.
pub(crate) fn forget_all() {
    began().clear();
}

/// Whether any capture goes on.
pub(crate) fn any() -> bool {
    let mut began = began();
    began.retain(|&stream| state(CUstream::from_addr(stream)) == State::Captured);
    !began.is_empty()
}

#[derive(PartialEq, Eq)]
enum State {
    /// Also where the driver does not say.
    Free,
    Captured,
}

/// The errors that have to do with captures (cuda.h: `CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED` to `..._WRONG_THREAD`). One
/// of them is the answer about the legacy stream beside a capture.
const CAPTURE_ERRORS: std::ops::RangeInclusive<CUresult> = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED..=908;

fn state(stream: CUstream) -> State {
    let Some(ask) = real::cuStreamIsCapturing.get() else { return State::Free };
    let mut status = CU_STREAM_CAPTURE_STATUS_NONE;
    // SAFETY: the stream lives; the function writes a status.
    match unsafe { ask(stream, &mut status) } {
        CUDA_SUCCESS if status != CU_STREAM_CAPTURE_STATUS_NONE => State::Captured,
        error if CAPTURE_ERRORS.contains(&error) => State::Captured,
        _ => State::Free,
    }
}
