//! Measures how a GPU spreads physical addresses over its memory, and keeps what it found in a table file.
//!
//! This crate exists because no vendor document says which channels a page lies on. [`probe()`] times atomics from
//! several SMs on lines all over the VRAM, splits the latencies into near and far, and solves for the XOR of address
//! bits that decides; [`Table`] is the answer in a file, which the rest of Missile colours pages by. The crate knows
//! the CUDA driver (through [`CudaBench`], loaded at run time) and the physical addresses that `libmissile.so` tells;
//! anything else that can time lines stands in through [`Bench`]. It must never guess: a hash that does not hold on
//! lines kept out of the solving is no hash, the GPU then has one colour, and the finding says why. It must never
//! write to memory that it did not allocate, and never leave a half-written table.

mod bench;
mod blocks;
mod busy;
mod clusters;
pub mod colors;
mod cuda_bench;
mod driver;
mod function;
pub mod gf2;
mod humps;
mod level;
mod lines;
mod points;
mod probe;
mod report;
mod ring;
mod sm_sides;
pub mod solve;
mod store;
mod structure;
mod table;
mod uuid;
mod vote;

pub use bench::{Bench, BenchError, GpuInfo, Measurement, Stretch};
pub use busy::{Busy, busy};
pub use cuda_bench::CudaBench;
pub use function::{
    BadFunction, BadLut, Blocks, Description, Function, Lut, LutInfo, Over, Permutation, Ring, Steps, XorHash,
};
pub use level::{Kind, Level, Mask, ParseMaskError};
pub use probe::{Effort, Finding, Options, ProbeError, Progress, Uncolorable, probe};
pub use report::Report;
pub use store::TableError;
pub use structure::{Quality, Sides, Structure, StructureError, structure};
pub use table::{GpuEntry, Measured, Table};
pub use uuid::{GpuUuid, ParseGpuUuidError};
