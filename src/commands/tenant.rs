//! `missile tenant`: one of the demo's tenants, an ordinary CUDA program.

use crate::demo::calibration::calibrate;
use crate::demo::{TenantError, best_effort, latency_sensitive, streaming::Reading};
use crate::failure::{Failure, Outcome};
use serde::Serialize;
use std::time::Duration;

/// Runs one tenant of the demo and prints what it measured as a line of JSON.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    /// Measures the GPU and prints fitting work for both tenants
    Calibrate,
    /// The latency-sensitive tenant
    Ls {
        #[command(flatten)]
        work: Work,
        /// The time between two requests
        #[arg(long, default_value_t = 10_000)]
        period_us: u64,
    },
    /// The best-effort tenant
    Be {
        #[command(flatten)]
        work: Work,
    },
}

#[derive(Debug, clap::Args)]
struct Work {
    /// How long to work
    #[arg(long)]
    seconds: f64,
    /// How often a kernel reads its buffer
    #[arg(long)]
    passes: u32,
    /// The clock cycles that an SM spends at least on each KiB
    #[arg(long)]
    cycles_per_kib: u32,
}

impl Work {
    fn reading(&self) -> Reading {
        Reading { passes: self.passes, cycles_per_kib: self.cycles_per_kib }
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.clamp(0.0, 86_400.0))
    }
}

/// Is the tenant.
pub fn run(arguments: Arguments) -> Outcome {
    match arguments.role {
        Role::Calibrate => print(calibrate().map_err(TenantError::from)),
        Role::Ls { work, period_us } => {
            print(latency_sensitive::serve(work.reading(), Duration::from_micros(period_us), work.time()))
        }
        Role::Be { work } => print(best_effort::work(work.reading(), work.time())),
    }
}

fn print(measured: Result<impl Serialize, TenantError>) -> Outcome {
    let measured = measured.map_err(|error| match error {
        TenantError::Driver(ref driver) if driver.is_absence() => Failure::impossible(error),
        error => Failure::failed(error),
    })?;
    println!("{}", serde_json::to_string(&measured).map_err(Failure::failed)?);
    Ok(())
}
