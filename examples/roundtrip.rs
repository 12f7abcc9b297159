//! A client that fills buffers by copies and by a kernel, reads them back, and prints what came of it as JSON.
//!
//! `roundtrip SIZE…` prints one line. With `--hold` it then waits for a line of input, frees its buffers, prints a
//! second line, and waits for another. `--via` chooses how the driver's functions are found, `--sides` measures how far
//! each page is from the SM that looks, and `--fork` has a child process use the driver in between.

#[path = "roundtrip/cuda.rs"]
mod cuda;

use clap::Parser;
use cuda::{Cuda, Kernel, Via};
use serde_json::{Value, json};
use std::error::Error;
use std::io::stdin;
use units::Bytes;

const PAGE: usize = 4096;
/// Enough for the fastest of so many accesses to be free of bursts of others.
const TRIES: u32 = 4;

#[derive(Debug, clap::Parser)]
struct Arguments {
    /// The buffers, such as 2M
    #[arg(required = true)]
    sizes: Vec<Bytes>,
    /// How the driver's functions are found
    #[arg(long, value_enum, default_value = "lookup")]
    via: Via,
    /// Measure how many cycles each page of 4 KiB is away
    #[arg(long)]
    sides: bool,
    /// Keep the buffers until a line of input comes, and the process until another does
    #[arg(long)]
    hold: bool,
    /// Have a forked child call the driver and exit
    #[arg(long)]
    fork: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut cuda = Cuda::load(arguments.via)?;
    let done = work(&mut cuda, &arguments);
    let (buffers, report) = done.unwrap_or_else(|_| (Vec::new(), json!({})));
    say(&cuda, report);
    if arguments.hold {
        stdin().read_line(&mut String::new())?;
        for buffer in buffers {
            let _ = cuda.free(buffer);
        }
        let free = cuda.free_bytes().unwrap_or_default();
        say(&cuda, json!({ "free_bytes": free }));
        stdin().read_line(&mut String::new())?;
    }
    std::process::exit(cuda.codes().values().any(|&code| code != 0).into())
}

fn say(cuda: &Cuda, mut report: Value) {
    report["codes"] = json!(cuda.codes());
    println!("{report}");
}

/// Works until a call fails; the call's code is on the driver's list then.
fn work(cuda: &mut Cuda, arguments: &Arguments) -> Result<(Vec<u64>, Value), cuda::Failed> {
    cuda.start()?;
    let fill = cuda.kernel(include_str!("fill.ptx"), "missile_fill")?;
    let before = cuda.free_bytes()?;
    let (mut addresses, mut reports) = (Vec::new(), Vec::new());
    for (index, size) in arguments.sizes.iter().enumerate() {
        let address = cuda.allocate(size.as_usize())?;
        addresses.push(address);
        reports.push(round_trip(cuda, fill, address, size.as_usize(), index as u32 + 1)?);
    }
    if arguments.sides {
        for ((report, &address), size) in reports.iter_mut().zip(&addresses).zip(&arguments.sizes) {
            report["sides"] = sides(cuda, address, size.as_usize())?;
            report["extents"] = json!(cuda.extents(address, size.get()));
        }
    }
    let child = if arguments.fork { Some(in_a_child(cuda)) } else { None };
    let report = json!({
        "buffers": reports, "free_bytes_before": before, "free_bytes": cuda.free_bytes()?, "child": child,
    });
    Ok((addresses, report))
}

/// Writes, reads back and compares: once by copies alone, once with a kernel that writes.
fn round_trip(cuda: &mut Cuda, fill: Kernel, address: u64, bytes: usize, seed: u32) -> Result<Value, cuda::Failed> {
    let written: Vec<u32> = (0..bytes as u32 / 4).map(|i| (i ^ seed).wrapping_mul(0x9E37_79B9)).collect();
    let mut read = vec![0; written.len()];
    cuda.copy_in(address, &written)?;
    cuda.copy_out(&mut read, address)?;
    let copied = read == written;
    let first_sum = checksum(&read);

    let words = written.len() as u64;
    cuda.launch(fill, &mut [address, words, seed.into()])?;
    cuda.copy_out(&mut read, address)?;
    let filled = read.iter().zip(seed..).all(|(&word, expected)| word == expected);
    Ok(json!({ "bytes": bytes, "right": copied && filled, "checksums": [first_sum, checksum(&read)] }))
}

/// FNV-1a over words.
fn checksum(words: &[u32]) -> u64 {
    words.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &word| (sum ^ u64::from(word)).wrapping_mul(0x100_0000_01b3))
}

/// The cycles from one SM to each page.
fn sides(cuda: &mut Cuda, address: u64, bytes: usize) -> Result<Value, cuda::Failed> {
    let kernel = cuda.kernel(include_str!("../hashprobe/ptx/latency.ptx"), "missile_latency")?;
    let pages: Vec<u64> = (0..bytes).step_by(PAGE).map(|offset| address + offset as u64).collect();
    let list: Vec<u32> = pages.iter().flat_map(|&page| [page as u32, (page >> 32) as u32]).collect();
    let mut cycles = vec![0; pages.len()];
    let mut sm = vec![0];
    let (at, out, sms) =
        (cuda.allocate(list.len() * 4)?, cuda.allocate(cycles.len() * 4)?, cuda.allocate(sm.len() * 4)?);
    cuda.copy_in(at, &list)?;
    cuda.launch(kernel, &mut [at, pages.len() as u64, TRIES.into(), out, sms])?;
    cuda.copy_out(&mut cycles, out)?;
    cuda.copy_out(&mut sm, sms)?;
    for scratch in [at, out, sms] {
        cuda.free(scratch)?;
    }
    Ok(json!({ "sm": sm[0], "cycles": cycles }))
}

/// A forked child that calls the driver, whatever it answers there; returns how the child ended.
fn in_a_child(cuda: &mut Cuda) -> i32 {
    // SAFETY: the driver's threads are not the child's, so the child calls only what needs none, and an alarm ends it
    // should it wait for one.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: alarm takes a number.
        unsafe { libc::alarm(10) };
        let _ = cuda.free_bytes();
        let _ = cuda.allocate(4 << 20);
        // SAFETY: an ordinary end, with everything that runs at exit.
        unsafe { libc::exit(0) };
    }
    let mut status = -1;
    // SAFETY: `status` is live.
    unsafe { libc::waitpid(child, &mut status, 0) };
    status
}
