//! The check of the driver: that there is one, that it starts, and that Missile knows it.

use super::report::Finding;
use super::witness::{NotAsked, Testimony, mapped};
use abi::DriverVersion;
use client::{Driver, DriverError, Gpu, Library};
use serde::{Deserialize, Serialize};
use std::error::Error;

const LIBRARY: &str = "libcuda.so.1";

/// The driver's answer to being started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// There is no such library, or it is none.
    Missing {
        /// The dynamic linker's words.
        why: String,
    },
    /// Programs that load the driver by another name get another library.
    TwoLibraries {
        /// The path of each library that is called like the driver.
        libraries: Vec<String>,
        /// The other name.
        name: String,
    },
    /// `cuInit` failed.
    Refused {
        /// The library's path.
        library: String,
        /// The driver's code.
        code: u32,
        /// The driver's word for it, if it has one.
        name: String,
    },
    /// It runs.
    Started {
        /// The library's path.
        library: String,
        /// Its GPUs, in the driver's order.
        gpus: Vec<SeenGpu>,
    },
}

/// A GPU as the driver shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenGpu {
    /// The product's name.
    pub name: String,
    /// `GPU-` and the UUID.
    pub uuid: String,
    /// The rule for who may use it at the same time, as cuda.h's `CUcomputemode`.
    pub compute_mode: Option<i32>,
}

impl Answer {
    /// Starts the driver in this process.
    pub fn of_this_process() -> Answer {
        start().unwrap_or_else(|error| match error {
            DriverError::Refused { code, name, .. } => Answer::Refused { library: path(), code, name },
            DriverError::TwoLibraries { name } => Answer::TwoLibraries { libraries: mapped("libcuda.so"), name },
            error => Answer::Missing { why: error.source().map_or_else(|| error.to_string(), ToString::to_string) },
        })
    }

    /// The answer that a witness heard.
    pub fn from_testimony(testimony: Testimony) -> Result<Answer, NotAsked> {
        let last = testimony.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last).map_err(|_| match testimony.stderr.lines().last() {
            Some(line) => NotAsked::Ended(format!("{}: {line}", testimony.status)),
            None => NotAsked::Ended(testimony.status.to_string()),
        })
    }

    /// The GPUs that it showed.
    pub fn gpus(&self) -> &[SeenGpu] {
        match self {
            Answer::Started { gpus, .. } => gpus,
            _ => &[],
        }
    }
}

fn start() -> Result<Answer, DriverError> {
    let library = Library::load()?;
    library.init()?;
    let driver = Driver::of(&library)?;
    let gpus = (0..driver.gpu_count()?).filter_map(|index| seen(driver.gpu(index).ok()?).ok()).collect();
    Ok(Answer::Started { library: path(), gpus })
}

/// The path of the driver's library, once it is loaded.
fn path() -> String {
    mapped("libcuda.so").pop().unwrap_or_else(|| LIBRARY.to_owned())
}

fn seen(gpu: Gpu) -> Result<SeenGpu, DriverError> {
    let uuid = hashprobe::GpuUuid(gpu.uuid()?).to_string();
    Ok(SeenGpu { name: gpu.name().unwrap_or_default(), uuid, compute_mode: gpu.compute_mode().ok() })
}

/// Advice for answers of `cuInit`.
const FIXES: &[(u32, &str)] = &[
    (34, "this is the CUDA toolkit's stub, which only links: take the folder `stubs` out of LD_LIBRARY_PATH"),
    (100, "see whether `nvidia-smi` lists a GPU, and whether CUDA_VISIBLE_DEVICES hides it"),
    (802, "start the fabric manager of a machine with NVSwitch: `systemctl start nvidia-fabricmanager`"),
    (803, "the library and the kernel module differ in version: restart the machine, or install the same version"),
    (804, "take the folder `compat` of CUDA's forward compatibility out of LD_LIBRARY_PATH"),
    (805, "MPS does not answer: end it with `echo quit | nvidia-cuda-mps-control`, then `missile up --mps`"),
    (807, "MPS is not ready yet: try again in a moment"),
    (808, "MPS has as many clients as it takes: end some programs"),
    (999, "load the kernel modules (`nvidia-modprobe -u -c 0`); in a container, give it all of /dev/nvidia*"),
];

/// The check.
pub fn check(answer: &Result<Answer, NotAsked>, is_simulated: bool, version: Option<String>) -> Finding {
    let driver = if is_simulated { "simulated driver" } else { "driver" };
    match answer {
        Err(error) => Finding::bad(
            format!("the {driver} was asked to start: {error}"),
            "see whether `nvidia-smi` answers, and `dmesg` for what the kernel says of NVRM or Xid",
        ),
        Ok(Answer::Missing { why }) => Finding::bad(
            format!("{LIBRARY} cannot be loaded ({why})"),
            "install the NVIDIA driver; in a container, have its runtime bring it (`--gpus all`); without a GPU, \
             try a simulated one with --sim h200",
        ),
        Ok(Answer::TwoLibraries { libraries, name }) => Finding::bad(
            format!(
                "programs that load {name} get another driver than those that load {LIBRARY} ({})",
                libraries.join(", ")
            ),
            "take the folder of the one that is not the driver, such as `stubs` of the CUDA toolkit, out of LD_LIBRARY_PATH",
        ),
        Ok(Answer::Refused { library, code, name }) => {
            let fix = FIXES.iter().find(|(known, _)| known == code).map(|(_, fix)| *fix);
            Finding::bad(
                format!("{library} does not start: cuInit answers {code} {name}"),
                fix.unwrap_or("see whether `nvidia-smi` answers, and `dmesg` for what the kernel says of NVRM or Xid"),
            )
        }
        Ok(Answer::Started { library, .. }) => known(driver, library, version.as_deref()),
    }
}

/// Checks that Missile knows the kernel interface of a driver that runs.
fn known(driver: &str, library: &str, version: Option<&str>) -> Finding {
    let parsed = version.and_then(|text| text.parse::<DriverVersion>().ok());
    match (parsed, version) {
        (Some(parsed), _) if parsed.is_supported() => Finding::good(format!("{driver} {parsed} starts ({library})")),
        (Some(parsed), _) => Finding::bad(
            format!("{driver} {parsed} starts ({library}), but Missile does not know it: memory stays uncoloured"),
            "install a driver of branch 580 (580.65 or newer)",
        ),
        (None, version) => Finding::bad(
            format!(
                "{driver} starts ({library}), but its version is not known ({}): memory may stay uncoloured",
                version.map_or_else(|| "no /proc/driver/nvidia/version".to_owned(), |text| format!("{text:?}"))
            ),
            "let the container see /proc/driver/nvidia",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_driver_is_not_ok() {
        assert!(known("driver", "/lib/libcuda.so.1", Some("580.159.04")).ok);
        for version in [Some("595.10.01"), Some("535.104.05"), Some("unknown"), None] {
            let finding = known("driver", "/lib/libcuda.so.1", version);
            assert!(!finding.ok && finding.fix.is_some(), "{finding:?}");
        }
    }

    #[test]
    fn a_witness_that_crashes_is_no_answer() {
        use std::os::unix::process::ExitStatusExt;
        let status = std::process::ExitStatus::from_raw(11);
        let testimony = Testimony { status, stdout: String::new(), stderr: "first\nlast words\n".to_owned() };
        let said = Answer::from_testimony(testimony).unwrap_err().to_string();
        assert!(said.contains("signal: 11") && said.contains("last words"), "{said}");
    }
}
