//! Waking a sleeping arbiter, and sleeping without missing a ring.

use crate::shared::shared;
use crate::sync::{AtomicU32, Ordering, futex_wait, futex_wake};
use std::time::Duration;

shared! {
    /// A bell that costs a tenant that submits work one load.
    ///
    /// A process that makes something visible that the arbiter must not miss rings loudly; the arbiter reads the count of
    /// rings, looks once more for such things, then sleeps until the count changes. Work alone nudges it, which may be
    /// missed: the arbiter looks again by itself. Two cache lines of its own, so that no other write makes that load slow.
    pub struct Doorbell: 128, align 128 => {
        /// Counts rings. Written by every tenant, by addition only.
        0 rings: AtomicU32,
        /// 1 while the arbiter sleeps, and is to be nudged. Written by the arbiter.
        4 asleep: AtomicU32,
    }
}

impl Doorbell {
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Doorbell { rings: AtomicU32::new(0), asleep: AtomicU32::new(0) }
    }

    /// Tenant: wakes the arbiter if it seems to sleep, for work that it may also find a second later by itself. One load,
    /// no fence, so it may miss an arbiter that is just going to sleep.
    #[inline]
    pub fn nudge(&self) {
        if self.asleep.load(Ordering::Relaxed) != 0 {
            self.ring_loudly();
        }
    }

    /// Wakes the arbiter whether or not it seems to sleep: for rare events such as a join.
    #[cold]
    pub fn ring_loudly(&self) {
        self.rings.fetch_add(1, Ordering::SeqCst);
        futex_wake(&self.rings);
    }

    /// Arbiter: rests for `limit`, unless somebody rings loudly or `news_are_there`; work alone does not wake it.
    pub fn nap(&self, limit: Duration, news_are_there: impl FnOnce() -> bool) {
        self.wait(Some(limit), news_are_there);
    }

    /// Arbiter: sleeps until a ring or a nudge, at most `limit`, unless `news_are_there` already.
    pub fn sleep(&self, limit: Option<Duration>, news_are_there: impl FnOnce() -> bool) {
        self.asleep.store(1, Ordering::Relaxed);
        self.wait(limit, news_are_there);
        self.asleep.store(0, Ordering::Relaxed);
    }

    fn wait(&self, limit: Option<Duration>, news_are_there: impl FnOnce() -> bool) {
        let heard = self.rings.load(Ordering::SeqCst);
        if !news_are_there() {
            futex_wait(&self.rings, heard, limit);
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;

    #[test]
    fn what_is_rung_for_is_never_slept_through() {
        loom::model(|| {
            let shared = Arc::new((Doorbell::new(), AtomicU32::new(0)));
            let tenant = {
                let shared = Arc::clone(&shared);
                loom::thread::spawn(move || {
                    shared.1.store(1, Ordering::Relaxed);
                    shared.0.ring_loudly();
                })
            };
            // Under loom a futex wait returns only when the bell was rung, so a lost wake-up is a model that never
            // ends, which loom reports.
            shared.0.sleep(None, || shared.1.load(Ordering::Relaxed) == 1);
            tenant.join().expect("the tenant ends");
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::shared::Shared;
    use std::time::Instant;

    #[test]
    fn a_ring_ends_the_sleep() {
        let bell = std::sync::Arc::new(Doorbell::zeroed());
        let sleeper = {
            let bell = bell.clone();
            std::thread::spawn(move || bell.sleep(Some(Duration::from_secs(20)), || false))
        };
        let start = Instant::now();
        while !sleeper.is_finished() && start.elapsed() < Duration::from_secs(10) {
            bell.nudge();
            std::thread::yield_now();
        }
        sleeper.join().expect("the sleeper ends");
        assert!(start.elapsed() < Duration::from_secs(10), "the bell was not heard");
    }

    #[test]
    fn work_found_after_the_announcement_is_not_slept_over() {
        let start = Instant::now();
        Doorbell::zeroed().sleep(Some(Duration::from_secs(20)), || true);
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
