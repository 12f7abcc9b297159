//! A tenant's life: joining the region after `cuInit`, and what every hook asks first.

use crate::log::{info, warning};
use crate::{background, broken, fault, fork, gpus, log};
use abi::cuda::{CUDA_ERROR_SYSTEM_NOT_READY, CUDA_SUCCESS, CUresult};
use region::{ColorState, OpenError, Region, Slot, Tenant, Why};
use settings::{ColorChoice, CopyChoice, Settings};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// A tenant that joined a region. Lives for ever: hooks on other threads may hold it.
pub(crate) struct Joined {
    pub(crate) region: Region,
    pub(crate) slot: usize,
    pub(crate) settings: Settings,
    /// The region's entry of each GPU, by device ordinal.
    pub(crate) gpus: gpus::Entries,
    /// Whether the process sees one GPU only.
    pub(crate) has_one_gpu: bool,
}

impl Joined {
    pub(crate) fn slot(&self) -> &Slot {
        &self.region.layout().slots[self.slot]
    }

    pub(crate) fn tenant(&self) -> &Tenant {
        &self.slot().tenant
    }
}

static JOINED: AtomicPtr<Joined> = AtomicPtr::new(std::ptr::null_mut());
static STARTED: OnceLock<CUresult> = OnceLock::new();

/// The tenant, if this process joined and is not a forked child of one that did.
#[inline]
pub(crate) fn joined() -> Option<&'static Joined> {
    if fork::is_child() {
        return None;
    }
    // SAFETY: null, or a leaked box that is never freed or changed but through its atomics.
    unsafe { JOINED.load(Ordering::Acquire).as_ref() }
}

/// Counts one piece of work that was submitted.
#[inline]
pub(crate) fn submitted(counter: impl FnOnce(&Tenant) -> &AtomicU64) {
    if let Some(joined) = joined() {
        counter(joined.tenant()).fetch_add(1, Ordering::Relaxed);
        joined.region.layout().header.doorbell.nudge();
    }
}

/// Counts one governed call that passed through.
#[inline]
pub(crate) fn passed(why: Why) {
    if let Some(joined) = joined() {
        joined.tenant().passed.count(why);
    }
}

/// Whether every call of this process passes through: it is switched off, or a forked child.
#[inline]
pub(crate) fn takes_no_part() -> bool {
    static DISABLED: AtomicU8 = AtomicU8::new(0);
    let disabled = match DISABLED.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: the name is NUL-terminated; the answer, if any, is a NUL-terminated text.
            let disabled = unsafe {
                let value = libc::getenv(c"MISSILE_DISABLE".as_ptr());
                !value.is_null() && libc::strcmp(value, c"1".as_ptr()) == 0
            };
            DISABLED.store(1 + u8::from(disabled), Ordering::Relaxed);
            disabled
        }
        known => known == 2,
    };
    disabled || fork::is_child()
}

/// Whether `cuInit` came through this library.
static SEEN_INIT: AtomicBool = AtomicBool::new(false);

/// The driver is in use. If it was initialised past this library, the process takes a slot all the same, so that its
/// arbiter and its operator see that it is not governed. Asks nothing of the driver, from inside which it is called.
pub(crate) fn driver_in_use() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    if SEEN_INIT.load(Ordering::Relaxed) {
        return;
    }
    ONCE.call_once(|| {
        let (settings, _) = Settings::from_env();
        log::configure(settings.log, settings.log_file.clone());
        if fork::settle()
            && let Ok(joined) = enter(settings)
        {
            joined.tenant().color_state.store(ColorState::Bypassed.code(), Ordering::Relaxed);
        }
    });
}

/// Joins the region, once a process, after the driver's own `cuInit` succeeded. Returns what `cuInit` is to answer:
/// success, but for a strict tenant that cannot be governed.
pub(crate) fn start() -> CUresult {
    *STARTED.get_or_init(|| {
        SEEN_INIT.store(true, Ordering::Relaxed);
        fault::watch();
        broken::bad_manners();
        let started = fault::shielded(|| {
            let (settings, problems) = Settings::from_env();
            log::configure(settings.log, settings.log_file.clone());
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
    background::start();
    info!("joined {} as tenant {}", joined.region.path().display(), joined.slot);
    Ok(())
}

/// The state of the tenant's colour on the first device, once the arbiter has had time to publish a table that was probed
/// after it started: it looks for new ones when a tenant joins.
fn await_color(joined: &Joined) -> ColorState {
    const LOOKS: u32 = 10;
    const BETWEEN: Duration = Duration::from_millis(5);
    for _ in 0..LOOKS {
        match gpus::settle_color(joined, 0) {
            ColorState::NoTable => std::thread::sleep(BETWEEN),
            settled => return settled,
        }
    }
    gpus::settle_color(joined, 0)
}

/// Why a region could not be joined.
#[derive(Debug)]
pub(crate) enum EnterError {
    Open(OpenError),
    NobodyHolds(std::path::PathBuf),
    Full(std::path::PathBuf),
}

impl std::fmt::Display for EnterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EnterError::Open(error) => error.fmt(f),
            EnterError::NobodyHolds(path) => {
                write!(f, "no arbiter holds {}; start one with `missile up`", path.display())
            }
            EnterError::Full(path) => write!(f, "{} has no room for another tenant", path.display()),
        }
    }
}

/// Opens the region, takes a slot and fills it in.
pub(crate) fn enter(settings: Settings) -> Result<&'static Joined, EnterError> {
    let region = Region::open(&settings.region).map_err(EnterError::Open)?;
    if !region.arbiter_is_alive() {
        return Err(EnterError::NobodyHolds(settings.region));
    }
    let Ok(slot) = region.layout().join(std::process::id()) else {
        return Err(EnterError::Full(settings.region));
    };
    let joined = Box::leak(Box::new(Joined {
        region,
        slot,
        settings,
        gpus: gpus::Entries::default(),
        // Not asked from inside the driver, where the process joins only to show that it is not governed.
        has_one_gpu: SEEN_INIT.load(Ordering::Relaxed) && gpus::is_one(),
    }));
    let (tenant, settings) = (joined.tenant(), &joined.settings);
    // The process's name and not the calling thread's: who re-joins is the helper thread.
    tenant.set_name(std::fs::read("/proc/self/comm").unwrap_or_default().trim_ascii_end());
    tenant.weight.store(settings.weight, Ordering::Relaxed);
    tenant.color.store(u32::MAX, Ordering::Relaxed);
    tenant.copies.store((settings.copies != CopyChoice::Off).into(), Ordering::Relaxed);
    tenant.class.store(settings.class.code(), Ordering::Release);
    JOINED.store(joined, Ordering::Release);
    joined.region.layout().header.doorbell.ring_loudly();
    Ok(joined)
}
