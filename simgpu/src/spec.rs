//! The simulated GPU: the figures of a TOML file, checked.

mod check;
mod hash;
mod text;

use abi::DriverVersion;
use abi::qmd::TpcMask;
use serde::Deserialize;
use std::path::PathBuf;
use units::{Bytes, PhysAddr};

pub use hash::{Hash, LINE};

/// VRAM is handed out in granules of this size, the page size of large objects.
pub const GRANULE: Bytes = Bytes::mib(2);

/// Most SMs that a GPU can have: the length of the list that the resource manager reports them in.
pub const MAX_SMS: u32 = 512;

/// SMs of a TPC.
pub const SMS_OF_TPC: u32 = 2;

/// The name and the description of each built-in GPU: the files of the folder `gpus`.
const BUILT_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/gpus.rs"));

/// The L2 of a GPU whose description does not say it.
fn usual_l2() -> Bytes {
    Bytes::mib(50)
}

fn one_side() -> Vec<u8> {
    vec![0]
}

/// A GPU, as a TOML file describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuSpec {
    /// The name that `cuDeviceGetName` reports.
    pub name: String,
    /// The UUID.
    #[serde(deserialize_with = "text::uuid")]
    pub uuid: [u8; 16],
    /// The driver that is simulated.
    #[serde(deserialize_with = "text::driver")]
    pub driver: DriverVersion,
    /// How many SMs.
    pub sms: u32,
    /// How much memory, in whole [`GRANULE`]s.
    #[serde(deserialize_with = "text::bytes")]
    pub vram: Bytes,
    /// The size of the L2, as it is reported.
    #[serde(default = "usual_l2", deserialize_with = "text::bytes")]
    pub l2: Bytes,
    /// The compute capability, major and minor.
    pub compute: (u32, u32),
    /// The SM clock in MHz.
    pub clock_mhz: u32,
    /// Which part of the memory system serves an address.
    #[serde(default)]
    pub hash: Hash,
    /// How fast VRAM is.
    pub dram: Dram,
    /// How fast PCIe is.
    pub bus: BusSpec,
    /// How long one access takes.
    pub latency: Latency,
    /// The cost of switching between channel groups.
    #[serde(default)]
    pub turns: Turns,
    /// The resources that run out.
    pub limits: Limits,
    /// The cost of a launch beyond its work, in microseconds.
    pub launch_us: f64,
    /// The side of each SM, a pattern that repeats until every SM has one.
    #[serde(default = "one_side", deserialize_with = "text::pattern")]
    pub sm_sides: Vec<u8>,
    /// The bit of a launch's mask that takes each TPC away, in the order of their SMs; a TPC is a pair of SMs. The number of
    /// the TPC where it is empty.
    #[serde(default)]
    pub tpc_bits: Vec<u8>,
}

/// How fast VRAM is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dram {
    /// GB/s of the whole GPU.
    pub gbps: f64,
    /// The most GB/s that one SM can ask for.
    pub sm_gbps: f64,
}

/// How fast PCIe is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusSpec {
    /// GB/s from host to device.
    pub h2d_gbps: f64,
    /// GB/s from device to host.
    pub d2h_gbps: f64,
    /// The fixed cost of a command in microseconds.
    pub latency_us: f64,
}

/// How long one access takes, in SM cycles on an idle GPU.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// To the SM's own side.
    pub near_cycles: u32,
    /// To another side. It means nothing where there is one side.
    #[serde(default)]
    pub far_cycles: u32,
    /// How much slices of one side differ among each other, as seen from one SM.
    pub spread_cycles: u32,
    /// How much one access differs from the next.
    pub noise_cycles: u32,
    /// The share of accesses that take much longer, 0 to 1.
    pub outlier_rate: f64,
    /// The share of lines, 0 to 1, that look as if they were another slice's, however often they are timed.
    #[serde(default)]
    pub confusion: f64,
    /// How many pairs of slices on each side look the same from every SM.
    #[serde(default)]
    pub twins: u32,
}

/// The cost of switching between channel groups, in microseconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Turns {
    /// Time that a copy engine loses at a switch.
    pub copy_switch_us: f64,
    /// Time that a newcomer on a copy engine waits beyond the slice of the running group.
    pub copy_preempt_us: f64,
    /// Time that GR0 loses at a switch.
    pub graphics_switch_us: f64,
}

impl Default for Turns {
    fn default() -> Self {
        Turns { copy_switch_us: 1.5, copy_preempt_us: 6.0, graphics_switch_us: 250.0 }
    }
}

/// The resources that run out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Handles of the UVM module's client: live mappings of the whole machine.
    pub uvm_handles: u32,
}

/// Why there is no GPU to simulate.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The file cannot be read.
    #[error(
        "SIMGPU_GPU names {path}, which is neither a built-in GPU ({}) nor a readable TOML file: {source}",
        GpuSpec::builtin_names().collect::<Vec<_>>().join(", ")
    )]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The text is no description of a GPU.
    #[error("the GPU's description cannot be understood: {0}")]
    Syntax(#[from] toml::de::Error),
    /// A figure makes no sense.
    #[error("the GPU's description says {field} = {value}, but {rule}")]
    Value {
        /// Which figure.
        field: &'static str,
        /// The value that it has.
        value: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
}

impl GpuSpec {
    /// The GPU that `SIMGPU_GPU` asks for, by a built-in name or a TOML file's path; `h200` where it is unset.
    pub fn from_env() -> Result<GpuSpec, SpecError> {
        let wanted = std::env::var_os("SIMGPU_GPU").filter(|value| !value.is_empty()).unwrap_or_else(|| "h200".into());
        if let Some(spec) = wanted.to_str().and_then(GpuSpec::builtin) {
            return spec;
        }
        let path = PathBuf::from(wanted);
        match std::fs::read_to_string(&path) {
            Ok(text) => GpuSpec::parse(&text),
            Err(source) => Err(SpecError::Read { path, source }),
        }
    }

    /// The built-in GPU of that name, if there is one.
    pub fn builtin(name: &str) -> Option<Result<GpuSpec, SpecError>> {
        let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
        Some(GpuSpec::parse(text))
    }

    /// The names of the built-in GPUs.
    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// The GPU that a TOML text describes.
    pub fn parse(text: &str) -> Result<GpuSpec, SpecError> {
        let spec: GpuSpec = toml::from_str(text)?;
        spec.check()?;
        Ok(spec)
    }

    /// How many sides the memory system has.
    pub fn sides(&self) -> u32 {
        self.hash.sides()
    }

    /// The side that serves an address.
    pub fn side_of(&self, at: PhysAddr) -> u32 {
        self.hash.side_of(at)
    }

    /// The bit of a launch's mask that takes an SM away. A TPC past the last bit shares one with another.
    pub fn tpc_bit(&self, sm: u32) -> u32 {
        let tpc = sm / SMS_OF_TPC;
        self.tpc_bits.get(tpc as usize).map_or(tpc % u128::BITS, |&bit| u32::from(bit))
    }

    /// The SMs that a mask leaves, in `%smid` order.
    pub fn sms_under(&self, mask: TpcMask) -> Vec<u32> {
        (0..self.sms).filter(|&sm| mask.bits() & 1 << self.tpc_bit(sm) == 0).collect()
    }

    /// The side that an SM sits on, by its number in `%smid` order.
    pub fn sm_side(&self, sm: u32) -> u32 {
        u32::from(self.sm_sides[sm as usize % self.sm_sides.len()])
    }
}

#[cfg(test)]
mod tests;
