//! How long things take: wall-clock time on a bus and an SM array that all processes share.
//!
//! The state lives in the machine's shared memory as [`Shared`]: atomics only, all-zero at first, valid at any
//! address, and never locked, so a process killed at any instruction holds nobody up. Times are nanoseconds of
//! `CLOCK_MONOTONIC`, which all processes of one host read alike.

pub(crate) mod bus;
pub(crate) mod clock;
pub(crate) mod kernels;
pub(crate) mod latency;

/// The timing model's part of the machine's shared memory.
#[repr(C)]
pub struct Shared {
    /// The copy engine from host to device.
    pub(crate) to_device: bus::Engine,
    /// The copy engine from device to host.
    pub(crate) to_host: bus::Engine,
    /// The kernels that run now.
    pub(crate) kernels: kernels::Table,
}
