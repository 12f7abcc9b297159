//! What the simulated GPU is: the figures of a TOML file, checked.

mod hash;
mod text;

use abi::DriverVersion;
use serde::Deserialize;
use std::path::PathBuf;
use units::{Bytes, PhysAddr};

pub use hash::Hash;

/// VRAM is handed out in granules of this size, the page size of large objects.
pub const GRANULE: Bytes = Bytes::mib(2);

/// Most SMs that a GPU can have: the length of the list that the kernel reports them in.
pub const MAX_SMS: u32 = 512;

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
    /// The compute capability, major and minor.
    pub compute: (u32, u32),
    /// The SM clock in MHz.
    pub clock_mhz: u32,
    /// Which part of the memory system serves an address.
    pub hash: Hash,
    /// How fast VRAM is.
    pub dram: Dram,
    /// How fast PCIe is.
    pub bus: BusSpec,
    /// How long one access takes.
    pub latency: Latency,
    /// What runs out.
    pub limits: Limits,
    /// What a launch costs beyond its work, in microseconds.
    pub launch_us: f64,
    /// The side of each SM, a pattern that repeats until every SM has one.
    #[serde(deserialize_with = "text::pattern")]
    pub sm_sides: Vec<u8>,
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
    /// To another side.
    pub far_cycles: u32,
    /// How much slices of one side differ among each other.
    pub spread_cycles: u32,
    /// How much one access differs from the next.
    pub noise_cycles: u32,
    /// The share of accesses that take much longer, 0 to 1.
    pub outlier_rate: f64,
}

/// What runs out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Handles of the kernel's UVM client: live mappings of the whole machine.
    pub uvm_handles: u32,
}

/// Why there is no GPU to simulate.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The file cannot be read.
    #[error("SIMGPU_GPU names {path}, which is neither a built-in GPU (h200, h100) nor a readable TOML file: {source}")]
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
        /// What it is.
        value: String,
        /// What it must be.
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
        let text = match name {
            "h200" => include_str!("../gpus/h200.toml"),
            "h100" => include_str!("../gpus/h100.toml"),
            _ => return None,
        };
        Some(GpuSpec::parse(text))
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

    /// The side that an SM sits on, by its number in `%smid` order.
    pub fn sm_side(&self, sm: u32) -> u32 {
        u32::from(self.sm_sides[sm as usize % self.sm_sides.len()])
    }

    fn check(&self) -> Result<(), SpecError> {
        fn ensure(
            good: bool,
            field: &'static str,
            value: &dyn std::fmt::Debug,
            rule: &'static str,
        ) -> Result<(), SpecError> {
            if good { Ok(()) } else { Err(SpecError::Value { field, value: format!("{value:?}"), rule }) }
        }
        ensure(!self.name.is_empty(), "name", &self.name, "a GPU needs a name")?;
        ensure((1..=MAX_SMS).contains(&self.sms), "sms", &self.sms, "there are 1 to 512 SMs")?;
        ensure(
            self.vram >= GRANULE && self.vram.is_multiple_of(GRANULE),
            "vram",
            &self.vram.get(),
            "VRAM comes in whole pieces of 2 MiB, at least one",
        )?;
        ensure(self.compute.0 > 0, "compute", &self.compute, "the major version is at least 1")?;
        ensure(self.clock_mhz > 0, "clock_mhz", &self.clock_mhz, "the clock must run")?;
        for (field, value) in [
            ("dram.gbps", self.dram.gbps),
            ("dram.sm_gbps", self.dram.sm_gbps),
            ("bus.h2d_gbps", self.bus.h2d_gbps),
            ("bus.d2h_gbps", self.bus.d2h_gbps),
            ("bus.latency_us", self.bus.latency_us),
            ("launch_us", self.launch_us),
        ] {
            ensure(value.is_finite() && value > 0.0, field, &value, "it must be a positive number")?;
        }
        let latency = &self.latency;
        ensure(latency.near_cycles > 0, "latency.near_cycles", &latency.near_cycles, "an access takes time")?;
        ensure(
            latency.far_cycles >= latency.near_cycles,
            "latency.far_cycles",
            &latency.far_cycles,
            "the far side cannot be closer than the near one",
        )?;
        ensure(
            (0.0..=1.0).contains(&latency.outlier_rate),
            "latency.outlier_rate",
            &latency.outlier_rate,
            "it is a share from 0 to 1",
        )?;
        ensure(self.limits.uvm_handles > 0, "limits.uvm_handles", &self.limits.uvm_handles, "at least one is needed")?;
        let masks = self.hash.side_masks();
        ensure(masks.len() <= Hash::MAX_SIDE_MASKS, "hash.side_masks", &masks, "at most 4 masks (16 sides) are known")?;
        ensure(!masks.contains(&0), "hash.side_masks", &masks, "a mask without bits chooses nothing")?;
        let sides = self.sides();
        ensure(
            (0..sides).all(|side| (0..self.sms).any(|sm| self.sm_side(sm) == side))
                && self.sm_sides.iter().all(|&side| u32::from(side) < sides),
            "sm_sides",
            &self.sm_sides,
            "every side needs an SM, and every SM one of the sides of the hash",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H200: &str = include_str!("../gpus/h200.toml");

    #[test]
    fn the_built_in_gpus_are_sound() {
        for name in ["h200", "h100"] {
            let spec = GpuSpec::builtin(name).expect("built in").expect("sound");
            assert_eq!(spec.sides(), 2);
            let far = (0..spec.sms).filter(|&sm| spec.sm_side(sm) == 1).count();
            assert_eq!(far, spec.sms as usize / 2, "{name}: as many SMs on either side");
            assert!(spec.driver.is_supported());
        }
        assert!(GpuSpec::builtin("gtx").is_none());
    }

    #[test]
    fn the_side_is_the_parity_under_the_mask() {
        let spec = GpuSpec::parse(H200).expect("sound");
        assert_eq!(spec.side_of(PhysAddr::new(0x0FFF)), 0);
        assert_eq!(spec.side_of(PhysAddr::new(0x1000)), 1);
        assert_eq!(spec.side_of(PhysAddr::new(0x3000)), 0);
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, told) in [
            ("sms = 132", "sms = 0", "sms = 0"),
            ("gbps = 4460.0", "gbps = nan", "dram.gbps = NaN"),
            ("vram = \"143770M\"", "vram = \"3M\"", "2 MiB"),
            ("vram = \"143770M\"", "vram = \"lots\"", "not a size"),
            ("launch_us", "lunch_us", "lunch_us"),
            ("side_masks", "side_mask", "side_mask"),
            ("kind = \"xor\"", "kind = \"magic\"", "magic"),
            ("[\"0x1cbd6ab000\"]", "[\"0x0\"]", "without bits"),
            ("[\"0x1cbd6ab000\"]", "[\"1cbd6ab000\"]", "0x"),
            ("[\"0x1cbd6ab000\"]", "[]", "every SM"),
            ("4d697373-", "4d69-", "UUID"),
        ] {
            assert!(H200.contains(from), "{from}");
            let error = GpuSpec::parse(&H200.replace(from, to)).expect_err(to).to_string();
            assert!(error.contains(told), "{to}: {error}");
        }
    }
}
