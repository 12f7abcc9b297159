//! The needs of a probe: a GPU on which lines can be timed.

use crate::GpuUuid;
use crate::tpc_bits::TpcBits;
use abi::qmd::UnknownQmd;
use client::DriverError;
use units::{Bytes, DeviceVa, PhysAddr};

/// The identity of the GPU that is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuInfo {
    /// The name of the product.
    pub name: String,
    /// The number that tells this card from every other.
    pub uuid: GpuUuid,
    /// The number of SMs.
    pub sms: u32,
    /// The version of the kernel driver, where it is known.
    pub driver: Option<String>,
}

/// A stretch of the GPU's address space that lies in VRAM in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The first virtual address.
    pub va: DeviceVa,
    /// The length.
    pub bytes: Bytes,
    /// The physical address of the first byte.
    pub phys: PhysAddr,
}

/// Latencies of the same lines from several SMs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measurement {
    /// The SM of each block.
    pub smids: Vec<u32>,
    /// One row a block, one column a line: the least cycles that an atomic on the line took.
    pub cycles: Vec<u32>,
}

/// A GPU, real or played back, on which lines can be timed.
pub trait Bench {
    /// The GPU that is measured.
    fn gpu(&self) -> &GpuInfo;

    /// The memory whose lines may be timed.
    fn memory(&self) -> &[Stretch];

    /// The size of the GPU's memory.
    fn vram(&self) -> Bytes;

    /// Times every line from each of `blocks` blocks, the least of `reps` tries; while they last, one block an SM.
    fn latencies(&mut self, blocks: u32, lines: &[DeviceVa], reps: u32) -> Result<Measurement, BenchError>;

    /// The GPU as one whose launches can be kept from TPCs, or the reason why they cannot.
    fn masked(&mut self) -> Result<Result<Box<dyn Masked + '_>, NoMasks>, BenchError> {
        Ok(Err(NoMasks::NotOffered))
    }
}

/// A GPU whose launches can be kept from TPCs.
pub trait Masked {
    /// Launches more blocks than there are SMs, each long enough for all of them to have one, with these TPCs taken away;
    /// the SMs that any ran on. At least one TPC must be left, else the launch never ends.
    fn ran_without(&mut self, taken: TpcBits) -> Result<Vec<u32>, BenchError>;
}

/// A reason for which no launch can have a mask.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoMasks {
    /// The bench does not know how.
    #[error("this bench cannot mask launches")]
    NotOffered,
    /// SMs have other numbers for each client of MPS.
    #[error("SMs have other numbers under MPS: probe without MPS")]
    UnderMps,
    /// The driver is too old to say whether it runs under MPS.
    #[error("the driver does not say whether it runs under MPS, where SMs have other numbers")]
    PerhapsMps,
    /// The driver does not tell of launches before it hands them to the GPU.
    #[error("the driver does not tell of launches beforehand")]
    NotTold,
    /// The place of the mask in the launches' descriptors is not known.
    #[error("this GPU has {0}")]
    UnknownDescriptor(UnknownQmd),
}

/// A reason for which lines could not be timed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// There is no driver or no such GPU, or the driver refused a call.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// Too little memory is free to measure on.
    #[error("only {free} of the GPU's memory are free: end the programs that use the GPU, then probe again")]
    NoMemory {
        /// The free memory.
        free: Bytes,
    },
    /// The process runs without `libmissile.so`.
    #[error("physical addresses are not known: run through `missile probe`")]
    NoPhysicalAddresses,
    /// `libmissile.so` does not know the VRAM behind a range.
    #[error(
        "the physical addresses behind {va} ({bytes}) are not known: run through `missile probe`, and see \
         `missile doctor` for whether it knows this driver"
    )]
    UnknownRange {
        /// The start of the range.
        va: DeviceVa,
        /// The length of the range.
        bytes: Bytes,
    },
}
