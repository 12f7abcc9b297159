//! `missile top`: what the arbiter and its tenants do.

use crate::failure::{Failure, Outcome};
use crate::governance::Governance;
use region::{Region, monotonic_nanos};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;
use units::Nanos;

/// Clears the terminal and goes to its first line.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Shows the arbiter, the buses and the tenants, anew each second.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Show it once
    #[arg(long)]
    once: bool,
    /// Print JSON, one line each time
    #[arg(long)]
    json: bool,
}

/// Shows the state once, or until Ctrl-C or the end of the arbiter.
pub fn run(arguments: Arguments) -> Outcome {
    let path = Governance::default().settings().map_err(Failure::usage)?.region;
    let region = living_region(&path)?;
    loop {
        let snapshot = scheduler::snapshot(&region, Nanos::new(monotonic_nanos()));
        let text = match arguments.json {
            true => serde_json::to_string(&snapshot).map_err(Failure::failed)? + "\n",
            false if arguments.once || !io::stdout().is_terminal() => snapshot.to_string(),
            false => format!("{CLEAR}{snapshot}"),
        };
        match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
            // Whoever read it has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            other => other.map_err(Failure::failed)?,
        }
        if arguments.once {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(1));
        if !region.arbiter_is_alive() {
            return Err(Failure::failed("the arbiter has ended"));
        }
    }
}

fn living_region(path: &Path) -> Outcome<Region> {
    let region = Region::open(path).map_err(Failure::failed)?;
    if region.arbiter_is_alive() {
        return Ok(region);
    }
    Err(Failure::failed(format!("no arbiter is running: nobody holds {}; start one with `missile up`", path.display())))
}
