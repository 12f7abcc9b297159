//! `cuInit`: where a tenant's life begins.

use super::rounds;
use crate::base::log::{self, info, warning};
use crate::base::{fork, inject, shield};
use crate::memory::color;
use crate::tenant::membership::{self, Joined, enter};
use abi::cuda::{CUDA_ERROR_SYSTEM_NOT_READY, CUDA_SUCCESS, CUresult};
use region::ColorState;
use settings::{ColorChoice, Settings};
use std::sync::OnceLock;
use std::time::Duration;

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
    let joined = enter(settings).map_err(|error| error.to_string())?;
    let state = await_color(joined);
    if strict_color && !matches!(state, ColorState::On | ColorState::Pending | ColorState::NotAsked) {
        return Err(format!("memory cannot be coloured: {}", state.name()));
    }
    if !matches!(state, ColorState::On | ColorState::Off | ColorState::NotAsked) {
        warning!("memory is not coloured: {}", state.name());
    }
    rounds::begin();
    info!("joined {} as tenant {}", joined.region.path().display(), joined.slot);
    Ok(())
}

/// The state of the tenant's colour on the first device, once the arbiter has had time to publish a table that was probed
/// after it started: it looks for new ones when a tenant joins.
fn await_color(joined: &Joined) -> ColorState {
    const LOOKS: u32 = 10;
    const BETWEEN: Duration = Duration::from_millis(5);
    for _ in 0..LOOKS {
        match color::settle(joined, 0) {
            ColorState::NoTable => std::thread::sleep(BETWEEN),
            settled => return settled,
        }
    }
    color::settle(joined, 0)
}
