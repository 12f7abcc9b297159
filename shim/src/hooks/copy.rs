//! Copies between host and device: whole, or piece by piece in turn with others ([`crate::gate`]).

/// A copy that blocks its thread.
macro_rules! blocking {
    ($direction:ident, $device:ident, $real:ident($dst:ident, $src:ident, $bytes:ident)) => {
        crate::gate::blocking(
            region::Direction::$direction,
            units::DeviceVa::new($device),
            units::Bytes::new($bytes as u64),
            // SAFETY: the piece lies within the range that the caller gave.
            |piece| unsafe { $real(piece.of($dst), piece.of($src), piece.len()) },
        )
    };
}

/// A copy in the order of a stream.
macro_rules! in_stream {
    ($direction:ident, $device:ident, $name:ident, $real:ident($dst:ident, $src:ident, $bytes:ident, $stream:ident)) => {
        crate::gate::in_stream(
            region::Direction::$direction,
            units::DeviceVa::new($device),
            units::Bytes::new($bytes as u64),
            crate::hooks::stream::named($stream, stringify!($name)),
            // SAFETY: the piece lies within the range that the caller gave; null means the default stream of this
            // spelling of the function.
            |piece| unsafe { $real(piece.of($dst), piece.of($src), piece.len(), $stream) },
        )
    };
}

pub(crate) use {blocking, in_stream};
