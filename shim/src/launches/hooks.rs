//! The hooks of launches.
//!
//! A launch of a best-effort tenant beside a latency-sensitive one waits, under MPS, until its own stream is about to need
//! it ([`super::ahead`]) and until that tenant has no work ([`super::hold`]). Without MPS the GPU's time slices do the same
//! better (docs/decisions/bus-and-time.md).

use super::ahead::Launch;
use super::{Kind, hold};
use crate::base::shield::{self, shielded};
use crate::driver::null_stream::NullStream;
use crate::driver::query;
use crate::tenant::activity::{self, Stream};
use crate::tenant::membership::{self, Joined};
use abi::cuda::{CUDA_SUCCESS, CUfunction, CUgraphExec, CUlaunchConfig, CUresult};
use region::{Class, Tenant};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use units::Nanos;

/// A kernel is launched in a grid.
#[inline]
pub(crate) fn kernel(
    stream: Stream,
    function: CUfunction,
    grid: [u32; 3],
    forward: impl FnOnce() -> CUresult,
) -> CUresult {
    launch(stream, || Kind::kernel(function, grid), |tenant| &tenant.launches, forward)
}

/// A kernel is launched with its shape and stream in one description.
///
/// # Safety
/// `config` is null or points to a description.
#[inline]
pub(crate) unsafe fn configured(
    null: NullStream,
    config: *const CUlaunchConfig,
    function: CUfunction,
    forward: impl FnOnce() -> CUresult,
) -> CUresult {
    if config.is_null() {
        return forward();
    }
    // SAFETY: not null, so a description by the function's contract; as the program may, unaligned.
    let config = unsafe { config.read_unaligned() };
    let grid = [config.gridDimX, config.gridDimY, config.gridDimZ];
    kernel(Stream { handle: config.hStream, null }, function, grid, forward)
}

/// Kernels are launched on several devices, each in a stream of its own.
pub(crate) fn many(forward: impl FnOnce() -> CUresult) -> CUresult {
    if let Some(joined) = membership::joined() {
        membership::submitted(joined, |tenant| &tenant.launches);
    }
    forward()
}

/// A graph is launched.
#[inline]
pub(crate) fn graph(stream: Stream, exec: CUgraphExec, forward: impl FnOnce() -> CUresult) -> CUresult {
    // Noted after the launch counts as work, with which the request may begin.
    let forward = || {
        activity::launches_graph(exec);
        forward()
    };
    launch(stream, || Kind::graph(exec), |tenant| &tenant.graph_launches, forward)
}

#[inline]
fn launch(
    stream: Stream,
    kind: impl FnOnce() -> Kind,
    counter: impl FnOnce(&Tenant) -> &AtomicU64,
    forward: impl FnOnce() -> CUresult,
) -> CUresult {
    let Some(joined) = membership::joined() else { return forward() };
    membership::submitted(joined, counter);
    if activity::is_captured(stream) {
        return forward();
    }
    match gpu_to_share(joined) {
        None => {
            if let Some(lane) = stream.lane() {
                activity::given(joined, lane);
            }
            forward()
        }
        Some(gpu) => beside(joined, gpu, stream, kind(), forward),
    }
}

/// The region's GPU, where this tenant's launches have to wait for others'.
#[inline]
fn gpu_to_share(joined: &Joined) -> Option<usize> {
    if joined.settings.class == Class::Ls || joined.settings.hold_max == Nanos::ZERO || shield::has_failed() {
        return None;
    }
    let gpu = joined.current_gpu()?;
    let is_shared = !joined.region.layout().header.gpus[gpu].tenants(Class::Ls).is_empty();
    (is_shared && is_under_mps()).then_some(gpu)
}

/// Whether the process is a client of MPS, asked once.
#[inline]
fn is_under_mps() -> bool {
    static KNOWN: AtomicU8 = AtomicU8::new(0);
    match KNOWN.load(Ordering::Relaxed) {
        0 => {
            let is = query::is_under_mps() == Some(true);
            KNOWN.store(1 + u8::from(is), Ordering::Relaxed);
            is
        }
        known => known == 2,
    }
}

#[inline(never)]
fn beside(joined: &Joined, gpu: usize, stream: Stream, kind: Kind, forward: impl FnOnce() -> CUresult) -> CUresult {
    let ahead = joined.region.layout().header.gpus[gpu].ahead().unwrap_or(joined.settings.ahead);
    let waited = shielded(|| {
        let lane = stream.lane();
        let launch = lane.map(|lane| Launch { lane, stream: stream.handle, kind });
        if let Some(launch) = launch {
            launch.wait(ahead);
        }
        // Last, since the wait before may have taken long.
        hold::until_quiet(joined, gpu);
        if let Some(lane) = lane {
            activity::given(joined, lane);
        }
        launch.map(|launch| (launch, launch.predicted()))
    });
    let result = forward();
    if let Some((launch, predicted)) = waited.flatten()
        && result == CUDA_SUCCESS
    {
        shielded(|| launch.given(predicted));
    }
    result
}
