//! Copies between host and device: whole, or piece by piece in turn with others ([`crate::gate`]).

use abi::cuda::{CU_STREAM_LEGACY, CU_STREAM_PER_THREAD, CUstream};

/// A copy that blocks its thread.
macro_rules! blocking {
    ($direction:ident, $real:ident($dst:ident, $src:ident, $bytes:ident)) => {
        crate::gate::blocking(region::Direction::$direction, units::Bytes::new($bytes as u64), |piece| {
            // SAFETY: the piece lies within the range that the caller gave.
            unsafe { $real(piece.of($dst), piece.of($src), piece.len()) }
        })
    };
}

/// A copy in the order of a stream.
macro_rules! in_stream {
    ($direction:ident, $name:ident, $real:ident($dst:ident, $src:ident, $bytes:ident, $stream:ident)) => {
        crate::gate::in_stream(
            region::Direction::$direction,
            units::Bytes::new($bytes as u64),
            crate::hooks::copy::named_stream($stream, stringify!($name)),
            // SAFETY: the piece lies within the range that the caller gave; null means the default stream of this
            // spelling of the function.
            |piece| unsafe { $real(piece.of($dst), piece.of($src), piece.len(), $stream) },
        )
    };
}

pub(crate) use {blocking, in_stream};

/// The stream by a handle that means the same to every function. Null is the default stream: that of the thread in the
/// `_ptsz` spelling of `function`, else the legacy one.
#[inline]
pub(crate) fn named_stream(stream: CUstream, function: &str) -> CUstream {
    match (stream.is_null(), function.ends_with("_ptsz")) {
        (true, true) => CU_STREAM_PER_THREAD as CUstream,
        (true, false) => CU_STREAM_LEGACY as CUstream,
        (false, _) => stream,
    }
}
