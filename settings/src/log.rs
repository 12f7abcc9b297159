//! Verbosity of the preloaded library, and the place of its messages.

use std::path::PathBuf;

/// Verbosity, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Faults.
    Error,
    /// Each part that is switched off, with the reason.
    Warn,
    /// Actions.
    Info,
    /// Decisions.
    Debug,
}

impl LogLevel {
    /// Reads `error`, `warn`, `info` or `debug`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "error" => Some(LogLevel::Error),
            "warn" => Some(LogLevel::Warn),
            "info" => Some(LogLevel::Info),
            "debug" => Some(LogLevel::Debug),
            _ => None,
        }
    }
}

/// Messages of the preloaded library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least important messages that are written.
    pub level: LogLevel,
    /// The file that they go to; standard error if `None`.
    pub file: Option<PathBuf>,
}
