//! Copies: counted as they are submitted, and passed on as they are.
//!
//! The hardware shares the bus ([`crate::slices`]), so there is nothing to decide here, but where the kernel refuses time
//! slices: then [`gate`] holds copies back on the host.

mod account;
pub(crate) mod gate;
mod graphs;
pub(crate) mod hooks;
mod transfer;
