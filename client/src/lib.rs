//! Missile's own use of the CUDA driver: the probe, the demo, the doctor and the examples call it through this crate.
//!
//! This crate exists so that the driver's library is loaded, and its functions are declared, in one place: by
//! [cudarc](cudarc::driver), at run time, with nothing linked. [`Driver`] and what it gives are safe wrappers whose
//! sizes and addresses carry their units; [`Library`] gives the functions' addresses to those that must not go through
//! cudarc. [`Extents`] asks `libmissile.so` for physical addresses, [`LaunchMasks`] keeps launches from TPCs. The crate knows nothing of what its callers measure
//! or show, and it must never be part of `libmissile.so`, which stands between programs and the driver.

mod context;
mod driver;
mod error;
mod extents;
mod gpu;
mod kernel;
mod launch_masks;
mod library;
mod memory;
mod stream;

pub use abi::export::Extent;
pub use context::{Context, MemoryInfo};
pub use driver::Driver;
pub use error::DriverError;
pub use extents::Extents;
pub use gpu::Gpu;
pub use kernel::{Kernel, Launch};
pub use launch_masks::LaunchMasks;
pub use library::Library;
pub use memory::{DeviceMemory, HostMemory, Word};
pub use stream::{Event, Stream};
