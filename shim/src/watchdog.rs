//! The thread of the library that watches: sees to it that nobody waits for an arbiter that does not answer.
//!
//! It starts after the process joined, sleeps 200 ms at a time while no copy is under way, and looks every 10 ms while
//! one is. If the arbiter is gone, or stopped, all gates of this tenant are opened and copies go ungated until it is
//! back; if it lives but a lane made no progress for a second, that lane's gate is opened for what is in it. Copies past
//! the copy engine that do not begin are given back to it ([`crate::ferry`]). Beside that it looks for libraries that go
//! past this one ([`crate::coverage`]).

use crate::life::{self, Joined};
use crate::log::{info, warning};
use crate::{coverage, ferry};
use region::{Class, Direction, GPUS, Lane, Region, monotonic_nanos};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;
use units::Nanos;

const RESTING: Duration = Duration::from_millis(200);
const WATCHING: Duration = Duration::from_millis(10);
/// An arbiter that has not looked at the region for so long, while a copy waits for it, does not answer.
const SILENCE: Nanos = Nanos::from_millis(50);
/// A lane with copies in it that makes no progress for so long is let go though the arbiter lives.
const PATIENCE: Nanos = Nanos::from_millis(1000);

static THREAD: OnceLock<Thread> = OnceLock::new();
static RESTS: AtomicBool = AtomicBool::new(false);

/// Starts the thread. Where that fails, blocking copies still give up by themselves.
pub(crate) fn start() {
    if THREAD.get().is_some() {
        return;
    }
    if let Some(handle) = spawn("missile", watch) {
        let _ = THREAD.set(handle.thread().clone());
    }
}

/// Whether it runs.
pub(crate) fn runs() -> bool {
    THREAD.get().is_some()
}

/// Starts a thread of the library's, to which the host's signals do not go. `None` where none could be started.
pub(crate) fn spawn(name: &str, body: fn()) -> Option<std::thread::JoinHandle<()>> {
    // The host's signals are the host's: a thread inherits the mask, so all are blocked while it is made.
    let mut old = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are live; sigfillset initialises the first before it is used.
    let masked = unsafe {
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr()) == 0
    };
    let spawned = std::thread::Builder::new().name(name.into()).stack_size(256 << 10).spawn(body);
    if masked {
        // SAFETY: `old` was written by the call above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, old.as_ptr(), std::ptr::null_mut()) };
    }
    spawned.ok()
}

/// A copy now waits for the arbiter: look closely.
#[inline]
pub(crate) fn look_soon() {
    if RESTS.load(Ordering::SeqCst)
        && let Some(thread) = THREAD.get()
    {
        thread.unpark();
    }
}

/// A lane with copies in it, how far it was and since when.
#[derive(Clone, Copy)]
struct Held {
    progress: u32,
    since: Nanos,
}

fn watch() {
    let mut held: Vec<Option<Held>> = Vec::new();
    let mut imports = coverage::Imports::default();
    loop {
        let Some(joined) = life::joined() else { return };
        imports.look();
        if look(joined, &mut held) {
            std::thread::park_timeout(WATCHING);
            continue;
        }
        // Announced before the last glance, so that a copy submitted in between is either seen here or unparks.
        RESTS.store(true, Ordering::SeqCst);
        if !lanes(joined).any(Lane::is_outstanding) && !ferry::is_under_way() {
            std::thread::park_timeout(RESTING);
        }
        RESTS.store(false, Ordering::SeqCst);
    }
}

fn lanes(joined: &Joined) -> impl Iterator<Item = &Lane> {
    let slot = joined.slot();
    (0..GPUS).flat_map(move |gpu| Direction::ALL.into_iter().flat_map(move |direction| slot.lanes(gpu, direction)))
}

/// One look. True while copies are under way.
fn look(joined: &Joined, held: &mut Vec<Option<Held>>) -> bool {
    let now = Nanos::new(monotonic_nanos());
    let alive = joined.region.arbiter_is_alive();
    let heartbeat = Nanos::new(joined.region.layout().header.heartbeat.load(Ordering::Relaxed));
    let stale = now.saturating_sub(heartbeat) > SILENCE;
    held.resize(lanes(joined).count(), None);
    // A latency-sensitive copy asks without waiting, and nobody opens the gate behind it.
    let waits = joined.settings.class == Class::Be;
    let (mut busy, mut unanswered) = (false, false);
    for (lane, held) in lanes(joined).zip(held.iter_mut()) {
        busy |= lane.is_outstanding();
        *held = match (waits && lane.is_outstanding(), *held) {
            (false, _) => None,
            (true, Some(before)) if before.progress == lane.progress() => Some(before),
            (true, _) => Some(Held { progress: lane.progress(), since: now }),
        };
        let Some(state) = *held else { continue };
        let waited = now.saturating_sub(state.since);
        unanswered |= lane.is_held() && waited > SILENCE && stale;
        if waited > PATIENCE {
            if lane.is_held() {
                joined.tenant().gate_timeouts.fetch_add(1, Ordering::Relaxed);
            }
            // Also where nothing seems to be held: what is in the lane may go then, whatever its words say.
            lane.open_all();
        }
    }
    let ferried = ferry::look(joined, now);
    busy |= ferried.busy;
    if ferried.late {
        lanes(joined).for_each(Lane::open_all);
    }
    let was_silent = joined.silent.load(Ordering::Relaxed);
    let silent = !alive || unanswered || (was_silent && stale);
    if silent {
        joined.silent.store(true, Ordering::Relaxed);
        lanes(joined).for_each(Lane::open_all);
    }
    if silent && !was_silent {
        warning!("the arbiter does not answer: copies go ungated until it is back");
    } else if was_silent && !silent {
        joined.silent.store(false, Ordering::Relaxed);
        info!("the arbiter is back");
    }
    if !alive {
        rejoin(joined);
    } else if was_silent {
        // A stopped arbiter that sleeps beats only when it is rung.
        joined.region.layout().header.doorbell.ring_loudly();
    }
    busy
}

/// Joins the region that another arbiter has made at the same place since.
fn rejoin(joined: &Joined) {
    let is_new = Region::open(&joined.settings.region).is_ok_and(|region| region.arbiter_is_alive());
    if is_new && let Ok(new) = life::enter(joined.settings.clone()) {
        crate::gpus::settle_color(new, 0);
        crate::pager::moved_to(joined, new);
        info!("joined the new region as tenant {}", new.slot);
    }
}
