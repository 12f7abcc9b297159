//! How long things take: wall-clock time on a bus and an SM array that all processes share.
//!
//! The state lives in the machine's shared memory as [`Shared`]: atomics only, all-zero at first, valid at any
//! address, and never locked, so a process killed at any instruction holds nobody up. Times are nanoseconds of
//! `CLOCK_MONOTONIC`, which all processes of one host read alike.

mod board;
pub(crate) mod bus;
pub(crate) mod clock;
pub(crate) mod engine;
mod futex;
pub(crate) mod group;
pub(crate) mod kernels;
pub(crate) mod latency;
pub(crate) mod pace;
pub(crate) mod piece;
pub(crate) mod stay;
mod turns;

/// The most processes that share a machine, and so its engines.
pub(crate) const MAX_PROCESSES: usize = 64;

/// The timing model's part of the machine's shared memory.
#[repr(C)]
pub struct Shared {
    /// The copy engine from host to device.
    to_device: board::Board,
    /// The copy engine from device to host.
    to_host: board::Board,
    /// GR0, for which contexts take turns where they do not share it through MPS.
    graphics: board::Board,
    /// The kernels that run now.
    pub(crate) kernels: kernels::Table,
}
