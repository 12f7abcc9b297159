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
    if quiet_until(joined, gpu).is_some() || (!sensitive.is_empty() && at_work(joined, sensitive, now).is_some()) {
        hold(joined, gpu, sensitive);
    }
}

/// The end of a time in which the arbiter has all best-effort tenants be quiet, so that a request is alone.
#[inline]
fn quiet_until(joined: &Joined, gpu: usize) -> Option<Nanos> {
    joined.region.layout().header.gpus[gpu].quiet_until(now)
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
fn hold(joined: &Joined, gpu: usize, sensitive: SlotSet) {
    let begun = now();
    if begun.get() < LET_GO_UNTIL.load(Ordering::Relaxed) {
        return;
    }
    let longest = joined.settings.hold_max;
    let ended = wait(joined, gpu, sensitive, begun, longest);
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

fn wait(joined: &Joined, gpu: usize, sensitive: SlotSet, begun: Nanos, longest: Nanos) -> Ended {
    let mut looked = begun;
    loop {
        let now = now();
        let working = at_work(joined, sensitive, || now);
        let quiet = quiet_until(joined, gpu);
        if working.is_none() && quiet.is_none() {
            return Ended::Quiet;
        }
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
        match (working, quiet) {
            _ if held < SPIN => hint::spin_loop(),
            (Some((activity, Doing::Works(seen))), _) => activity.wait(seen, left.into()),
            (Some((_, Doing::Lingers(until))), _) | (None, Some(until)) => rest(until.saturating_sub(now).min(left)),
            (Some((_, Doing::Rests)), _) | (None, None) => {}
        }
    }
}

/// Sleeps, or spins where that is too short to sleep for.
fn rest(time: Nanos) {
    if time < SPIN { hint::spin_loop() } else { std::thread::sleep(Duration::from(time)) }
}
