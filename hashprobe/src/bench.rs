//! What a probe needs of a GPU, and how it can fail.

use crate::GpuUuid;
use abi::cuda::{self, CUresult};
use units::{Bytes, DeviceVa, PhysAddr};

/// Which GPU a measurement is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuInfo {
    /// The name of the product.
    pub name: String,
    /// What tells this card from every other.
    pub uuid: GpuUuid,
    /// How many SMs it has.
    pub sms: u32,
    /// The version of the kernel driver, where it is known.
    pub driver: Option<String>,
}

/// A stretch of the GPU's address space that lies in VRAM in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The first virtual address.
    pub va: DeviceVa,
    /// How much.
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
    /// Which GPU it is.
    fn gpu(&self) -> &GpuInfo;

    /// The memory whose lines may be timed.
    fn memory(&self) -> &[Stretch];

    /// How much memory the GPU has.
    fn vram(&self) -> Bytes;

    /// Times every line from each of `blocks` blocks, the least of `reps` tries; while they last, one block an SM.
    fn latencies(&mut self, blocks: u32, lines: &[DeviceVa], reps: u32) -> Result<Measurement, BenchError>;
}

/// Why lines could not be timed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The driver's library is not there.
    #[error("the CUDA driver cannot be loaded ({0}): install the NVIDIA driver, or run where libcuda.so.1 is found")]
    NoLibrary(#[source] libloading::Error),
    /// The driver's library lacks a function.
    #[error("the CUDA driver has no {call} ({source}): install a newer NVIDIA driver")]
    NoFunction {
        /// The function.
        call: &'static str,
        /// What the loader said.
        source: libloading::Error,
    },
    /// The driver refused a call.
    #[error("{call} failed with {name} ({code}): {}", advice(*.code))]
    Call {
        /// The function.
        call: &'static str,
        /// Its answer.
        code: CUresult,
        /// The name of the answer.
        name: String,
    },
    /// The GPU asked for is not there.
    #[error("there is no GPU {index}: this machine has {count}; `nvidia-smi -L` lists them")]
    NoSuchGpu {
        /// The one asked for.
        index: u32,
        /// How many there are.
        count: u32,
    },
    /// Too little memory is free to measure on.
    #[error("only {free} of the GPU's memory are free: end the programs that use the GPU, then probe again")]
    NoMemory {
        /// How much is free.
        free: Bytes,
    },
    /// The process runs without `libmissile.so`.
    #[error("physical addresses are not known: run through `missile probe`")]
    NoPhysicalAddresses,
    /// `libmissile.so` does not know what lies behind a range.
    #[error(
        "the physical addresses behind {va} ({bytes}) are not known: run through `missile probe`, and see \
         `missile doctor` for whether it knows this driver"
    )]
    UnknownRange {
        /// The start of the range.
        va: DeviceVa,
        /// How long it is.
        bytes: Bytes,
    },
}

/// What a person can do about a driver's refusal.
fn advice(code: CUresult) -> &'static str {
    const INVALID_PTX: CUresult = 218;
    const NO_BINARY_FOR_GPU: CUresult = 209;
    const UNSUPPORTED_PTX_VERSION: CUresult = 222;
    match code {
        cuda::CUDA_ERROR_OUT_OF_MEMORY => "end the other programs that use the GPU, then probe again",
        cuda::CUDA_ERROR_NO_DEVICE => "check with `nvidia-smi` that a GPU is there, and CUDA_VISIBLE_DEVICES",
        cuda::CUDA_ERROR_SYSTEM_NOT_READY => "`missile doctor` says what is missing",
        INVALID_PTX | NO_BINARY_FOR_GPU | UNSUPPORTED_PTX_VERSION => {
            "the driver cannot build the probe's kernel: a GPU from Pascal on and a driver from CUDA 9 on are needed"
        }
        cuda::CUDA_ERROR_ILLEGAL_ADDRESS => "the GPU's memory changed under the probe: probe again",
        _ => "run `missile doctor`, look into `dmesg` for lines with NVRM, then probe again",
    }
}
