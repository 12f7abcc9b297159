//! The two interfaces that Missile stands between: the CUDA driver's functions and the kernel's ioctls.
//!
//! This crate exists so that a name, a signature, a structure or a constant is written once. It knows the CUDA driver
//! API ([`cuda`], [`governed_functions!`]) and the private RM and UVM interface of driver branch 580
//! ([`rm`], [`uvm`], [`Request`]), the channel groups of any branch ([`groups`]) and launch descriptors ([`qmd`]); it knows
//! nothing of the other crates. It must never call the driver, issue an ioctl,
//! allocate or hold state: it is shapes and numbers only. Where a structure belongs to one driver branch only,
//! [`DriverVersion`] says so, and users must ask [`DriverVersion::is_supported`] before they trust the layout.
#![no_std]

#[allow(non_snake_case)]
pub mod cuda;
pub mod export;
mod governed;
pub mod groups;
pub mod qmd;
mod request;
pub mod rm;
pub mod uvm;
mod version;

pub use request::{Request, RmEscape, UvmCommand};
pub use version::{DriverVersion, ParseDriverVersionError};
