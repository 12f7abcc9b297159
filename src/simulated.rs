//! The GPUs that can be simulated.

use hashprobe::GpuUuid;
use serde::Deserialize;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The name and the description of each GPU that the simulator has built in.
const BUILT_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/simulated_gpus.rs"));

/// A GPU that the simulator can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedGpu {
    /// The value of `SIMGPU_GPU`: a built-in name or the absolute path of a description.
    pub choice: OsString,
    /// Which card it says it is.
    pub uuid: GpuUuid,
    /// The driver that it says it has.
    pub driver: String,
}

/// There is no such GPU.
#[derive(Debug, thiserror::Error)]
pub enum NoSuchGpu {
    /// Neither a name nor a file.
    #[error("{name:?} is neither a built-in GPU ({}) nor a file that describes one", built_in_names())]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// The file says too little.
    #[error("{} does not describe a GPU: {reason}", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// The fault in it.
        reason: String,
    },
}

/// The part of a description that Missile itself must know; the simulator checks the rest.
#[derive(Deserialize)]
struct Description {
    uuid: String,
    driver: String,
}

impl SimulatedGpu {
    /// The GPU with a built-in name, or the one that a file describes.
    pub fn find(choice: &str) -> Result<SimulatedGpu, NoSuchGpu> {
        if let Some((name, description)) = BUILT_IN.iter().find(|(name, _)| *name == choice) {
            return SimulatedGpu::described(name.into(), description);
        }
        let unknown = |_| NoSuchGpu::Unknown { name: choice.to_owned() };
        let path = std::path::absolute(choice).map_err(unknown)?;
        let description = std::fs::read_to_string(&path).map_err(unknown)?;
        SimulatedGpu::described(path.into(), &description)
    }

    fn described(choice: OsString, description: &str) -> Result<SimulatedGpu, NoSuchGpu> {
        let wrong = |choice: &OsStr, reason: String| NoSuchGpu::Description { path: choice.into(), reason };
        let Description { uuid, driver } =
            toml::from_str(description).map_err(|error| wrong(&choice, error.message().to_owned()))?;
        let uuid = format!("GPU-{}", uuid.trim_start_matches("GPU-"));
        let uuid = uuid.parse().map_err(|error: hashprobe::ParseGpuUuidError| wrong(&choice, error.to_string()))?;
        Ok(SimulatedGpu { choice, uuid, driver })
    }
}

fn built_in_names() -> String {
    BUILT_IN.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_gpu_is_understood() {
        for (name, _) in BUILT_IN {
            SimulatedGpu::find(name).unwrap();
        }
        for name in ["h200", "h100", "gh200", "gb200", "gtx1080", "v100", "p40", "a2000", "adversarial"] {
            assert!(BUILT_IN.iter().any(|(known, _)| *known == name), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = SimulatedGpu::find("h999").unwrap_err().to_string();
        assert!(error.contains("h999") && BUILT_IN.iter().all(|(name, _)| error.contains(name)), "{error}");
    }

    #[test]
    fn a_file_is_named_absolutely() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("gpu.toml");
        std::fs::write(&path, "uuid = \"01234567-89ab-cdef-0123-456789abcdef\"\ndriver = \"1.2.3\"\n").unwrap();
        assert_eq!(SimulatedGpu::find(path.to_str().unwrap()).unwrap().choice, path);
        std::fs::write(&path, "name = 1").unwrap();
        assert!(matches!(SimulatedGpu::find(path.to_str().unwrap()), Err(NoSuchGpu::Description { .. })));
    }
}
