//! The environment that makes a program a tenant.

use crate::deepbind::{self, DeepBindError};
use crate::libraries::{Libraries, LibraryMissing, SHIM, SIMULATOR};
use crate::preload::{asan_options, ld_library_path, ld_preload, loadable};
use crate::private_folder::FolderError;
use crate::simulated::SimulatedGpu;
use region::Class;
use settings::{Problem, Settings};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

/// NVIDIA's variable for the priority of a client's kernels under MPS: 0, or 1 for the lower one.
const MPS_PRIORITY: &str = "CUDA_MPS_CLIENT_PRIORITY";

/// The means to govern a program: variables beside those of this process, and the GPU where it is a simulated one.
#[derive(Clone, Debug, Default)]
pub struct Governance {
    simulated: Option<SimulatedGpu>,
    deepbind: bool,
    variables: Vec<(&'static str, OsString)>,
}

/// A program cannot be made a tenant.
#[derive(Debug, thiserror::Error)]
pub enum GovernanceError {
    /// A library is not there.
    #[error(transparent)]
    Library(#[from] LibraryMissing),
    /// There is no place for a link to a library.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The library for programs that bind deeply cannot be made.
    #[error(transparent)]
    DeepBind(#[from] DeepBindError),
}

/// Variables with values that they do not take.
#[derive(Debug)]
pub struct BadSettings(Vec<Problem>);

impl std::error::Error for BadSettings {}

impl std::fmt::Display for BadSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl Governance {
    /// This process's own variables, and the simulated GPU if one is wanted.
    pub fn new(simulated: Option<SimulatedGpu>) -> Self {
        Governance { simulated, deepbind: false, variables: Vec::new() }
    }

    /// Whether libraries that bind deeply are to be governed too ([`crate::deepbind`]).
    pub fn deepbind(mut self, wanted: bool) -> Self {
        self.deepbind = wanted;
        self
    }

    /// With a variable set, whatever it is in this process.
    pub fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.retain(|(set, _)| *set != name);
        self.variables.push((name, value.into()));
        self
    }

    /// The simulated GPU, if there is one.
    pub fn simulated(&self) -> Option<&SimulatedGpu> {
        self.simulated.as_ref()
    }

    /// A variable as the program will see it.
    pub fn get(&self, name: &str) -> Option<OsString> {
        let set = self.variables.iter().find(|(set, _)| *set == name);
        set.map(|(_, value)| value.clone()).or_else(|| std::env::var_os(name))
    }

    /// The settings as the program will read them, if all are understood.
    pub fn settings(&self) -> Result<Settings, BadSettings> {
        let (settings, problems) = Settings::read(&|name| self.get(name));
        if problems.is_empty() { Ok(settings) } else { Err(BadSettings(problems)) }
    }

    /// The program with these variables, but without the libraries.
    pub fn ungoverned_command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The program as a tenant.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Result<Command, GovernanceError> {
        let mut preloaded = vec![loadable(&Libraries::of_this_process().find(SHIM)?)?];
        let mut command = self.ungoverned_command(program);
        let simulator = match self.simulated {
            Some(_) => Some(loadable(&Libraries::of_this_process().find(SIMULATOR)?)?),
            None => None,
        };
        if self.deepbind {
            let driver = simulator.clone().map_or_else(deepbind::driver, Ok)?;
            preloaded.push(deepbind::library(&preloaded[0], &driver)?);
        }
        if let (Some(gpu), Some(simulator)) = (&self.simulated, simulator) {
            let folder = simulator.parent().unwrap_or(Path::new("/"));
            command.env("SIMGPU_GPU", &gpu.choice);
            command.env("LD_LIBRARY_PATH", ld_library_path(folder, self.get("LD_LIBRARY_PATH")));
            // Behind the shim, which must see the simulated driver's calls of `ioctl`, a function that it exports too.
            preloaded.push(simulator);
        }
        // Under MPS the kernels of those with priority 0 go first; one that has it alone loses nothing by 1.
        if self.settings().is_ok_and(|settings| settings.class == Class::Be) && self.get(MPS_PRIORITY).is_none() {
            command.env(MPS_PRIORITY, "1");
        }
        command.env("LD_PRELOAD", ld_preload(&preloaded, self.get("LD_PRELOAD")));
        command.env("ASAN_OPTIONS", asan_options(self.get("ASAN_OPTIONS")));
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_best_effort_tenant_has_the_lower_priority_under_mps_unless_the_operator_chose_one() {
        let priority = |governance: Governance| {
            let command = governance.command("/bin/true").unwrap();
            let set = command.get_envs().find(|(name, _)| *name == MPS_PRIORITY);
            set.and_then(|(_, value)| value.map(OsStr::to_owned))
        };
        let of = |class| Governance::new(Some(SimulatedGpu::find("h200").unwrap())).with("MISSILE_CLASS", class);
        assert_eq!(priority(of("be")), Some("1".into()));
        assert_eq!(priority(of("ls")), None);
        assert_eq!(priority(of("be").with(MPS_PRIORITY, "0")), Some("0".into()));
    }

    #[test]
    fn what_is_set_last_holds() {
        let governance = Governance::new(None).with("MISSILE_CLASS", "be").with("MISSILE_CLASS", "ls");
        assert_eq!(governance.settings().unwrap().class.name(), "ls");
    }

    #[test]
    fn a_bad_value_is_named() {
        let bad = Governance::new(None).with("MISSILE_WEIGHT", "0").with("MISSILE_COPIES", "maybe").settings();
        let message = bad.unwrap_err().to_string();
        assert!(message.contains("MISSILE_WEIGHT=\"0\"") && message.contains("MISSILE_COPIES"), "{message}");
    }

    #[test]
    fn a_simulated_gpu_is_preloaded_behind_the_shim() {
        let governance = Governance::new(Some(SimulatedGpu::find("h200").unwrap())).with("LD_PRELOAD", "/their.so");
        let command = governance.command("/bin/true").unwrap();
        let value = |name: &str| {
            let value = command.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value);
            value.unwrap().to_str().unwrap().to_owned()
        };
        let preloaded = value("LD_PRELOAD");
        let names: Vec<_> = preloaded.split(':').map(|path| Path::new(path).file_name().unwrap()).collect();
        assert_eq!(names, ["libmissile.so", "libcuda.so.1", "their.so"]);
        assert_eq!(value("SIMGPU_GPU"), "h200");
    }
}
