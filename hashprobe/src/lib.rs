//! Measures how a GPU spreads physical addresses over its memory, and keeps what it found in a table file.
//!
//! This crate exists because no vendor document says which channels a page lies on. [`probe()`] times atomics from the
//! SMs on lines all over the VRAM. From which lines are near and which far it solves for the side of the L2 that a line
//! is on; from what lines look like to all SMs it finds the slices of the L2, which of them share units, and the
//! function that chooses among them ([`structure()`], [`solve`]); and from these which pages can be told apart
//! ([`colors`]); from which SMs a launch misses under a mask, the bits that take a TPC away ([`Tpcs`]). [`Table`] is the answer in a file, which the rest of Missile colours pages by. The crate knows
//! the CUDA driver (through [`CudaBench`], loaded at run time) and the physical addresses that `libmissile.so` tells;
//! anything else that can time lines stands in through [`Bench`]. It must never guess: a hash that does not hold on
//! lines kept out of the solving is marked as not usable, and where none holds the GPU has one colour, and the finding
//! says why. It must never write to memory that it did not allocate, and never leave a half-written table.

mod bench;
mod blocks;
mod busy;
mod clusters;
pub mod colors;
mod cuda_bench;
mod effort;
mod fingerprints;
mod function;
pub mod gf2;
mod humps;
mod level;
mod lines;
mod passes;
pub mod plot;
mod points;
mod probe;
mod refusal;
mod report;
mod ring;
mod side;
mod slices;
mod sm_sides;
pub mod solve;
mod store;
mod structure;
mod survey;
mod table;
mod tpc_bits;
mod tpcs;
mod twins;
mod uuid;
mod vote;

pub use bench::{Bench, BenchError, GpuInfo, Masked, Measurement, NoMasks, Stretch};
pub use busy::{Busy, busy, how_busy};
pub use cuda_bench::CudaBench;
pub use effort::{Effort, Options, Progress};
pub use function::{BadFunction, BadLut, Blocks, Function, Lut, LutInfo, Over, Permutation, Ring, Steps, XorHash};
pub use level::{Kind, Level, Mask, ParseMaskError};
pub use probe::{Finding, Layout, probe};
pub use refusal::{ProbeError, Uncolorable};
pub use report::Report;
pub use store::TableError;
pub use structure::{Quality, Sides, Structure, StructureError, structure};
pub use table::{GpuEntry, Measured, Table};
pub use tpc_bits::{ParseTpcBitsError, TpcBits};
pub use tpcs::{NoTpcs, Tpcs};
pub use uuid::{GpuUuid, ParseGpuUuidError};
