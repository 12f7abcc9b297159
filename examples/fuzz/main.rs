//! A client that calls every governed function with random and illegal arguments, and says what came of it.
//!
//! `fuzz --seed S --calls N` prints a line every 1000 calls: how many were made and a number into which the function,
//! its result, what it wrote and what it copied of each call went. Two drivers that behave alike print the same. A
//! last line says how many functions were called and how many succeeded. `--from A --to B` prints a line for each call
//! in that range; `--deep` compares all device memory after each call there, to find the one call after which two runs
//! differ. All follows from the seed. The kernels are those that the simulated driver knows.

mod draw;
mod driver;
mod epoch;
mod fuzzer;
mod hosts;
mod pointers;
mod pools;
mod random;
mod scratch;
mod shapes;
mod table;

use clap::Parser;
use fuzzer::Fuzzer;
use parking_lot::{Condvar, Mutex};
use std::error::Error;
use std::sync::Arc;

/// The program's arguments.
#[derive(Clone, Debug, clap::Parser)]
pub struct Arguments {
    /// Seed from which everything follows
    #[arg(long)]
    seed: u64,
    /// How many calls to make
    #[arg(long)]
    calls: u64,
    /// The first call to print
    #[arg(long, default_value_t = u64::MAX)]
    from: u64,
    /// The first call not to print any more
    #[arg(long, default_value_t = u64::MAX)]
    to: u64,
    /// Compare all device memory after each call that is printed
    #[arg(long)]
    deep: bool,
    /// Leave out functions whose names contain this, such as one that is known to differ
    #[arg(long)]
    without: Vec<String>,
}

/// Two threads that make the calls in turn, as the fuzzer says.
fn take_turns(fuzzer: Fuzzer) {
    let shared = Arc::new((Mutex::new(fuzzer), Condvar::new()));
    let work = |shared: Arc<(Mutex<Fuzzer>, Condvar)>, thread: usize| {
        let mut fuzzer = shared.0.lock();
        while !fuzzer.is_done() {
            if fuzzer.thread == thread {
                fuzzer.step();
                if fuzzer.thread == thread && !fuzzer.is_done() {
                    continue;
                }
                shared.1.notify_all();
            } else {
                shared.1.wait(&mut fuzzer);
            }
        }
    };
    let others = shared.clone();
    let second = std::thread::spawn(move || work(others, 1));
    work(shared.clone(), 0);
    let _ = second.join();
    shared.0.lock().finish();
}

fn main() -> Result<(), Box<dyn Error>> {
    take_turns(Fuzzer::new(Arguments::parse())?);
    Ok(())
}
