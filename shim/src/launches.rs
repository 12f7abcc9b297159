//! Launches of kernels and of graphs.

pub(crate) mod hooks;
