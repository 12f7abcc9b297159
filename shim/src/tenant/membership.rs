//! Membership: the region that this process joined, and its place there.

use super::gpus::Gpus;
use crate::base::{fork, log, shield};
use crate::driver::query;
use region::{Activity, Class, ColorState, Hold, JoinError, OpenError, Region, Slot, Tenant, Why};
use settings::{CopyChoice, Idle, Settings};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

/// A tenant that joined a region. Lives for ever: hooks on other threads may hold it.
pub(crate) struct Joined {
    pub(crate) region: Region,
    pub(crate) slot: usize,
    /// Keeps the slot for this process image.
    hold: Hold,
    pub(crate) settings: Settings,
    gpus: Gpus,
}

impl Joined {
    pub(crate) fn slot(&self) -> &Slot {
        &self.region.layout().slots[self.slot]
    }

    pub(crate) fn tenant(&self) -> &Tenant {
        &self.slot().tenant
    }

    /// Its word about whether it has work.
    #[inline]
    pub(crate) fn activity(&self) -> &Activity {
        &self.slot().activity
    }

    /// Whether the arbiter has taken this tenant in.
    pub(crate) fn is_taken_in(&self) -> bool {
        self.slot().orders.has_noticed(self.hold.tenure())
    }

    /// The region's index of the current context's GPU.
    #[inline]
    pub(crate) fn current_gpu(&self) -> Option<usize> {
        self.gpus.current(self.region.layout())
    }
}

static JOINED: AtomicPtr<Joined> = AtomicPtr::new(std::ptr::null_mut());

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
pub(crate) fn submitted(joined: &Joined, counter: impl FnOnce(&Tenant) -> &AtomicU64) {
    counter(joined.tenant()).fetch_add(1, Ordering::Relaxed);
    joined.region.layout().header.doorbell.nudge();
}

/// Counts one governed call that passed through.
#[inline]
pub(crate) fn passed(why: Why) {
    if let Some(joined) = joined() {
        joined.tenant().passed.count(why);
    }
}

/// Whether `cuInit` came through this library.
static SEEN_INIT: AtomicBool = AtomicBool::new(false);

/// `cuInit` came through this library.
pub(crate) fn init_seen() {
    SEEN_INIT.store(true, Ordering::Relaxed);
}

/// Counts failures of the library itself, in its tenant.
pub(crate) fn count_failures() {
    if let Some(joined) = joined() {
        (0..shield::take_failures()).for_each(|_| joined.tenant().passed.count(Why::Fault));
    }
}

/// The driver is in use. If it was initialised past this library, the process takes a slot all the same, so that its
/// arbiter and its operator see that it is not governed. Asks nothing of the driver, from inside which it is called.
pub(crate) fn driver_in_use() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    if SEEN_INIT.load(Ordering::Relaxed) {
        return;
    }
    ONCE.call_once(|| {
        let (settings, _) = Settings::from_env();
        log::configure(settings.log.level, settings.log.file.clone());
        if fork::settle()
            && let Ok(joined) = enter(settings)
        {
            joined.tenant().color_state.store(ColorState::Bypassed.code(), Ordering::Relaxed);
        }
    });
}

/// Why a region could not be joined.
#[derive(Debug)]
pub(crate) enum EnterError {
    Open(OpenError),
    NobodyHolds(std::path::PathBuf),
    /// This process image has a slot of that very region.
    IsIn(std::path::PathBuf),
    Join(std::path::PathBuf, JoinError),
}

impl std::fmt::Display for EnterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EnterError::Open(error) => error.fmt(f),
            EnterError::NobodyHolds(path) => {
                write!(f, "no arbiter holds {}; start one with `missile up`", path.display())
            }
            EnterError::IsIn(path) => write!(f, "this process is a tenant of {} already", path.display()),
            EnterError::Join(path, JoinError::Full) => write!(f, "{} has no room for another tenant", path.display()),
            EnterError::Join(path, JoinError::Io(error)) => write!(f, "cannot join {}: {error}", path.display()),
        }
    }
}

/// Opens the region, takes a slot and fills it in.
pub(crate) fn enter(settings: Settings) -> Result<&'static Joined, EnterError> {
    let region = Region::open(&settings.region).map_err(EnterError::Open)?;
    if !region.arbiter_is_alive() {
        return Err(EnterError::NobodyHolds(settings.region));
    }
    let former = joined();
    if former.is_some_and(|former| former.region.is_same_file(&region)) {
        return Err(EnterError::IsIn(settings.region));
    }
    let hold = match region.join() {
        Ok(hold) => hold,
        Err(error) => return Err(EnterError::Join(settings.region, error)),
    };
    let joined = Box::leak(Box::new(Joined {
        region,
        slot: hold.slot(),
        hold,
        settings,
        // Not asked from inside the driver, where the process joins only to show that it is not governed.
        gpus: Gpus::new(SEEN_INIT.load(Ordering::Relaxed) && query::devices() == 1),
    }));
    let (tenant, settings) = (joined.tenant(), &joined.settings);
    // The process's name and not the calling thread's: who re-joins is the helper thread.
    tenant.set_name(std::fs::read("/proc/self/comm").unwrap_or_default().trim_ascii_end());
    tenant.weight.store(settings.weight, Ordering::Relaxed);
    tenant.color.store(u32::MAX, Ordering::Relaxed);
    tenant.copies.store((settings.copies != CopyChoice::Off).into(), Ordering::Relaxed);
    if let Idle::Fixed(linger) = settings.idle {
        joined.activity().set_linger(linger);
    }
    let target = settings.target.filter(|_| settings.class == Class::Ls);
    tenant.target.store(target.unwrap_or(0), Ordering::Relaxed);
    tenant.class.store(settings.class.code(), Ordering::Release);
    JOINED.store(joined, Ordering::Release);
    if let Some(former) = former {
        former.hold.give_up();
    }
    joined.region.layout().header.doorbell.ring_loudly();
    Ok(joined)
}
