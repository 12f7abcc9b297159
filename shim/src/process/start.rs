//! `cuInit`: where a tenant's life begins.

use super::rounds;
use crate::base::log::{self, info, warning};
use crate::base::{fork, inject, shield};
use crate::memory::color;
use crate::tenant::membership::{self, Joined, enter};
use abi::cuda::{CUDA_ERROR_SYSTEM_NOT_READY, CUDA_SUCCESS, CUresult};
use region::times::{JOIN_LOOK, LONGEST_JOIN};
use region::{ColorState, monotonic_nanos};
use settings::{ColorChoice, Settings};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use units::Nanos;

static STARTED: OnceLock<CUresult> = OnceLock::new();

/// The driver's own `cuInit`, and then ours.
pub(crate) fn init(forward: impl FnOnce() -> CUresult) -> CUresult {
    match forward() {
        CUDA_SUCCESS => start(),
        failed => failed,
    }
}

/// Joins the region, once a process, after the driver's own `cuInit` succeeded. Returns what `cuInit` is to answer:
/// success, but for a strict tenant that cannot be governed.
fn start() -> CUresult {
    *STARTED.get_or_init(|| {
        membership::init_seen();
        shield::watch();
        inject::bad_manners();
        let started = shield::shielded(|| {
            let (settings, problems) = Settings::from_env();
            log::configure(settings.log.level, settings.log.file.clone());
            for problem in &problems {
                warning!("{problem}; going on with {}", problem.default);
            }
            let strict = settings.strict;
            (strict, join(settings))
        });
        match started {
            Some((_, Ok(()))) => CUDA_SUCCESS,
            Some((strict, Err(why))) => {
                warning!("off: {why}");
                if strict { CUDA_ERROR_SYSTEM_NOT_READY } else { CUDA_SUCCESS }
            }
            None => CUDA_SUCCESS,
        }
    })
}

fn join(settings: Settings) -> Result<(), String> {
    if !fork::settle() {
        return Err("the kernel has no MADV_WIPEONFORK (Linux 4.14), without which a fork would do harm".into());
    }
    let strict_color = settings.strict && settings.color != ColorChoice::Off;
    // It may be there already, as one that came to the driver past the library.
    let joined = match membership::joined() {
        Some(joined) => joined,
        None => enter(settings).map_err(|error| error.to_string())?,
    };
    let why = match await_color(joined) {
        ColorState::On | ColorState::Off | ColorState::NotAsked => None,
        ColorState::Pending => Some("the arbiter has not answered yet"),
        state => Some(state.name()),
    };
    match why {
        Some(why) if strict_color => return Err(format!("memory cannot be coloured: {why}")),
        Some(why) => warning!("memory is not coloured: {why}"),
        None => {}
    }
    rounds::begin();
    info!("joined {} as tenant {}", joined.region.path().display(), joined.slot);
    Ok(())
}

/// The state of the tenant's colour on the first device, once the arbiter has taken the tenant in: before that it looks
/// for tables that were probed after it started. `Pending` where it does not get to that for long.
fn await_color(joined: &Joined) -> ColorState {
    let (orders, began) = (&joined.slot().orders, Nanos::new(monotonic_nanos()));
    loop {
        // Read before the state, so that what is published or said meanwhile is not missed.
        let (seen, taken_in) = (orders.changes(), joined.is_taken_in());
        match color::settle(joined, 0) {
            ColorState::NoTable if !taken_in && joined.region.arbiter_is_alive() => {}
            settled => return settled,
        }
        if Nanos::new(monotonic_nanos()).saturating_sub(began) >= LONGEST_JOIN {
            joined.tenant().color_state.store(ColorState::Pending.code(), Ordering::Relaxed);
            return ColorState::Pending;
        }
        orders.wait(seen, JOIN_LOOK.into());
    }
}
