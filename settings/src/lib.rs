//! A tenant's settings: the environment variables, their meanings, defaults and the places of files.
//!
//! This crate exists so that `missile run`, which refuses a bad value, and the preloaded library, which ignores it with
//! one warning, read the same text the same way. It knows the names and words of the variables and nothing of who acts
//! on them. It must never change the environment, print, or fail as a whole because one value is bad.

mod log_level;
mod paths;
mod read;
mod variables;

pub use log_level::LogLevel;
pub use paths::{data_folder, default_region, tables_folder};
pub use read::{ColorChoice, CopyChoice, Problem, Settings};
pub use variables::{VARIABLES, Variable};
