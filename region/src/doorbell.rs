//! How tenants wake a sleeping arbiter, and how it sleeps without missing them.

use crate::sync::{AtomicU32, Ordering, futex_wait, futex_wake};
use std::time::Duration;

/// A bell that costs its ringers one load while the arbiter is awake.
///
/// The arbiter announces that it goes to sleep, looks once more for work, then sleeps on `rings`. A tenant makes its
/// work visible, then looks whether the arbiter sleeps. With sequentially consistent accesses on both sides one of
/// the two must see the other; the loom test holds that.
#[repr(C)]
pub struct Doorbell {
    /// Counts rings. Written by every tenant, by addition only.
    rings: AtomicU32,
    /// [`AWAKE`], [`DOZING`] or [`ASLEEP`]; said before it is so. Written by the arbiter.
    asleep: AtomicU32,
}

const AWAKE: u32 = 0;
/// It looks again soon by itself; only who waits for it rings.
const DOZING: u32 = 1;
const ASLEEP: u32 = 2;

impl Doorbell {
    #[cfg(any(test, loom))]
    pub(crate) fn new() -> Self {
        Doorbell { rings: AtomicU32::new(0), asleep: AtomicU32::new(0) }
    }

    /// Tenant: wakes the arbiter if it sleeps. Call after the work is visible in the region.
    #[inline]
    pub fn ring(&self) {
        crate::sync::fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) == ASLEEP {
            self.ring_loudly();
        }
    }

    /// Tenant: wakes the arbiter also if it dozes, for work that now waits for it.
    #[inline]
    pub fn ring_for_leave(&self) {
        crate::sync::fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) != AWAKE {
            self.ring_loudly();
        }
    }

    /// Wakes the arbiter whether or not it seems to sleep: for rare events such as a join.
    #[cold]
    pub fn ring_loudly(&self) {
        self.rings.fetch_add(1, Ordering::SeqCst);
        futex_wake(&self.rings);
    }

    /// Arbiter: sleeps until a ring, at most `limit`, unless `work_is_there` finds something after the announcement.
    pub fn sleep(&self, limit: Option<Duration>, work_is_there: impl FnOnce() -> bool) {
        self.rest(ASLEEP, limit, work_is_there);
    }

    /// Arbiter: sleeps for `limit`, unless somebody comes to wait for it.
    pub fn doze(&self, limit: Duration, work_is_there: impl FnOnce() -> bool) {
        self.rest(DOZING, Some(limit), work_is_there);
    }

    fn rest(&self, depth: u32, limit: Option<Duration>, work_is_there: impl FnOnce() -> bool) {
        let heard = self.rings.load(Ordering::SeqCst);
        self.asleep.store(depth, Ordering::SeqCst);
        crate::sync::fence(Ordering::SeqCst);
        if !work_is_there() {
            futex_wait(&self.rings, heard, limit);
        }
        self.asleep.store(AWAKE, Ordering::SeqCst);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;

    #[test]
    fn a_tenants_work_is_never_slept_through() {
        loom::model(|| {
            let shared = Arc::new((Doorbell::new(), AtomicU32::new(0)));
            let tenant = {
                let shared = Arc::clone(&shared);
                loom::thread::spawn(move || {
                    shared.1.store(1, Ordering::Relaxed);
                    shared.0.ring();
                })
            };
            // Under loom a futex wait returns only when the bell was rung, so a lost wake-up is a model that never
            // ends, which loom reports.
            shared.0.sleep(None, || shared.1.load(Ordering::Relaxed) == 1);
            tenant.join().expect("the tenant ends");
        });
    }

    #[test]
    fn who_waits_for_leave_is_never_dozed_over() {
        loom::model(|| {
            let shared = Arc::new((Doorbell::new(), AtomicU32::new(0)));
            let tenant = {
                let shared = Arc::clone(&shared);
                loom::thread::spawn(move || {
                    shared.1.store(1, Ordering::Relaxed);
                    shared.0.ring_for_leave();
                })
            };
            shared.0.doze(Duration::from_secs(1), || shared.1.load(Ordering::Relaxed) == 1);
            tenant.join().expect("the tenant ends");
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_ring_ends_the_sleep() {
        let bell = std::sync::Arc::new(Doorbell::new());
        let sleeper = {
            let bell = bell.clone();
            std::thread::spawn(move || bell.sleep(Some(Duration::from_secs(20)), || false))
        };
        let start = Instant::now();
        while !sleeper.is_finished() && start.elapsed() < Duration::from_secs(10) {
            bell.ring();
            std::thread::yield_now();
        }
        sleeper.join().expect("the sleeper ends");
        assert!(start.elapsed() < Duration::from_secs(10), "the bell was not heard");
    }

    #[test]
    fn work_found_after_the_announcement_is_not_slept_over() {
        let start = Instant::now();
        Doorbell::new().sleep(Some(Duration::from_secs(20)), || true);
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
