//! The demo's place: the GPU, a private arbiter, and a folder that goes away with it.

use super::best_effort::Throughput;
use super::calibration::Calibration;
use super::gate::READY;
use super::notes::Notes;
use super::precedence::take_precedence;
use super::process::Process;
use super::rows::{Row, Setup};
use crate::failure::{Failure, Outcome};
use crate::governance::Governance;
use crate::own_program::own_program;
use crate::percentiles::Latencies;
use crate::simulated::SimulatedGpu;
use region::Region;
use scheduler::Stop;
use serde::de::DeserializeOwned;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The simulated GPU for machines without a real one.
const DEFAULT_SIMULATED: &str = "h200";
/// How long a step may take beyond the time that it is to run.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a probe may take.
const PROBE_PATIENCE: Duration = Duration::from_secs(600);

/// A GPU and all that the demo puts around it. Dropping it ends every process and removes every file.
pub struct Stage<'a> {
    // Ended before the folder goes.
    arbiter: Option<Process>,
    governance: Governance,
    calibration: Option<Calibration>,
    notes: Notes,
    folder: TempDir,
    stop: &'a Stop,
}

impl<'a> Stage<'a> {
    /// Takes the simulated GPU, or a real one where there is one, and fits the tenants' work to it.
    pub fn open(simulated: Option<SimulatedGpu>, stop: &'a Stop) -> Outcome<Stage<'a>> {
        let cannot = |error: std::io::Error| Failure::failed(format!("cannot make a temporary folder: {error}"));
        let folder = temporary_folder().map_err(cannot)?;
        let notes = Notes::new(&folder.path().join("notes")).map_err(cannot)?;
        let mut stage =
            Stage { arbiter: None, governance: Governance::default(), calibration: None, notes, folder, stop };
        let may_be_absent = simulated.is_none();
        stage.take(simulated);
        let calibrated = match stage.calibrate() {
            Err(failure) if may_be_absent && failure.is_impossible() => {
                stage.notes.take();
                stage.take(Some(SimulatedGpu::find(DEFAULT_SIMULATED).map_err(Failure::failed)?));
                stage.calibrate()
            }
            calibrated => calibrated,
        };
        stage.calibration = Some(calibrated.map_err(|failure| failure.because(&stage.notes.take()))?);
        Ok(stage)
    }

    /// The GPU's name.
    pub fn gpu_name(&self) -> &str {
        self.calibration.as_ref().map_or("", |calibration| &calibration.gpu)
    }

    /// The processes' messages on standard error since this was asked last, each line once.
    pub fn notes(&mut self) -> String {
        self.notes.take()
    }

    /// Probes the GPU, and starts the arbiter with the table that this gives.
    pub fn prepare(&mut self) -> Outcome {
        let mut probe = self.governance.ungoverned_command(this_program()?);
        if let Some(gpu) = self.governance.simulated() {
            probe
                .arg("probe")
                .arg("--quick")
                .arg("--sim")
                .arg(&gpu.choice)
                .arg("--json")
                .arg("--out")
                .arg(self.table());
        } else {
            probe.args(["probe", "--quick", "--json", "--out"]).arg(self.table());
        }
        self.start("the probe", probe)?.output(PROBE_PATIENCE, self.stop)?;

        let mut arbiter = self.governance.ungoverned_command(this_program()?);
        arbiter.args(["up", "--foreground"]);
        let mut arbiter = self.start("the arbiter", arbiter)?;
        let started = Instant::now();
        while !holds(&self.region(), arbiter.id()) {
            if self.stop.is_requested() {
                return Err(Failure::interrupted());
            }
            if let Some(status) = arbiter.ended() {
                return Err(Failure::failed(format!("the arbiter ended at once ({status})")));
            }
            if started.elapsed() > PATIENCE {
                return Err(Failure::failed("the arbiter does not take its region"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.arbiter = Some(arbiter);
        Ok(())
    }

    /// Runs the tenants of a setup beside each other.
    pub fn run(&self, setup: &Setup, seconds: f64) -> Outcome<Row> {
        let mut ls = setup.ls.then(|| self.tenant(setup, "ls", seconds)).transpose()?;
        let mut be = setup.be.then(|| self.tenant(setup, "be", seconds)).transpose()?;
        for tenant in [&ls, &be].into_iter().flatten() {
            self.wait_until_ready(tenant)?;
        }
        for tenant in [&mut be, &mut ls].into_iter().flatten() {
            tenant.tell("go")?;
        }
        let limit = Duration::from_secs_f64(seconds) + PATIENCE;
        let latencies: Option<Latencies> = ls.map(|ls| self.measured(ls, limit)).transpose()?;
        let throughput: Option<Throughput> = be.map(|be| self.measured(be, limit)).transpose()?;
        Ok(Row {
            setup: setup.name,
            ls_p50_ms: latencies.map(|latencies| latencies.p50_us / 1e3),
            ls_p90_ms: latencies.map(|latencies| latencies.p90_us / 1e3),
            ls_p99_ms: latencies.map(|latencies| latencies.p99_us / 1e3),
            be_per_s: throughput.map(|throughput| throughput.kernels_per_s),
            be_copy_gbps: throughput.map(|throughput| throughput.copy_gbps),
        })
    }

    /// Has every process use this GPU and the folder. What else the caller set for tenants holds.
    fn take(&mut self, simulated: Option<SimulatedGpu>) {
        self.governance = Governance::new(simulated)
            .with("MISSILE_REGION", self.region())
            .with("MISSILE_TABLE", self.table())
            .with("XDG_DATA_HOME", self.folder.path())
            .with("MISSILE_DISABLE", "0");
        if self.governance.simulated().is_some() && self.governance.get("SIMGPU_STATE").is_none() {
            self.governance = self.governance.clone().with("SIMGPU_STATE", self.folder.path().join("gpu"));
        }
    }

    fn calibrate(&self) -> Outcome<Calibration> {
        let governance = self.governance.clone().with("MISSILE_DISABLE", "1");
        let mut command = governance.command(this_program()?).map_err(Failure::failed)?;
        command.args(["tenant", "calibrate"]);
        self.measured(self.start("the calibration", command)?, PATIENCE)
    }

    fn tenant(&self, setup: &Setup, role: &'static str, seconds: f64) -> Outcome<Process> {
        let mut governance = self.governance.clone().with("MISSILE_CLASS", role);
        if !setup.governed {
            governance = governance.with("MISSILE_DISABLE", "1");
        }
        if let Some((variable, value)) = setup.part {
            governance = governance.with(variable, value);
        }
        governance.settings().map_err(Failure::usage)?;
        let Some(calibration) = &self.calibration else {
            return Err(Failure::failed("the GPU was not measured"));
        };
        let (name, reading) = match role {
            "ls" => ("the latency-sensitive tenant", calibration.ls),
            _ => ("the best-effort tenant", calibration.be),
        };
        let mut command = governance.command(this_program()?).map_err(Failure::failed)?;
        command.args(["tenant", role, "--seconds", &seconds.to_string()]);
        command.args(["--passes", &reading.passes.to_string()]);
        command.args(["--cycles-per-kib", &reading.cycles_per_kib.to_string()]);
        if role == "ls" {
            // The demo is about the GPU: who gets the host's cores, which best-effort tenants keep busy as well, must
            // not show in the latencies. The same under every setup.
            // SAFETY: makes system calls only, which is safe between fork and exec.
            unsafe {
                command.pre_exec(|| {
                    take_precedence();
                    Ok(())
                })
            };
        }
        self.start(name, command)
    }

    fn start(&self, name: &'static str, command: Command) -> Outcome<Process> {
        Process::start(name, command, self.notes.file())
    }

    fn wait_until_ready(&self, tenant: &Process) -> Outcome {
        match tenant.line(PATIENCE, self.stop)? {
            Some(line) if line == READY => Ok(()),
            _ => Err(Failure::failed("a tenant ended before it was ready")),
        }
    }

    /// The JSON that the process ends with.
    fn measured<T: DeserializeOwned>(&self, process: Process, limit: Duration) -> Outcome<T> {
        let output = process.output(limit, self.stop)?;
        serde_json::from_str(output.trim())
            .map_err(|error| Failure::failed(format!("{output:?} is no result: {error}")))
    }

    fn region(&self) -> PathBuf {
        self.folder.path().join("region")
    }

    fn table(&self) -> PathBuf {
        self.folder.path().join("table.toml")
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if let Some(arbiter) = self.arbiter.take() {
            arbiter.end();
        }
    }
}

fn holds(region: &Path, pid: u32) -> bool {
    Region::open(region).is_ok_and(|region| {
        region.arbiter_is_alive() && region.layout().header.arbiter_pid.load(Ordering::Acquire) == pid
    })
}

fn this_program() -> Outcome<PathBuf> {
    own_program().map_err(|error| Failure::failed(format!("cannot find the program that is running: {error}")))
}

/// A folder that is gone with the demo; on a tmpfs where there is one, because the region in it is pinned for the GPU.
fn temporary_folder() -> std::io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("missile-demo-");
    builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir())
}
