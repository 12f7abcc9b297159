//! A tenant's settings: the environment variables, their meanings, defaults and the places of files.
//!
//! This crate exists so that `missile run`, which refuses a bad value, and the preloaded library, which ignores it with
//! one warning, read the same text the same way. It knows the names and words of the variables and nothing of those that
//! act on them. It must never change the environment, print, or fail as a whole because one value is bad.

mod choices;
mod log;
mod paths;
mod variables;
mod words;

pub use choices::{ColorChoice, CopyChoice, Idle};
pub use log::{Log, LogLevel};
pub use paths::{data_folder, default_region, tables_folder};
pub use variables::{INTERNAL, Internal, Problem, RunOption, Settings, VARIABLES, Variable};
