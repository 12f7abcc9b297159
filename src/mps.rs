//! NVIDIA's MPS control daemon, where `missile up --mps` starts it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const CONTROL: &str = "nvidia-cuda-mps-control";

/// MPS could not be started or ended.
#[derive(Debug, thiserror::Error)]
pub enum MpsError {
    /// The program is not installed.
    #[error("{CONTROL} is not in PATH: install the NVIDIA driver's MPS programs, or leave --mps out")]
    Missing,
    /// It refused to start.
    #[error("{CONTROL} -d did not start ({0}): if one runs already, leave --mps out")]
    Refused(String),
    /// A file or a process could not be had.
    #[error("cannot {what}: {source}")]
    Io {
        /// The step that failed.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

/// Whether MPS is installed.
pub fn check_installed() -> Result<(), MpsError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(CONTROL).is_file());
    if found { Ok(()) } else { Err(MpsError::Missing) }
}

/// Starts MPS and notes beside the region that it has to be ended again.
pub fn start(region: &Path) -> Result<(), MpsError> {
    let output =
        Command::new(CONTROL).arg("-d").stdin(Stdio::null()).output().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => MpsError::Missing,
            _ => MpsError::Io { what: "run nvidia-cuda-mps-control", source },
        })?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        return Err(MpsError::Refused(String::from_utf8_lossy(&said).trim().replace('\n', "; ")));
    }
    fs::write(note(region), "").map_err(|source| MpsError::Io { what: "note that MPS was started", source })
}

/// Ends MPS where the note says that it was started for this region. True if it was.
pub fn quit_if_started(region: &Path) -> Result<bool, MpsError> {
    let failed = |source| MpsError::Io { what: "end MPS", source };
    if !note(region).exists() {
        return Ok(false);
    }
    let mut control = Command::new(CONTROL)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = control.stdin.take() {
        // Where nobody reads, the daemon is gone already.
        let _ = input.write_all(b"quit\n");
    }
    control.wait().map_err(failed)?;
    fs::remove_file(note(region)).map_err(failed)?;
    Ok(true)
}

fn note(region: &Path) -> PathBuf {
    region.with_extension("mps")
}
