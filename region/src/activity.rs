//! A tenant's word about whether it has work on the GPU.
//!
//! Best-effort tenants read the words of the latency-sensitive ones of their GPU before each launch, without the arbiter
//! on the way, so a word has cache lines of its own: two, since a processor fetches them in pairs.

use crate::shared::shared;
use crate::sync::{AtomicU32, AtomicU64, Ordering, futex_wait, futex_wake};
use crate::terms::GPUS;
use crate::times::LONGEST_LINGER;
use std::time::Duration;
use units::Nanos;

shared! {
    /// Whether a tenant has work on the GPU. Written by the tenant alone.
    pub struct Activity: 128, align 128 => {
        /// Its streams with work that is not known to be done; a futex.
        0 busy: AtomicU32,
        /// The time in nanoseconds for which it counts as at work after it came to rest.
        4 linger: AtomicU32,
        /// The last time at which it came to rest, in nanoseconds of the monotonic clock.
        8 rested: AtomicU64,
        /// The GPUs to which it gave work, as bits by the region's index.
        16 gpus: AtomicU32,
        20 reserved: AtomicU32,
    }
}

/// The state of a tenant, as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It has work on the GPU. The number is what its futex holds.
    Works(u32),
    /// It has none, and may have more before the time given.
    Lingers(Nanos),
    /// It rests.
    Rests,
}

impl Activity {
    /// Tenant: another of its streams has work.
    #[inline]
    pub fn begin(&self) {
        self.busy.fetch_add(1, Ordering::SeqCst);
    }

    /// Tenant: one of its streams is known to be done at `now`. With the last of them those that wait are woken, if there
    /// are `others` that may wait. True if it was the last.
    #[inline]
    pub fn end(&self, now: Nanos, others: bool) -> bool {
        // First, so that who sees the tenant at rest sees since when.
        self.rested.store(now.get(), Ordering::Relaxed);
        let before = self.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |busy| busy.checked_sub(1));
        let is_last = before == Ok(1);
        if is_last && others {
            futex_wake(&self.busy);
        }
        is_last
    }

    /// Tenant: says for how long after it came to rest it counts as at work.
    pub fn set_linger(&self, linger: Nanos) {
        self.linger.store(linger.min(LONGEST_LINGER).get() as u32, Ordering::Relaxed);
    }

    /// Tenant: notes that it gives work to a GPU of the region.
    #[inline]
    pub fn note_gpu(&self, gpu: usize) {
        let bit = 1 << gpu;
        if self.gpus.load(Ordering::Relaxed) & bit == 0 {
            self.gpus.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether it gave work to a GPU of the region.
    pub fn is_on(&self, gpu: usize) -> bool {
        gpu < GPUS && self.gpus.load(Ordering::Relaxed) >> gpu & 1 == 1
    }

    /// Whether its streams have work.
    #[inline]
    pub fn works(&self) -> bool {
        self.busy.load(Ordering::Acquire) != 0
    }

    /// Its streams with work that is not known to be done.
    pub fn streams(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }

    /// Its last time of coming to rest, in the past of `now` whatever the word says.
    pub fn rested(&self, now: Nanos) -> Nanos {
        Nanos::new(self.rested.load(Ordering::Relaxed)).min(now)
    }

    /// Its state. The clock is read only where it lingers after its work.
    #[inline]
    pub fn doing(&self, now: impl FnOnce() -> Nanos) -> Doing {
        match (self.busy.load(Ordering::Acquire), self.linger.load(Ordering::Relaxed)) {
            (0, 0) => Doing::Rests,
            (0, linger) => {
                let now = now();
                let until = self.rested(now) + Nanos::new(linger.into()).min(LONGEST_LINGER);
                if until > now { Doing::Lingers(until) } else { Doing::Rests }
            }
            (busy, _) => Doing::Works(busy),
        }
    }

    /// Sleeps while its futex holds `seen`, at most `limit`.
    pub fn wait(&self, seen: u32, limit: Duration) {
        futex_wait(&self.busy, seen, Some(limit));
    }

    /// Under the slot's lock: nothing of a former tenant stays.
    pub(crate) fn clear(&self) {
        self.busy.store(0, Ordering::SeqCst);
        self.linger.store(0, Ordering::Relaxed);
        self.rested.store(0, Ordering::Relaxed);
        self.gpus.store(0, Ordering::Relaxed);
        futex_wake(&self.busy);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::shared::Shared;

    const NOW: Nanos = Nanos::from_millis(10);

    #[test]
    fn a_tenant_works_until_the_last_of_its_streams_is_done() {
        let activity = Activity::zeroed();
        assert_eq!(activity.doing(|| NOW), Doing::Rests);
        activity.begin();
        activity.begin();
        assert!(!activity.end(NOW, false));
        assert_eq!(activity.doing(|| NOW), Doing::Works(1));
        assert!(activity.end(NOW, true));
        assert_eq!(activity.doing(|| NOW), Doing::Rests);
        assert!(!activity.end(NOW, true), "an end without a beginning changes nothing");
        assert_eq!(activity.doing(|| NOW), Doing::Rests);
    }

    #[test]
    fn a_tenant_that_lingers_does_so_from_its_rest_on() {
        let activity = Activity::zeroed();
        activity.set_linger(Nanos::from_micros(100));
        activity.begin();
        activity.end(NOW, false);
        let until = NOW + Nanos::from_micros(100);
        assert_eq!(activity.doing(|| NOW + Nanos::from_micros(99)), Doing::Lingers(until));
        assert_eq!(activity.doing(|| until), Doing::Rests);
    }

    #[test]
    fn a_rest_in_the_future_or_an_endless_linger_holds_nobody_for_long() {
        let activity = Activity::zeroed();
        activity.linger.store(u32::MAX, Ordering::Relaxed);
        activity.rested.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(activity.doing(|| NOW), Doing::Lingers(NOW + LONGEST_LINGER));
    }

    #[test]
    fn a_tenant_is_on_the_gpus_that_it_gave_work() {
        let activity = Activity::zeroed();
        activity.note_gpu(3);
        assert!(activity.is_on(3) && !activity.is_on(2) && !activity.is_on(64));
    }
}
