//! `missile demo`: shows what Missile is worth on this machine's GPU or a simulated one.

use crate::demo::rows::{Report, Row, SETUPS, Setup};
use crate::demo::stage::Stage;
use crate::failure::{Failure, Outcome};
use crate::governance::Governance;
use crate::interrupt::stop_on_signals;
use crate::simulated::SimulatedGpu;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// Runs a latency-sensitive and a best-effort tenant alone, together, and together under Missile.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Use a simulated GPU: a built-in name such as h200, or a TOML file [default: a real GPU, else h200]
    #[arg(long, value_name = "GPU", value_parser = SimulatedGpu::find)]
    sim: Option<SimulatedGpu>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// How long each setup runs
    #[arg(long, value_name = "N", default_value_t = 3.0, value_parser = seconds)]
    seconds: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "give a number of seconds from 0.1 to 3600".to_owned())
}

/// Runs all setups and prints the table.
pub fn run(arguments: Arguments) -> Outcome {
    // What the caller set for tenants holds in the demo as well.
    Governance::default().settings().map_err(Failure::usage)?;
    let stop = stop_on_signals().map_err(Failure::failed)?;
    let bar = ProgressBar::new(SETUPS.len() as u64 + 2);
    if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    let report = stage_all(&arguments, &bar, stop);
    bar.finish_and_clear();
    let report = report?;
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&report).map_err(Failure::failed)?),
        false => print!("{report}"),
    }
    Ok(())
}

fn stage_all(arguments: &Arguments, bar: &ProgressBar, stop: &scheduler::Stop) -> Outcome<Report> {
    let step = |name: &'static str| {
        bar.inc(u64::from(!bar.message().is_empty()));
        bar.set_message(name);
    };
    step("calibrating");
    let mut stage = Stage::open(arguments.sim.clone(), stop)?;
    let rows = run_all(&mut stage, arguments.seconds, step);
    let notes = stage.notes();
    let rows = rows.map_err(|failure| failure.because(&notes))?;
    // Not a failure, but perhaps the reason for what the table shows.
    notes.lines().for_each(|note| bar.suspend(|| eprintln!("{note}")));
    Ok(Report { gpu: stage.gpu_name().to_owned(), seconds: arguments.seconds, rows })
}

fn run_all(stage: &mut Stage, seconds: f64, step: impl Fn(&'static str)) -> Outcome<Vec<Row>> {
    step("probing");
    stage.prepare()?;
    let run = |setup: &Setup| {
        step(setup.name);
        stage.run(setup, seconds)
    };
    SETUPS.iter().map(run).collect()
}
