//! The few lines that the library says, on standard error or in a file, never more than [`MOST_LINES`] a process.

use settings::LogLevel;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// After so many lines the library is silent: a host's log is not ours to flood.
const MOST_LINES: u32 = 200;

static SAID: AtomicU32 = AtomicU32::new(0);
static TARGET: OnceLock<(LogLevel, Option<std::path::PathBuf>)> = OnceLock::new();

/// Sets what is said and where. The first call counts.
pub(crate) fn configure(level: LogLevel, file: Option<std::path::PathBuf>) {
    let _ = TARGET.set((level, file));
}

/// Says one line, if the level asks for it. Allocates; not for the path of a launch.
pub(crate) fn say(level: LogLevel, message: std::fmt::Arguments<'_>) {
    let (wanted, file) = TARGET.get().map_or((LogLevel::Warn, None), |(level, file)| (*level, file.as_deref()));
    if level > wanted || SAID.fetch_add(1, Ordering::Relaxed) >= MOST_LINES {
        return;
    }
    let line = format!("missile: {message}\n");
    // A closed or full log is no reason to disturb the host.
    let _ = match file {
        Some(path) => std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut log| log.write_all(line.as_bytes())),
        None => std::io::stderr().write_all(line.as_bytes()),
    };
}

macro_rules! warning {
    ($($arg:tt)*) => { $crate::base::log::say(settings::LogLevel::Warn, format_args!($($arg)*)) };
}
macro_rules! info {
    ($($arg:tt)*) => { $crate::base::log::say(settings::LogLevel::Info, format_args!($($arg)*)) };
}
macro_rules! debug {
    ($($arg:tt)*) => { $crate::base::log::say(settings::LogLevel::Debug, format_args!($($arg)*)) };
}
pub(crate) use {debug, info, warning};
