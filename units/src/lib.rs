//! Quantities with their units.
//!
//! This crate exists so that no bare `u64` crosses a module of Missile: a number of bytes, a length of time, a
//! place in VRAM and a place in a GPU's address space are different types. It knows nothing of CUDA, of the kernel
//! or of the other crates, holds no state, allocates nothing, and must never do I/O.
#![no_std]

mod bytes;
mod nanos;
mod place;

pub use bytes::{Bytes, ParseBytesError};
pub use nanos::Nanos;
pub use place::{DeviceVa, PhysAddr};
