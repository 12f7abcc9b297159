//! The best-effort tenant: reads its memory and copies the whole of it to the device anew, both as fast as it can, as a
//! batch job does that swaps models in and out.

use super::streaming::{BUFFER, Reading, Streaming};
use super::{TenantError, WARM_UP, gate};
use client::{Context, Driver, DriverError, Event, Stream};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How many launches or copies are under way at a time.
const IN_FLIGHT: usize = 8;

/// How much was done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Kernels a second.
    pub kernels_per_s: f64,
    /// Copied to the device, in GB/s.
    pub copy_gbps: f64,
}

/// Works for a time and tells how much was done.
pub fn work(reading: Reading, time: Duration) -> Result<Throughput, TenantError> {
    let context = &Driver::start()?.gpu(0)?.primary_context()?;
    let streaming = &Streaming::new(context)?;
    let (host, device) = (&context.allocate_host(BUFFER)?, streaming.buffer());
    let (kernels, copies) = (&context.stream()?, &context.stream()?);
    copies.copy_to_device(device, host)?;
    streaming.launch(reading, kernels)?;
    copies.wait()?;
    kernels.wait()?;
    gate::wait_for_go()?;

    let started = Instant::now();
    let failed = &AtomicBool::new(false);
    let go_on = move || started.elapsed() < WARM_UP + time && !failed.load(Ordering::Relaxed);
    let note_failure = |result: Result<f64, DriverError>| {
        failed.fetch_or(result.is_err(), Ordering::Relaxed);
        result
    };
    let (kernel_rate, copy_rate) = thread::scope(|scope| {
        let copier = scope.spawn(move || {
            let copied = context
                .enter()
                .and_then(|()| keep_busy(context, copies, go_on, || copies.copy_to_device(device, host)));
            note_failure(copied)
        });
        let launched = keep_busy(context, kernels, go_on, || streaming.launch(reading, kernels));
        let launched = note_failure(launched);
        (launched, copier.join())
    });
    let copies_per_s = copy_rate.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    Ok(Throughput { kernels_per_s: kernel_rate?, copy_gbps: copies_per_s * BUFFER.get() as f64 / 1e9 })
}

/// Puts work into the stream as long as told, never more than [`IN_FLIGHT`] at a time; returns how much was done a
/// second, once warm.
fn keep_busy(
    context: &Context,
    stream: &Stream,
    go_on: impl Fn() -> bool,
    mut submit: impl FnMut() -> Result<(), DriverError>,
) -> Result<f64, DriverError> {
    let ends: Vec<Event> = (0..IN_FLIGHT).map(|_| context.event()).collect::<Result<_, _>>()?;
    let started = Instant::now();
    let (mut rounds, mut warm) = (0, None);
    while go_on() {
        let end = &ends[rounds % IN_FLIGHT];
        end.wait()?;
        if warm.is_none() && started.elapsed() >= WARM_UP {
            // All but the other ones in flight are done.
            warm = Some((rounds.saturating_sub(IN_FLIGHT - 1), Instant::now()));
        }
        submit()?;
        end.record(stream)?;
        rounds += 1;
    }
    stream.wait()?;
    let (before, since) = warm.unwrap_or((0, started));
    Ok((rounds - before) as f64 / since.elapsed().as_secs_f64())
}
