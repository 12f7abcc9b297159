//! The command line of Missile.

mod commands;
mod deepbind;
mod demo;
mod doctor;
mod explain;
mod failure;
mod governance;
mod interrupt;
mod known_gpus;
mod libraries;
mod mps;
mod output;
mod own_program;
mod percentiles;
mod preload;
mod private_folder;
mod punctual;
mod simulated;
mod tables;
mod ungoverned;
mod variables;

use clap::Parser;
use std::process::ExitCode;

/// Shares one NVIDIA GPU between latency-sensitive servers and best-effort jobs.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not possible on this machine. `run` passes the program's own code on.
#[derive(Debug, clap::Parser)]
#[command(version)]
enum Command {
    Run(commands::run::Arguments),
    Up(commands::up::Arguments),
    Down(commands::down::Arguments),
    Probe(commands::probe::Arguments),
    Table(commands::table::Arguments),
    Top(commands::top::Arguments),
    Doctor(commands::doctor::Arguments),
    Demo(commands::demo::Arguments),
    #[command(hide = true)]
    Tenant(commands::tenant::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Run(arguments) => commands::run::run(arguments),
        Command::Up(arguments) => commands::up::run(arguments),
        Command::Down(arguments) => commands::down::run(arguments),
        Command::Probe(arguments) => commands::probe::run(arguments),
        Command::Table(arguments) => commands::table::run(arguments),
        Command::Top(arguments) => commands::top::run(arguments),
        Command::Doctor(arguments) => commands::doctor::run(arguments),
        Command::Demo(arguments) => commands::demo::run(arguments),
        Command::Tenant(arguments) => commands::tenant::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("missile: {failure}");
            failure.code()
        }
    }
}
