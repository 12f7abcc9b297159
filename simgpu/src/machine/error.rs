//! Why a process cannot join a simulated GPU.

use super::MAX_PROCESSES;
use crate::spec::SpecError;
use std::io;
use std::path::{Path, PathBuf};

/// Why a process cannot join a simulated GPU.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The GPU's description is at fault.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The directory or a file in it cannot be opened.
    #[error(
        "the simulated GPU keeps its state in {path}, which cannot be opened: {source}; set SIMGPU_STATE to a directory of your own"
    )]
    Open {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others could replace the files.
    #[error("{path} belongs to another user or is writable by others; set SIMGPU_STATE to a directory of your own")]
    NotOurs {
        /// Which directory.
        path: PathBuf,
    },
    /// The files cannot be given their size.
    #[error("the files in {path} cannot be given the size of the simulated GPU: {source}")]
    Size {
        /// Which directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The files cannot be mapped.
    #[error("the files in {path} cannot be mapped: {source}")]
    Map {
        /// Which directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The state cannot be locked.
    #[error("the state file in {path} cannot be locked: {source}")]
    Lock {
        /// Which directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Live processes use another GPU or another build there.
    #[error(
        "running processes use {path} for another simulated GPU or with another build of this library; stop them, or set SIMGPU_STATE to another directory"
    )]
    Mismatch {
        /// Which directory.
        path: PathBuf,
    },
    /// No slot is left.
    #[error("{MAX_PROCESSES} processes already share the simulated GPU in {path}, which is the most it can serve")]
    Full {
        /// Which directory.
        path: PathBuf,
    },
}

impl MachineError {
    pub(super) fn lock(directory: &Path) -> impl Fn(io::Error) -> MachineError + '_ {
        move |source| MachineError::Lock { path: directory.into(), source }
    }

    pub(super) fn map(directory: &Path) -> impl Fn(io::Error) -> MachineError + '_ {
        move |source| MachineError::Map { path: directory.into(), source }
    }

    pub(super) fn size(directory: &Path) -> impl Fn(io::Error) -> MachineError + '_ {
        move |source| MachineError::Size { path: directory.into(), source }
    }
}
