//! Whether there is a driver, whether it starts, and whether Missile knows it.

use super::case::{Case, NotAsked};
use super::report::Finding;
use super::witness::{Testimony, mapped};
use abi::DriverVersion;
use abi::cuda::{CUDA_SUCCESS, CUresult};
use libloading::Library;
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, c_char, c_int, c_uint};

const LIBRARY: &str = "libcuda.so.1";
const COMPUTE_MODE: c_int = 20;

/// What the driver said when it was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// There is no such library, or it is none.
    Missing {
        /// The dynamic linker's words.
        why: String,
    },
    /// `cuInit` failed.
    Refused {
        /// The library's path.
        library: String,
        /// The driver's code.
        code: CUresult,
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
    /// Who may use it at the same time, as cuda.h's `CUcomputemode`.
    pub compute_mode: Option<c_int>,
}

impl Answer {
    /// Starts the driver in this process.
    pub fn of_this_process() -> Answer {
        let missing = |error: libloading::Error| Answer::Missing { why: error.to_string() };
        // SAFETY: libcuda.so.1 is the system's CUDA driver, whose constructors every CUDA program runs.
        let library = match unsafe { Library::new(LIBRARY) } {
            Ok(library) => library,
            Err(error) => return missing(error),
        };
        start(&library).unwrap_or_else(missing)
    }

    /// What a witness heard from it.
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

fn start(library: &Library) -> Result<Answer, libloading::Error> {
    let path = mapped("libcuda.so").pop().unwrap_or_else(|| LIBRARY.to_owned());
    // SAFETY: the signatures here and below are those of cuda.h, and the library outlives the pointers.
    let init = unsafe { library.get::<unsafe extern "C" fn(c_uint) -> CUresult>(b"cuInit\0") }?;
    // SAFETY: cuInit takes no pointers.
    match unsafe { init(0) } {
        CUDA_SUCCESS => Ok(Answer::Started { library: path, gpus: seen_gpus(library)? }),
        code => Ok(Answer::Refused { library: path, code, name: name_of(library, code)? }),
    }
}

fn name_of(library: &Library, code: CUresult) -> Result<String, libloading::Error> {
    type NameOf = unsafe extern "C" fn(CUresult, *mut *const c_char) -> CUresult;
    // SAFETY: as in `start`.
    let name_of = unsafe { library.get::<NameOf>(b"cuGetErrorName\0") }?;
    let mut name = std::ptr::null();
    // SAFETY: `name` is a live pointer to write to.
    let known = unsafe { name_of(code, &mut name) } == CUDA_SUCCESS && !name.is_null();
    // SAFETY: the driver's names are NUL-terminated and are never freed.
    Ok(if known { unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned() } else { String::new() })
}

fn seen_gpus(library: &Library) -> Result<Vec<SeenGpu>, libloading::Error> {
    type Count = unsafe extern "C" fn(*mut c_int) -> CUresult;
    type Get = unsafe extern "C" fn(*mut c_int, c_int) -> CUresult;
    type Name = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> CUresult;
    type Uuid = unsafe extern "C" fn(*mut [u8; 16], c_int) -> CUresult;
    type Attribute = unsafe extern "C" fn(*mut c_int, c_int, c_int) -> CUresult;
    // SAFETY: as in `start`.
    let (count, get, name_of, uuid_of, attribute) = unsafe {
        (
            library.get::<Count>(b"cuDeviceGetCount\0")?,
            library.get::<Get>(b"cuDeviceGet\0")?,
            library.get::<Name>(b"cuDeviceGetName\0")?,
            library.get::<Uuid>(b"cuDeviceGetUuid_v2\0")?,
            library.get::<Attribute>(b"cuDeviceGetAttribute\0")?,
        )
    };
    let mut number = 0;
    // SAFETY: a live integer to write to.
    unsafe { count(&mut number) };
    let seen = |ordinal| {
        let (mut device, mut name, mut uuid, mut mode) = (0, [0u8; 256], [0u8; 16], 0);
        // SAFETY: each pointer leads to a live place of the size that is named; the driver ends the name with a NUL.
        unsafe {
            if get(&mut device, ordinal) != CUDA_SUCCESS || uuid_of(&mut uuid, device) != CUDA_SUCCESS {
                return None;
            }
            name_of(name.as_mut_ptr().cast(), name.len() as c_int - 1, device);
            let is_known = attribute(&mut mode, COMPUTE_MODE, device) == CUDA_SUCCESS;
            Some(SeenGpu {
                name: CStr::from_bytes_until_nul(&name).unwrap_or_default().to_string_lossy().into_owned(),
                uuid: hashprobe::GpuUuid(uuid).to_string(),
                compute_mode: is_known.then_some(mode),
            })
        }
    };
    Ok((0..number).filter_map(seen).collect())
}

/// What to do about an answer of `cuInit`.
const FIXES: &[(CUresult, &str)] = &[
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
pub fn check(case: &Case) -> Finding {
    let driver = if case.governance.simulated().is_some() { "simulated driver" } else { "driver" };
    let version = case.driver_version();
    match &case.driver {
        Err(error) => Finding::bad(
            format!("the {driver} was asked to start: {error}"),
            "see whether `nvidia-smi` answers, and `dmesg` for what the kernel says of NVRM or Xid",
        ),
        Ok(Answer::Missing { why }) => Finding::bad(
            format!("{LIBRARY} cannot be loaded ({why})"),
            "install the NVIDIA driver; in a container, have its runtime bring it (`--gpus all`); without a GPU, \
             try a simulated one with --sim h200",
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

/// Whether Missile knows the kernel interface of a driver that runs.
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
