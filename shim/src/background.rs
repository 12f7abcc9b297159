//! The library's one thread: it follows the arbiter's orders, and looks for calls past the library.
//!
//! It starts after the process joined, with all signals blocked, and sleeps on the futex of its orders. While anything is
//! other than the driver's own it looks whether the arbiter lives twenty times a second: once that is dead, the driver's
//! own slices come back, nobody stands still, and the process joins the next arbiter.

use crate::groups::{self, Applier};
use crate::life::{self, Joined};
use crate::log::info;
use crate::{coverage, fault};
use region::{Region, monotonic_nanos};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use units::Nanos;

/// The longest sleep while nothing is other than the driver's own, and while something is.
const RESTING: Duration = Duration::from_millis(200);
const GOVERNING: Duration = Duration::from_millis(50);

/// Starts the thread, once a process. Where that fails, this tenant's groups stay as the driver made them.
pub(crate) fn start() {
    static STARTED: AtomicBool = AtomicBool::new(false);
    if !STARTED.swap(true, Ordering::Relaxed) {
        spawn();
    }
}

fn spawn() {
    // The host's signals are the host's: a thread inherits the mask, so all are blocked while it is made.
    let mut old = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are live; sigfillset initialises the first before it is used.
    let masked = unsafe {
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr()) == 0
    };
    let spawned = std::thread::Builder::new().name("missile".into()).stack_size(256 << 10).spawn(run);
    if masked {
        // SAFETY: `old` was written by the call above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, old.as_ptr(), std::ptr::null_mut()) };
    }
    if let Err(error) = spawned {
        info!("no thread for the arbiter's orders: {error}");
    }
}

fn run() {
    let mut applier = Applier::default();
    let mut imports = coverage::Imports::default();
    let mut looked = Nanos::ZERO;
    while let Some(joined) = life::joined() {
        let now = Nanos::new(monotonic_nanos());
        if now.saturating_sub(looked) >= RESTING.into() {
            looked = now;
            imports.look();
        }
        let alive = joined.region.arbiter_is_alive();
        let orders = &joined.slot().orders;
        // Read before the orders, so that one that is given meanwhile ends the sleep.
        let seen = orders.changes();
        let (next, changed) =
            fault::shielded(|| applier.turn(joined, !alive || fault::has_failed(), now)).unwrap_or_default();
        if groups::take_news() || (!alive && rejoin(joined)) {
            continue;
        }
        let longest = if changed { GOVERNING } else { RESTING };
        let until_next = next.map_or(longest, |next| next.saturating_sub(Nanos::new(monotonic_nanos())).into());
        orders.wait(seen, until_next.min(longest));
    }
}

/// Joins the region that another arbiter has made at the same place since.
fn rejoin(joined: &Joined) -> bool {
    let is_new = Region::open(&joined.settings.region).is_ok_and(|region| region.arbiter_is_alive());
    let Some(new) = is_new.then(|| life::enter(joined.settings.clone()).ok()).flatten() else { return false };
    crate::gpus::settle_color(new, 0);
    crate::pager::moved_to(joined, new);
    info!("joined the new region as tenant {}", new.slot);
    true
}
