//! The latency-sensitive tenant: a small request every few milliseconds, as an inference server gets them.

use super::streaming::{Reading, Streaming};
use super::{TenantError, WARM_UP, gate};
use crate::percentiles::Latencies;
use crate::punctual::wait_until;
use client::{Driver, DriverError};
use std::time::{Duration, Instant};
use units::Bytes;

const INPUT: Bytes = Bytes::mib(1);
const OUTPUT: Bytes = Bytes::kib(256);
/// Requests served before this tenant is ready.
const FIRST_REQUESTS: u32 = 5;

/// Serves requests that arrive every `period` for a time, and tells how long they took from their arrival on: one that
/// has to wait for the one before pays for that.
pub fn serve(reading: Reading, period: Duration, time: Duration) -> Result<Option<Latencies>, TenantError> {
    let context = Driver::start()?.gpu(0)?.primary_context()?;
    let streaming = Streaming::new(&context)?;
    let stream = context.stream()?;
    let (input, output) = (context.allocate_host(INPUT)?, context.allocate_host(OUTPUT)?);
    let device = context.allocate(INPUT)?;
    let request = || -> Result<(), DriverError> {
        stream.copy_to_device(&device, &input)?;
        streaming.launch(reading, &stream)?;
        stream.copy_to_host(&output, &device)?;
        stream.wait()
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
