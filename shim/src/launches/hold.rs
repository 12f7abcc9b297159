//! Holding a best-effort tenant's launches while a latency-sensitive one of the same GPU has work.
//!
//! The launching thread waits in the host, before the driver's call, with no lock held and nothing given to the GPU, for at
//! most [`settings::Settings::hold_max`]. So nothing can wait for a held launch for longer than that, whatever other threads
//! do meanwhile: synchronise, destroy contexts, fork, or wait for an interpreter's lock that this thread has.

use crate::tenant::membership::Joined;
use region::{Activity, Class, Doing, SlotSet, monotonic_nanos};
use std::hint;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use units::Nanos;

/// The time for which a held thread spins before it sleeps: a futex takes 5 to 50 us to wake a thread, as long as a short
/// kernel, and most of the pauses between requests are longer than it.
const SPIN: Nanos = Nanos::from_micros(20);

/// The time between two looks of a held thread at whether the arbiter lives: a death wakes nobody.
const ARBITER_LOOK: Nanos = Nanos::from_millis(5);

/// The part of the longest hold for which launches go on unheld after it: one in a hundred, so that a latency-sensitive
/// tenant that never rests meets a best-effort kernel in one of a hundred requests, and keeps its p99.
const LET_GO_PART: u64 = 100;

/// The time until which nothing is held, since a hold was as long as it may be.
static LET_GO_UNTIL: AtomicU64 = AtomicU64::new(0);

/// The way in which a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Quiet,
    Longest,
    NoArbiter,
}

fn now() -> Nanos {
    Nanos::new(monotonic_nanos())
}

/// Waits until no latency-sensitive tenant of the GPU has work.
#[inline]
pub(super) fn until_quiet(joined: &Joined, gpu: usize) {
    let sensitive = joined.region.layout().header.gpus[gpu].tenants(Class::Ls);
    if !sensitive.is_empty() && at_work(joined, sensitive, now).is_some() {
        hold(joined, sensitive);
    }
}

/// One of the tenants that is at work, with what it does.
#[inline]
fn at_work(joined: &Joined, tenants: SlotSet, now: impl Fn() -> Nanos) -> Option<(&Activity, Doing)> {
    let mut activities = tenants.map(|slot| &joined.region.layout().slots[slot].activity);
    activities.find_map(|activity| match activity.doing(&now) {
        Doing::Rests => None,
        doing => Some((activity, doing)),
    })
}

#[cold]
fn hold(joined: &Joined, sensitive: SlotSet) {
    let begun = now();
    if begun.get() < LET_GO_UNTIL.load(Ordering::Relaxed) {
        return;
    }
    let longest = joined.settings.hold_max;
    let ended = wait(joined, sensitive, begun, longest);
    let held = now().saturating_sub(begun);
    let tenant = joined.tenant();
    tenant.holds.fetch_add(1, Ordering::Relaxed);
    tenant.held.fetch_add(held.get(), Ordering::Relaxed);
    match ended {
        Ended::Quiet => {}
        Ended::Longest => {
            tenant.let_go.fetch_add(1, Ordering::Relaxed);
            LET_GO_UNTIL.store(now().get() + longest.get() / LET_GO_PART, Ordering::Relaxed);
        }
        // The library's thread sees it too, and that this process has no tenants beside it any more.
        Ended::NoArbiter => LET_GO_UNTIL.store((now() + Nanos::from_millis(1000)).get(), Ordering::Relaxed),
    }
}

fn wait(joined: &Joined, sensitive: SlotSet, begun: Nanos, longest: Nanos) -> Ended {
    let mut looked = begun;
    loop {
        let now = now();
        let Some((activity, doing)) = at_work(joined, sensitive, || now) else { return Ended::Quiet };
        let held = now.saturating_sub(begun);
        if held >= longest {
            return Ended::Longest;
        }
        if now.saturating_sub(looked) >= ARBITER_LOOK {
            looked = now;
            if !joined.region.arbiter_is_alive() {
                return Ended::NoArbiter;
            }
        }
        let left = longest.saturating_sub(held).min(ARBITER_LOOK);
        match doing {
            _ if held < SPIN => hint::spin_loop(),
            Doing::Works(seen) => activity.wait(seen, left.into()),
            // Too short to sleep for.
            Doing::Lingers(until) if until.saturating_sub(now) < SPIN => hint::spin_loop(),
            Doing::Lingers(until) => std::thread::sleep(Duration::from(until.saturating_sub(now).min(left))),
            Doing::Rests => {}
        }
    }
}
