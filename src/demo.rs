//! The demo: two tenants of one GPU, alone, together, and together under Missile.
//!
//! The tenants ([`latency_sensitive`], [`best_effort`]) are ordinary programs of the CUDA driver that know nothing of
//! Missile; [`stage`] runs them in processes of their own under each setup and [`rows`] is what is told in the end.

pub mod best_effort;
pub mod calibration;
pub mod gate;
pub mod latency_sensitive;
mod notes;
mod precedence;
mod process;
pub mod rows;
pub mod stage;
pub mod streaming;

use client::DriverError;
use std::time::Duration;

/// How long tenants work together before anything is counted: until caches are warm, first allocations made, and the
/// arbiter has seen who uses the bus. The same under every setup.
const WARM_UP: Duration = Duration::from_millis(500);

/// A tenant could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// The driver refused.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The word to go did not come.
    #[error("cannot wait for the word to go: {0}")]
    Gate(#[from] std::io::Error),
}
