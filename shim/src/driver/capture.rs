//! The captures of this process: whether any stream is being captured into a graph.
//!
//! Then nothing may be waited for or allocated: the driver would refuse it, and the capture would be lost. The driver
//! tells of one stream only, so every capture is entered as it begins, under a name that means the same in every thread,
//! and goes when it ends, or with its stream or context.

use super::null_stream::NullStream;
use super::objects::{Capture, CapturedStream, Generation, OBJECTS, free};
use super::{calls, query, streams};
use crate::base::shield;
use abi::cuda::*;

/// The name for a stream, given by a handle on this thread. `None` for the legacy stream, which cannot be captured
/// (cuda.h: `cuStreamBeginCapture`).
fn name(stream: CUstream, null: NullStream, thread: u32, context: Option<CUcontext>) -> Option<CapturedStream> {
    match (stream, null) {
        (CUstream::NULL, NullStream::Legacy) | (CUstream::LEGACY, _) => None,
        (CUstream::NULL, NullStream::OfThread) | (CUstream::PER_THREAD, _) => {
            Some(CapturedStream::OfThread(thread, context.unwrap_or(CUcontext::NULL)))
        }
        (made, _) => Some(CapturedStream::Made(made)),
    }
}

/// The name for a stream on this thread.
fn name_here(stream: CUstream, null: NullStream) -> Option<CapturedStream> {
    name(stream, null, thread(), query::current_context())
}

fn thread() -> u32 {
    // By its number, as the C library has a function for it since glibc 2.30 only.
    // SAFETY: gettid(2) takes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

/// The context of a stream that is not captured yet, by its name.
fn context_of(name: CapturedStream) -> Option<CUcontext> {
    match name {
        CapturedStream::Made(stream) => query::context_of(stream).or_else(query::current_context),
        CapturedStream::OfThread(_, context) => Some(context),
    }
}

/// A capture is to begin in a stream. Entered before it does, so that nobody thinks that there is none; and again once it
/// has, since a thread that asked the driver meanwhile found none and took the entry out.
pub(crate) fn begin(stream: CUstream, null: NullStream, forward: impl FnOnce() -> CUresult) -> CUresult {
    let enter = |name, capture| OBJECTS.captures.change(name, || capture, |_| ());
    let entered = shield::shielded(|| {
        let name = name_here(stream, null)?;
        let capture = Capture { context: context_of(name) };
        enter(name, capture);
        Some((name, capture))
    });
    let result = streams::quiet(forward);
    if let Some((name, capture)) = entered.flatten() {
        shield::shielded(|| match result {
            CUDA_SUCCESS => enter(name, capture),
            // Of a stream that is captured already the entry stays.
            _ => settle(name),
        });
    }
    result
}

/// A capture is to end in a stream.
pub(crate) fn end(stream: CUstream, null: NullStream, forward: impl FnOnce() -> CUresult) -> CUresult {
    let seen = shield::shielded(|| {
        let name = name_here(stream, null)?;
        OBJECTS.captures.look(name, |_| ()).map(|(generation, ())| (name, generation))
    });
    let result = forward();
    if let Some((name, generation)) = seen.flatten() {
        shield::shielded(|| match result {
            CUDA_SUCCESS => OBJECTS.captures.remove_if_still(name, generation),
            // Some errors end it and some do not, which the driver says.
            _ => settle(name),
        });
    }
    result
}

/// Removes the entry of a stream in which no capture goes on.
fn settle(name: CapturedStream) {
    OBJECTS.captures.retain(|known, _| *known != name || goes_on(known));
}

/// A stream is to be destroyed, and a capture in it with it.
pub(crate) fn stream_destroyed(stream: CUstream, forward: impl FnOnce() -> CUresult) -> CUresult {
    free(&OBJECTS.captures, CapturedStream::Made(stream), || streams::quiet(forward))
}

/// The captures in a context, as they were looked at.
#[derive(Default)]
pub(crate) struct Seen(Vec<(CapturedStream, Generation)>);

pub(crate) fn within(context: CUcontext) -> Seen {
    Seen(OBJECTS.captures.matching(|_, capture| capture.context == Some(context)))
}

impl Seen {
    /// They ended with their context.
    pub(crate) fn forget(self) {
        for (name, generation) in self.0 {
            OBJECTS.captures.remove_if_still(name, generation);
        }
    }
}

/// Whether any capture goes on in this process.
pub(crate) fn any() -> bool {
    OBJECTS.captures.retain(|name, _| goes_on(name))
}

/// Whether a stream is being captured, also one that others led into a capture.
pub(crate) fn includes(stream: CUstream, null: NullStream) -> bool {
    match (stream, null) {
        // Asking for it ends a capture that goes on beside it.
        (CUstream::NULL, NullStream::Legacy) | (CUstream::LEGACY, _) => false,
        (CUstream::NULL, NullStream::OfThread) => is_captured(CUstream::PER_THREAD),
        (made, _) => is_captured(made),
    }
}

/// Whether a capture goes on in a stream whose entry is there. A stream of another thread's own cannot be asked about.
fn goes_on(name: &CapturedStream) -> bool {
    match *name {
        CapturedStream::Made(stream) => is_captured(stream),
        CapturedStream::OfThread(of, context) => {
            let is_here = of == thread() && query::current_context() == Some(context);
            !is_here || is_captured(CUstream::PER_THREAD)
        }
    }
}

/// The errors that have to do with captures (cuda.h: `CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED` to `..._WRONG_THREAD`). One
/// of them is the answer about the legacy stream beside a capture.
const CAPTURE_ERRORS: std::ops::RangeInclusive<CUresult> = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED..=908;

/// Whether the driver says that a stream is captured, which lives as long as its entry. Not where it does not say.
fn is_captured(stream: CUstream) -> bool {
    let Some(ask) = calls::cuStreamIsCapturing.get() else { return false };
    let mut status = CU_STREAM_CAPTURE_STATUS_NONE;
    // SAFETY: the stream lives; the function writes a status.
    match unsafe { ask(stream, &mut status) } {
        CUDA_SUCCESS => status != CU_STREAM_CAPTURE_STATUS_NONE,
        error => CAPTURE_ERRORS.contains(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: CUstream = CUstream::from_addr(0x10);
    const HERE: Option<CUcontext> = Some(CUcontext::from_addr(0x20));

    #[test]
    fn the_default_stream_of_a_thread_has_another_name_in_another_thread() {
        let of = |thread| name(CUstream::PER_THREAD, NullStream::Legacy, thread, HERE);
        assert_ne!(of(1), of(2));
        assert_eq!(of(1), name(CUstream::NULL, NullStream::OfThread, 1, HERE));
    }

    #[test]
    fn a_stream_that_the_program_made_has_one_name_everywhere() {
        let names = [1, 2].map(|thread| name(STREAM, NullStream::OfThread, thread, None));
        assert_eq!(names, [Some(CapturedStream::Made(STREAM)); 2]);
    }

    #[test]
    fn the_legacy_stream_has_no_name_since_it_cannot_be_captured() {
        assert_eq!(name(CUstream::NULL, NullStream::Legacy, 1, HERE), None);
        assert_eq!(name(CUstream::LEGACY, NullStream::OfThread, 1, HERE), None);
    }
}
