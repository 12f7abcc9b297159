//! Fits the tenants' work to the GPU: the same shares of whatever it can do.

use super::streaming::{BUFFER, Reading, Streaming};
use client::{Driver, DriverError};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// The part of its SMs' full rate that the latency-sensitive tenant reads at.
const LS_SHARE: f64 = 0.4;
/// How long a latency-sensitive kernel lasts alone.
const LS_SECONDS: f64 = 1.5e-3;
/// How long a best-effort kernel lasts alone.
const BE_SECONDS: f64 = 1e-3;
/// How often the rate is measured; the median counts.
const TRIES: usize = 7;

/// The work of each tenant's kernel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Calibration {
    /// The GPU's name.
    pub gpu: String,
    /// The latency-sensitive tenant's kernel.
    pub ls: Reading,
    /// The best-effort tenant's kernel.
    pub be: Reading,
}

/// Measures how fast half of the SMs read, on an idle GPU.
pub fn calibrate() -> Result<Calibration, DriverError> {
    let gpu = Driver::start()?.gpu(0)?;
    let context = gpu.primary_context()?;
    let streaming = Streaming::new(&context)?;
    let stream = context.stream()?;
    let time = |passes| -> Result<f64, DriverError> {
        let started = Instant::now();
        streaming.launch(Reading { passes, cycles_per_kib: 0 }, &stream)?;
        stream.wait()?;
        Ok(started.elapsed().as_secs_f64())
    };
    time(1)?;
    // The difference of a long and a short launch leaves out what a launch costs by itself.
    let mut seconds_per_pass = Vec::new();
    for _ in 0..TRIES {
        let (short, long) = (time(8)?, time(40)?);
        seconds_per_pass.push((long - short).max(1e-9) / 32.0);
    }
    seconds_per_pass.sort_by(f64::total_cmp);
    let clock_hz = f64::from(gpu.clock_khz()?) * 1e3;
    let (ls, be) = fit(seconds_per_pass[TRIES / 2], streaming.blocks(), clock_hz);
    Ok(Calibration { gpu: gpu.name()?, ls, be })
}

fn fit(seconds_per_pass: f64, sms: u32, clock_hz: f64) -> (Reading, Reading) {
    let passes = |seconds: f64, share: f64| (seconds * share / seconds_per_pass).round().max(1.0) as u32;
    let sm_bytes_per_second = BUFFER.get() as f64 / seconds_per_pass / f64::from(sms);
    let cycles_per_kib = (clock_hz * 1024.0 / (LS_SHARE * sm_bytes_per_second)).round() as u32;
    let ls = Reading { passes: passes(LS_SECONDS, LS_SHARE), cycles_per_kib };
    (ls, Reading { passes: passes(BE_SECONDS, 1.0), cycles_per_kib: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_follows_from_the_gpus_rate() {
        // 66 SMs that read 4.4 TB/s together, at 1980 MHz.
        let (ls, be) = fit(BUFFER.get() as f64 / 4.4e12, 66, 1.98e9);
        assert_eq!(ls, Reading { passes: 10, cycles_per_kib: 76 });
        assert_eq!(be, Reading { passes: 16, cycles_per_kib: 0 });
    }
}
