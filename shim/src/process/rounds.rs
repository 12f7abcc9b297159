//! The library's one thread: it follows the arbiter's orders, looks for calls past the library, and asks the driver about
//! work that the program does not wait for.
//!
//! It starts after the process joined and sleeps on the futex of its orders. While anything is other than the driver's own
//! it looks whether the arbiter lives twenty times a second: once that is dead, the driver's own slices come back, nobody
//! stands still, and the process joins the next arbiter.

use crate::base::log::info;
use crate::base::{background, shield};
use crate::copies::gate;
use crate::intercept::bypass::Imports;
use crate::memory;
use crate::rm::groups;
use crate::slices::{Applier, Turn};
use crate::tenant::activity::{self, Unasked};
use crate::tenant::membership::{self, Joined};
use region::times::{GOVERNING_LOOK, RESTING_LOOK};
use region::{Region, monotonic_nanos};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use units::Nanos;

/// Begins, once a process. Where no thread can be made, this tenant's groups stay as the driver made them.
pub(crate) fn begin() {
    static BEGUN: AtomicBool = AtomicBool::new(false);
    if !BEGUN.swap(true, Ordering::Relaxed) {
        background::spawn(run);
    }
}

fn run() {
    let mut applier = Applier::default();
    let mut imports = Imports::default();
    let mut unasked = Unasked::default();
    let mut looked = Nanos::ZERO;
    while let Some(joined) = membership::joined() {
        let now = Nanos::new(monotonic_nanos());
        if now.saturating_sub(looked) >= RESTING_LOOK {
            looked = now;
            imports.look();
            membership::count_failures();
        }
        let alive = joined.region.arbiter_is_alive();
        let orders = &joined.slot().orders;
        // Read before the orders, so that one that is given meanwhile ends the sleep.
        let seen = orders.changes();
        let no_orders = !alive || shield::has_failed();
        let Turn { next, changed, gated } =
            shield::shielded(|| applier.turn(joined, no_orders, now)).unwrap_or_default();
        if gated {
            gate::close();
        }
        if groups::take_news() || (!alive && rejoin(joined)) {
            continue;
        }
        let longest = if changed { GOVERNING_LOOK } else { RESTING_LOOK };
        let asking = shield::shielded(|| unasked.look(joined, now)).flatten();
        let longest = Duration::from(asking.map_or(longest, |soon| soon.min(longest)));
        let until_next = next.map_or(longest, |next| next.saturating_sub(Nanos::new(monotonic_nanos())).into());
        orders.wait(seen, until_next.min(longest));
    }
}

/// Joins the region that another arbiter has made at the same place since.
fn rejoin(joined: &Joined) -> bool {
    let is_new = Region::open(&joined.settings.region).is_ok_and(|region| region.arbiter_is_alive());
    if is_new {
        activity::leave();
    }
    let Some(new) = is_new.then(|| membership::enter(joined.settings.clone()).ok()).flatten() else { return false };
    memory::color::settle(new, 0);
    memory::account::moved_to(joined, new);
    info!("joined the new region as tenant {}", new.slot);
    true
}
