//! `missile top`: what the arbiter and its tenants do.

use crate::failure::{Failure, Outcome};
use crate::governance::Governance;
use crate::ungoverned::{Ungoverned, ungoverned};
use observe::Snapshot;
use region::{Region, monotonic_nanos};
use std::fmt;
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
        let view = View::of(&region);
        let text = match arguments.json {
            true => serde_json::to_string(&view).map_err(Failure::failed)? + "\n",
            false if arguments.once || !io::stdout().is_terminal() => view.to_string(),
            false => format!("{CLEAR}{view}"),
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

/// The view of one moment: the region's figures, and the processes that are missing in it.
#[derive(serde::Serialize)]
struct View {
    #[serde(flatten)]
    snapshot: Snapshot,
    ungoverned: Vec<Ungoverned>,
}

impl View {
    fn of(region: &Region) -> View {
        let ungoverned = ungoverned(region);
        View { snapshot: observe::snapshot(region, Nanos::new(monotonic_nanos())), ungoverned }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.snapshot)?;
        self.ungoverned.iter().try_for_each(|Ungoverned { pid, name }| {
            writeln!(f, "{pid:>8} {name:<16.16} not governed: uses the GPU and is no tenant here")
        })
    }
}

fn living_region(path: &Path) -> Outcome<Region> {
    let region = Region::open(path).map_err(Failure::failed)?;
    if region.arbiter_is_alive() {
        return Ok(region);
    }
    Err(Failure::failed(format!("no arbiter is running: nobody holds {}; start one with `missile up`", path.display())))
}
