//! Launches of kernels and of graphs.

mod ahead;
mod estimates;
mod hold;
pub(crate) mod hooks;
mod markers;
mod queue;

pub(crate) use estimates::Kind;
