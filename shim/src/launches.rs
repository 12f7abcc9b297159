//! Launches of kernels and of graphs.

mod ahead;
mod estimates;
mod hold;
pub(crate) mod hooks;
mod markers;
#[allow(dead_code, unused_imports, reason = "the hooks do not ask for masks yet")]
pub(crate) mod masks;
mod queue;

pub(crate) use estimates::Kind;
