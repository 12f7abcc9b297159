//! The facts that the checks look at, gathered once.

use super::driver::Answer;
use super::witness::{NotAsked, PATIENCE, Question, Silence, Testimony, Witness};
use crate::governance::Governance;
use crate::known_gpus::{KnownGpu, kernel_driver, known_gpus};
use crate::own_program::own_program;
use crate::ungoverned::{Ungoverned, ungoverned};
use observe::Snapshot;
use region::{OpenError, Region, monotonic_nanos};
use settings::Settings;
use std::path::{Path, PathBuf};
use std::process::Command;
use units::Nanos;

/// The machine, as the checks see it.
pub struct Case {
    /// The environment that programs would be started in.
    pub governance: Governance,
    /// The settings that a program would read there; defaults where a value is bad.
    pub settings: Settings,
    /// The answer of a process with the library preloaded.
    pub preloaded: Result<Testimony, NotAsked>,
    /// The driver's answer.
    pub driver: Result<Answer, NotAsked>,
    /// The region's figures.
    pub snapshot: Result<Snapshot, OpenError>,
    /// Processes that use the GPU and are missing in the region.
    pub ungoverned: Vec<Ungoverned>,
}

impl Case {
    /// Looks at everything.
    pub fn open(governance: Governance) -> Case {
        // They start side by side, as the driver may take its time.
        let driver = ask_driver(&governance);
        let preloaded = ask_preloaded(&governance);
        let (settings, _) = Settings::read(&|name| governance.get(name));
        let snapshot = look(&settings.region);
        let preloaded = preloaded.and_then(|witness| Ok(witness.hear(PATIENCE)?));
        let driver = driver.and_then(|witness| Answer::from_testimony(witness.hear(PATIENCE)?));
        // Once the witnesses are gone, which use the GPU themselves.
        let ungoverned = Region::open(&settings.region).map_or_else(|_| Vec::new(), |region| ungoverned(&region));
        Case { settings, preloaded, driver, snapshot, ungoverned, governance }
    }

    /// The kernel driver's version, or the simulated one's.
    pub fn driver_version(&self) -> Option<String> {
        match self.governance.simulated() {
            Some(gpu) => Some(gpu.driver.clone()),
            None => kernel_driver().or_else(version_in_proc),
        }
    }

    /// The GPUs that programs see: those that the driver named, or else those that are known without it.
    pub fn gpus(&self) -> Vec<KnownGpu> {
        let named = self.driver.as_ref().map_or(&[][..], Answer::gpus);
        let driver = self.driver_version().unwrap_or_default();
        let named: Vec<KnownGpu> = named
            .iter()
            .filter_map(|gpu| Some(KnownGpu { uuid: gpu.uuid.parse().ok()?, driver: driver.clone() }))
            .collect();
        if named.is_empty() { known_gpus(self.governance.simulated()) } else { named }
    }

    /// ` --sim GPU` for a command in a fix, where it belongs.
    pub fn sim_flag(&self) -> String {
        self.governance.simulated().map_or_else(String::new, |gpu| format!(" --sim {}", gpu.choice.display()))
    }
}

/// This program again; what it does there must not make it a tenant.
fn this_program(governance: &Governance) -> Result<(PathBuf, Governance), NotAsked> {
    let path = own_program().map_err(|error| Silence::NotStarted(error.to_string()))?;
    Ok((path, governance.clone().with("MISSILE_DISABLE", "1")))
}

fn ask_preloaded(governance: &Governance) -> Result<Witness, NotAsked> {
    let (program, governance) = this_program(governance)?;
    Ok(Witness::ask(governance.command(program)?, Question::Preload)?)
}

fn ask_driver(governance: &Governance) -> Result<Witness, NotAsked> {
    let (program, governance) = this_program(governance)?;
    let mut command: Command = match governance.simulated() {
        // Its driver comes with the libraries.
        Some(_) => governance.command(program)?,
        None => governance.ungoverned_command(program),
    };
    // The driver's own answer, whatever else would be preloaded.
    command.env_remove("LD_PRELOAD");
    Ok(Witness::ask(command, Question::Driver)?)
}

fn look(region: &Path) -> Result<Snapshot, OpenError> {
    Region::open(region).map(|region| observe::snapshot(&region, Nanos::new(monotonic_nanos())))
}

/// The version in the file that the library reads; some containers have this file and not the module's.
fn version_in_proc() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    text.split_whitespace().find(|word| word.parse::<abi::DriverVersion>().is_ok()).map(str::to_owned)
}
