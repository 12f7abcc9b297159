//! A simulated NVIDIA driver: `libcuda.so.1` for machines without a GPU.
//!
//! This crate exists so that everything above the driver can be run and tested anywhere, with the memory rules of the
//! real kernel modules and a timing model of DRAM channels, SMs and the PCIe bus. It knows the two interfaces in
//! `abi` and the GPU described by a TOML file ([`spec`]); several processes share one simulated GPU ([`machine`]),
//! each through kernel modules of its own ([`os`]) and the driver above them. It must never touch a real GPU or its
//! device nodes, must never know who sits between it and the program (every request goes through the dynamic symbol
//! `ioctl`, as in the real driver), and must never be linked into what it helps to test.

mod api;
pub mod machine;
mod mix;
mod objects;
pub mod os;
pub mod spec;
mod timing;
