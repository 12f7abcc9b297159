//! `missile doctor`: what is in order on this machine, and how to mend the rest.

use crate::doctor::{self, Case, Question};
use crate::failure::{Failure, Outcome};
use crate::governance::Governance;
use crate::output::print;
use crate::simulated::SimulatedGpu;

/// Checks all that Missile needs on this machine, and says how to mend what is not in order.
///
/// Exits with 0 where all is in order, else with 1. Starts the driver in a process of its own, and changes nothing.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Check for programs on a simulated GPU: a built-in name such as h200, or a TOML file
    #[arg(long, value_name = "GPU", value_parser = SimulatedGpu::find)]
    sim: Option<SimulatedGpu>,
    /// Print the checks and the variables as JSON
    #[arg(long)]
    json: bool,
    /// This process only answers one question of another doctor's, which it may not survive.
    #[arg(long, hide = true)]
    witness: Option<Question>,
}

/// Prints the checks and the variables.
pub fn run(arguments: Arguments) -> Outcome {
    if let Some(question) = arguments.witness {
        return print(&(doctor::answer(question) + "\n"));
    }
    let report = doctor::report(&Case::open(Governance::new(arguments.sim)));
    print(&match arguments.json {
        true => serde_json::to_string_pretty(&report).map_err(Failure::failed)? + "\n",
        false => report.to_string(),
    })?;
    let (bad, all) = (report.not_ok(), report.checks.len());
    if bad.is_empty() { Ok(()) } else { Err(Failure::failed(format!("not ok: {} (of {all} checks)", bad.join(", ")))) }
}
