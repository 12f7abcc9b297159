//! `missile down`: ends the arbiter.

use crate::failure::{Failure, Outcome};
use crate::governance::Governance;
use crate::mps;
use region::Region;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long an arbiter may take to end.
const END: Duration = Duration::from_secs(30);

/// Ends the arbiter. Tenants run on, ungoverned on the bus.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Ends the arbiter that holds the region.
pub fn run(_arguments: Arguments) -> Outcome {
    let path = Governance::default().settings().map_err(Failure::usage)?.region;
    let ended = end_arbiter(&path);
    // An arbiter that was killed could not end MPS.
    let quit = mps::quit_if_started(&path).map_err(Failure::failed);
    let pid = ended?;
    quit?;
    println!("arbiter {pid} has ended");
    Ok(())
}

fn end_arbiter(path: &Path) -> Outcome<u32> {
    let region = Region::open(path).map_err(Failure::failed)?;
    let pid = region.layout().header.arbiter_pid.load(Ordering::Acquire);
    if !region.arbiter_is_alive() {
        return Err(Failure::failed(format!("no arbiter is running: nobody holds {}", path.display())));
    }
    // The number comes from a file: it must be a Missile before it is sent a signal.
    let Some(target) = libc::pid_t::try_from(pid).ok().filter(|_| is_missile(pid)) else {
        return Err(Failure::failed(format!(
            "{} is held, but process {pid}, which it names, is no arbiter: find the holder with `fuser {0}`",
            path.display()
        )));
    };
    // SAFETY: kill touches no memory.
    if unsafe { libc::kill(target, libc::SIGTERM) } != 0 {
        let error = io::Error::last_os_error();
        return Err(Failure::failed(format!("cannot end the arbiter (process {pid}): {error}")));
    }
    let asked = Instant::now();
    while region.arbiter_is_alive() {
        if asked.elapsed() > END {
            return Err(Failure::failed(format!("the arbiter (process {pid}) did not end within {} s", END.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(pid)
}

fn is_missile(pid: u32) -> bool {
    let name = fs::read_to_string(format!("/proc/{pid}/comm"));
    name.is_ok_and(|name| name.starts_with("missile"))
}
