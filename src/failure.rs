//! How a command fails: what is said, and the exit code.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// The kind of a failure, as the exit code tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Failed = 1,
    Usage = 2,
    Impossible = 3,
    NotExecutable = 126,
    NotFound = 127,
    Interrupted = 130,
}

/// A command's failure.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    reason: Box<dyn Error>,
}

/// The result of a command.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// It was tried and did not work: code 1.
    pub fn failed(reason: impl Into<Box<dyn Error>>) -> Self {
        Failure { kind: Kind::Failed, reason: reason.into() }
    }

    /// The command or a variable is wrong: code 2.
    pub fn usage(reason: impl Into<Box<dyn Error>>) -> Self {
        Failure { kind: Kind::Usage, reason: reason.into() }
    }

    /// This machine cannot do it: code 3.
    pub fn impossible(reason: impl Into<Box<dyn Error>>) -> Self {
        Failure { kind: Kind::Impossible, reason: reason.into() }
    }

    /// The program to run is there but cannot be executed: code 126, as with env(1).
    pub fn not_executable(reason: impl Into<Box<dyn Error>>) -> Self {
        Failure { kind: Kind::NotExecutable, reason: reason.into() }
    }

    /// The program to run is not there: code 127, as with env(1).
    pub fn not_found(reason: impl Into<Box<dyn Error>>) -> Self {
        Failure { kind: Kind::NotFound, reason: reason.into() }
    }

    /// Somebody asked to stop: code 130, as after Ctrl-C.
    pub fn interrupted() -> Self {
        Failure { kind: Kind::Interrupted, reason: "interrupted".into() }
    }

    /// Whether it is that this machine cannot do it.
    pub fn is_impossible(&self) -> bool {
        self.kind == Kind::Impossible
    }

    /// With what others said about it, if anything.
    pub fn because(self, said: &str) -> Self {
        match said {
            "" => self,
            said => Failure { kind: self.kind, reason: format!("{}\n{said}", self.reason).into() },
        }
    }

    /// The exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}
