//! The arbiter's orders to a tenant's channel groups: a time slice for each engine, and when they stand still.
//!
//! The arbiter writes an [`Order`] for each GPU and engine, then changes the page's futex. The tenant's helper thread
//! sleeps on that futex, reads what it is to do, and says in its own part ([`crate::Groups`]) what it did. A stop always
//! has an end, so that an arbiter that dies or is stopped holds nobody for longer than it last said.

use crate::aim::Aim;
use crate::claim::Tenure;
use crate::shared::shared;
use crate::sync::{AtomicU32, AtomicU64, Ordering, futex_wait, futex_wake};
use crate::terms::{Engine, GPUS};
use crate::times::LONGEST_STOP;
use std::time::Duration;
use units::Nanos;

shared! {
    /// An order to the groups of one engine. Written by the arbiter.
    pub struct Order: 16 => {
        /// The end of the groups' stop, in nanoseconds of the monotonic clock; 0 or a time that is past lets them run.
        0 stop_until: AtomicU64,
        /// The longest turn on the engine in microseconds; 0 leaves the driver's own.
        8 slice_us: AtomicU32,
        12 reserved: AtomicU32,
    }
}

shared! {
    /// All orders for one tenant. A page of its own, which the arbiter alone writes.
    pub struct Orders: 4096, align 4096 => {
        /// Counts changes; a futex.
        0 changes: AtomicU32,
        4 reserved: AtomicU32,
        /// The tenure that the arbiter has taken in, as [`Tenure`] has it; 0 for none.
        8 noticed: AtomicU64,
        /// By GPU and [`Engine`].
        16 orders: [[Order; 2]; GPUS],
        /// Its target, as the arbiter finds it.
        272 pub aim: Aim,
    }
}

impl Order {
    /// The slice in microseconds, unless it is the driver's own.
    pub fn slice_us(&self) -> Option<u32> {
        Some(self.slice_us.load(Ordering::Relaxed)).filter(|&micros| micros != 0)
    }

    /// The end of the groups' stop, if they are to stand still at `now`.
    pub fn stop_until(&self, now: Nanos) -> Option<Nanos> {
        let until = Nanos::new(self.stop_until.load(Ordering::Relaxed)).min(now + LONGEST_STOP);
        Some(until).filter(|&until| until > now)
    }

    /// Arbiter: writes the order. True if it says something else than before; a later end of the same stop does not
    /// count, since a tenant that sleeps until the former end looks again then.
    fn set(&self, slice_us: Option<u32>, stop_until: Option<Nanos>) -> bool {
        let (slice, until) = (slice_us.unwrap_or(0), stop_until.map_or(0, Nanos::get));
        let changed = self.slice_us.swap(slice, Ordering::Relaxed) != slice;
        let before = self.stop_until.swap(until, Ordering::Relaxed);
        changed | ((before == 0) != (until == 0))
    }
}

impl Orders {
    /// The order for an engine of a GPU.
    pub fn of(&self, gpu: usize, engine: Engine) -> &Order {
        &self.orders[gpu][engine as usize]
    }

    /// Arbiter: gives an order. Wakes the tenant if it has to do something that it would not do by itself.
    pub fn give(&self, gpu: usize, engine: Engine, slice_us: Option<u32>, stop_until: Option<Nanos>) {
        if self.of(gpu, engine).set(slice_us, stop_until) {
            self.changes.fetch_add(1, Ordering::Release);
            futex_wake(&self.changes);
        }
    }

    /// Arbiter: takes all orders back, and takes note of nobody.
    pub(crate) fn clear(&self) {
        for order in self.orders.iter().flatten() {
            order.set(None, None);
        }
        self.aim.clear();
        self.noticed.store(0, Ordering::Relaxed);
        self.changes.fetch_add(1, Ordering::Release);
        futex_wake(&self.changes);
    }

    /// Arbiter: says that it has taken the tenant in, after all that a newcomer is to find was published.
    pub fn notice(&self, tenure: Tenure) {
        if self.noticed.swap(tenure.code(), Ordering::Release) != tenure.code() {
            self.changes.fetch_add(1, Ordering::Release);
            futex_wake(&self.changes);
        }
    }

    /// Tenant: whether the arbiter has taken it in.
    pub fn has_noticed(&self, tenure: Tenure) -> bool {
        self.noticed.load(Ordering::Acquire) == tenure.code()
    }

    /// Tenant: the number of changes, to be read before the orders.
    pub fn changes(&self) -> u32 {
        self.changes.load(Ordering::Acquire)
    }

    /// Tenant: sleeps until an order changes that was not yet among `seen` changes, at most `limit`.
    pub fn wait(&self, seen: u32, limit: Duration) {
        futex_wait(&self.changes, seen, Some(limit));
    }

    /// Tenant: ends its own helper's sleep.
    pub fn wake(&self) {
        futex_wake(&self.changes);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::shared::Shared;

    #[test]
    fn an_order_wakes_only_where_the_tenant_has_something_to_do() {
        let orders = Orders::zeroed();
        let give = |slice, until: Option<u64>| {
            let before = orders.changes();
            orders.give(1, Engine::Copy, slice, until.map(Nanos::from_millis));
            orders.changes() != before
        };
        assert!(give(Some(1), None), "another slice");
        assert!(!give(Some(1), None), "the same again");
        assert!(give(Some(1), Some(50)), "a stop");
        assert!(!give(Some(1), Some(80)), "a later end of it");
        assert!(give(Some(1), None), "its end");
        assert!(give(None, None), "the driver's own slice");
    }

    #[test]
    fn a_stop_ends_by_itself_however_far_off_its_end_is_said_to_be() {
        let orders = Orders::zeroed();
        let order = orders.of(0, Engine::Graphics);
        let at = Nanos::from_millis;
        orders.give(0, Engine::Graphics, None, Some(at(100)));
        assert_eq!((order.stop_until(at(60)), order.stop_until(at(100))), (Some(at(100)), None));
        orders.give(0, Engine::Graphics, None, Some(Nanos::new(u64::MAX)));
        assert_eq!(order.stop_until(at(60)), Some(at(1060)));
    }
}
