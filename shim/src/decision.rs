//! What the shim may decide about a call, as plain values that tests, logs and counters share.

pub(crate) use region::Why;

/// What is to happen with a call.
#[derive(Clone, Copy)]
pub(crate) enum Decision<T> {
    /// Missile acts on it.
    Govern(T),
    /// The driver gets it as it is.
    PassThrough(Why),
}
