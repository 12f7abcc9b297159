//! The latency-sensitive tenant: a small request every few milliseconds, as an inference server gets them.

use super::driver::{Driver, DriverError};
use super::streaming::{Reading, Streaming};
use super::{TenantError, WARM_UP, gate};
use crate::percentiles::Latencies;
use crate::punctual::wait_until;
use std::time::{Duration, Instant};

const INPUT_BYTES: usize = 1 << 20;
const OUTPUT_BYTES: usize = 256 << 10;
/// Requests served before this tenant is ready.
const FIRST_REQUESTS: u32 = 5;

/// Serves requests that arrive every `period` for a time, and tells how long they took from their arrival on: one that
/// has to wait for the one before pays for that.
pub fn serve(reading: Reading, period: Duration, time: Duration) -> Result<Option<Latencies>, TenantError> {
    let driver = Driver::start()?;
    let streaming = Streaming::new(&driver)?;
    let stream = driver.stream()?;
    let (input, output) = (driver.allocate_host(INPUT_BYTES)?, driver.allocate_host(OUTPUT_BYTES)?);
    let device = driver.allocate(INPUT_BYTES)?;
    let request = || -> Result<(), DriverError> {
        driver.copy_to_device(device, input, stream)?;
        streaming.launch(&driver, reading, stream)?;
        driver.copy_to_host(output, device, stream)?;
        driver.wait(stream)
    };
    for _ in 0..FIRST_REQUESTS {
        request()?;
    }
    // SAFETY: takes integers only. Without it sleeps end 50 us late.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    gate::wait_for_go()?;

    let started = Instant::now();
    let mut latencies = Vec::new();
    let mut arrival = started;
    while started.elapsed() < WARM_UP + time {
        wait_until(arrival);
        let is_warm = started.elapsed() >= WARM_UP;
        request()?;
        if is_warm {
            latencies.push(arrival.elapsed().as_secs_f64() * 1e6);
        }
        arrival += period;
    }
    Ok(Latencies::of(latencies))
}
