//! The kinds of streams.

/// How a stream stands to the legacy default stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is the legacy default stream: its work waits for that of all blocking streams, and they wait for its.
    Legacy,
    /// It waits for the legacy default stream, and is waited for.
    Blocking,
    /// It has nothing to do with the legacy default stream.
    NonBlocking,
}
