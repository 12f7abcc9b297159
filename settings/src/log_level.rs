//! How much the preloaded library says.

/// How much is said, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What does not work.
    Error,
    /// What is switched off and why.
    Warn,
    /// What is done.
    Info,
    /// Each decision.
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
