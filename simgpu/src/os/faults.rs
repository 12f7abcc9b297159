//! Faults on demand at the requests of whoever interposes `ioctl`, so that its own handling of them can be tried.

mod rule;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use rule::{Rule, RuleError};

pub(super) use rule::{Command, Happening};

/// Why the faults that the environment asks for cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum FaultsError {
    /// The variable is no text.
    #[error("SIMGPU_FAULT is not text in UTF-8")]
    Text,
    /// A rule makes no sense.
    #[error("SIMGPU_FAULT holds a rule that cannot be followed: {0}")]
    Rule(#[from] RuleError),
    /// The log cannot be written.
    #[error("SIMGPU_FAULT_LOG names {path}, which cannot be written to: {source}")]
    Log {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The faults that are to happen at an interposer's requests.
#[derive(Debug, Default)]
pub(super) struct Faults {
    rules: Vec<Rule>,
    /// How many requests there were.
    seen: AtomicU64,
    log: Option<File>,
}

impl Faults {
    /// The faults that `SIMGPU_FAULT` and `SIMGPU_FAULT_LOG` ask for; nothing where neither is set.
    pub(super) fn from_env() -> Result<Option<Self>, FaultsError> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let (rules, log) = (set("SIMGPU_FAULT"), set("SIMGPU_FAULT_LOG").map(PathBuf::from));
        if rules.is_none() && log.is_none() {
            return Ok(None);
        }
        let rules = rules.unwrap_or_default().into_string().map_err(|_| FaultsError::Text)?;
        let log = log.map(|path| {
            OpenOptions::new().append(true).create(true).open(&path).map_err(|source| FaultsError::Log { path, source })
        });
        Ok(Some(Faults { log: log.transpose()?, ..Faults::parse(&rules)? }))
    }

    /// Rules with commas between them.
    pub(super) fn parse(text: &str) -> Result<Self, FaultsError> {
        let rules = text.split(',').filter(|rule| !rule.trim().is_empty());
        Ok(Faults { rules: rules.map(str::parse).collect::<Result<_, _>>()?, ..Faults::default() })
    }

    /// Counts a request; says what happens at it. Every rule counts it, and the first that applies decides.
    pub(super) fn meet(&self, command: Command) -> Option<Happening> {
        let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(mut log) = self.log.as_ref() {
            // One write a line, so that the lines of several processes do not mix. A log that cannot be written to is
            // missed by the test that reads it.
            let _ = log.write_all(format!("{number} {}\n", command.name()).as_bytes());
        }
        let met: Vec<Happening> = self.rules.iter().filter_map(|rule| rule.meet(command)).collect();
        met.first().copied()
    }
}

/// Ends this process as a crash would, without any of its code running again.
pub(super) fn die() -> ! {
    // SAFETY: a plain system call on this process itself.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    // The signal comes before the call returns; this is for the compiler.
    std::process::abort()
}
