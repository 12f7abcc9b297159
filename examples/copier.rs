//! A client that only copies between pinned host memory and the device, for measuring how the bus is shared.
//!
//! `copier bulk SIZE` copies back to back, one at a time or several in flight; `copier ls SIZE PERIOD_US` copies once a
//! period. Both end after `--seconds`, or when `--until` says so, and print one line of JSON: how long a copy took (from
//! submission; a copy that is late delays the next), and the bytes a second.

#[path = "../src/percentiles.rs"]
mod percentiles;
#[path = "../src/punctual.rs"]
mod punctual;

use clap::Parser;
use client::Driver;
use percentiles::Latencies;
use punctual::wait_until;
use std::collections::VecDeque;
use std::error::Error;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use units::Bytes;

#[derive(Debug, clap::Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
    /// How long to copy
    #[arg(long, global = true, default_value_t = 5.0)]
    seconds: f64,
    /// Copy from the device to the host
    #[arg(long, global = true)]
    to_host: bool,
    /// Number of copies in flight at a time
    #[arg(long, global = true, default_value = "1", value_name = "COUNT")]
    in_flight: NonZero<usize>,
    /// Wait for this file to be there before copying, so that several begin together
    #[arg(long, global = true, value_name = "FILE")]
    after: Option<PathBuf>,
    /// Stop when this file is there
    #[arg(long, global = true, value_name = "FILE")]
    until: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    /// Copies back to back
    Bulk {
        /// How much at a time, such as 64M
        size: Bytes,
    },
    /// Copies once a period
    Ls {
        /// How much at a time, such as 256K
        size: Bytes,
        /// The period in microseconds
        period_us: u64,
    },
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let (size, period) = match arguments.role {
        Role::Bulk { size } => (size, None),
        Role::Ls { size, period_us } => (size, Some(Duration::from_micros(period_us))),
    };
    let context = Driver::start()?.gpu(0)?.primary_context()?;
    let (host, device, stream) = (context.allocate_host(size)?, context.allocate(size)?, context.stream()?);
    let submit = || match arguments.to_host {
        false => stream.copy_to_device(&device, &host),
        true => stream.copy_to_host(&host, &device),
    };
    submit()?;
    stream.wait()?;
    let is_there = |file: &PathBuf| file.exists();
    while arguments.after.as_ref().is_some_and(|file| !is_there(file)) {
        std::thread::sleep(Duration::from_millis(2));
    }

    let time = Duration::try_from_secs_f64(arguments.seconds)?;
    let started = Instant::now();
    let mut micros = Vec::new();
    let mut due = started;
    let ends = (0..arguments.in_flight.get()).map(|_| context.event()).collect::<Result<Vec<_>, _>>()?;
    let mut in_flight = VecDeque::new();
    while started.elapsed() < time && !arguments.until.as_ref().is_some_and(is_there) {
        if period.is_some() {
            wait_until(due);
        }
        let end = &ends[(micros.len() + in_flight.len()) % ends.len()];
        in_flight.push_back((Instant::now(), end));
        submit()?;
        end.record(&stream)?;
        if in_flight.len() == ends.len() {
            let (submitted, end) = in_flight.pop_front().ok_or("nothing is in flight")?;
            end.wait()?;
            micros.push(submitted.elapsed().as_secs_f64() * 1e6);
        }
        due = Instant::now().max(due + period.unwrap_or_default());
    }
    let gbps = micros.len() as f64 * size.get() as f64 / started.elapsed().as_secs_f64() / 1e9;
    let Some(Latencies { count, p50_us, p90_us, p99_us, max_us }) = Latencies::of(micros) else {
        return Err("there was no time for a copy: give more --seconds".into());
    };
    let answer = serde_json::json!({
        "copies": count, "p50_us": p50_us, "p90_us": p90_us, "p99_us": p99_us, "max_us": max_us, "gbps": gbps
    });
    println!("{answer}");
    Ok(())
}
