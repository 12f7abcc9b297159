//! The arbiter's orders to a tenant's channel groups: a time slice for each engine, and when they stand still.
//!
//! The arbiter writes an [`Order`] for each GPU and engine, then changes the page's futex. The tenant's helper thread
//! sleeps on that futex, reads what it is to do, and says in its own part ([`Groups`]) what it did. A stop always has an
//! end, so that an arbiter that dies or is stopped holds nobody for longer than it last said.

use crate::layout::GPUS;
use crate::sync::{AtomicU32, AtomicU64, Ordering, futex_wait, futex_wake};
use std::time::Duration;
use units::Nanos;

/// An engine that a tenant's channel groups feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Engine {
    /// Runs kernels.
    Graphics = 0,
    /// Moves data between host and device, or between devices.
    Copy = 1,
}

impl Engine {
    /// Both.
    pub const ALL: [Engine; 2] = [Engine::Graphics, Engine::Copy];

    /// `gr` or `copy`.
    pub const fn name(self) -> &'static str {
        match self {
            Engine::Graphics => "gr",
            Engine::Copy => "copy",
        }
    }
}

/// No stop is taken to last longer than this from when it is read, whatever the region says.
const LONGEST_STOP: Nanos = Nanos::from_millis(1000);

/// An order to the groups of one engine. Written by the arbiter.
#[repr(C)]
pub struct Order {
    /// Until when the groups stand still, in nanoseconds of the monotonic clock; 0 or a time that is past lets them run.
    stop_until: AtomicU64,
    /// The longest turn on the engine in microseconds; 0 leaves the driver's own.
    slice_us: AtomicU32,
    reserved: AtomicU32,
}

impl Order {
    /// The slice in microseconds, unless it is the driver's own.
    pub fn slice_us(&self) -> Option<u32> {
        Some(self.slice_us.load(Ordering::Relaxed)).filter(|&micros| micros != 0)
    }

    /// Until when the groups are to stand still, if they are at `now`.
    pub fn stop_until(&self, now: Nanos) -> Option<Nanos> {
        let until = Nanos::new(self.stop_until.load(Ordering::Relaxed)).min(now + LONGEST_STOP);
        Some(until).filter(|&until| until > now)
    }

    /// Arbiter: writes the order. True if it says something else than before; a later end of the same stop does not
    /// count, since whoever sleeps until the former end looks again then.
    fn set(&self, slice_us: Option<u32>, stop_until: Option<Nanos>) -> bool {
        let (slice, until) = (slice_us.unwrap_or(0), stop_until.map_or(0, Nanos::get));
        let changed = self.slice_us.swap(slice, Ordering::Relaxed) != slice;
        let before = self.stop_until.swap(until, Ordering::Relaxed);
        changed | ((before == 0) != (until == 0))
    }
}

/// All orders for one tenant. A page of its own, which the arbiter alone writes.
#[repr(C, align(4096))]
pub struct Orders {
    /// Counts changes; a futex.
    changes: AtomicU32,
    reserved: AtomicU32,
    orders: [[Order; 2]; GPUS],
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Order>() == 16 && size_of::<Orders>() == 4096);
    assert!(core::mem::offset_of!(Orders, orders) == 8);
};

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

    /// Arbiter: takes all orders back.
    pub(crate) fn clear(&self) {
        for order in self.orders.iter().flatten() {
            order.set(None, None);
        }
        self.changes.fetch_add(1, Ordering::Release);
        futex_wake(&self.changes);
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

/// The means that a tenant's library has over its own channel groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// There are no groups, or they were not tried yet.
    Unknown = 0,
    /// Nothing: the kernel refuses time slices.
    Nothing = 1,
    /// It can set their slices.
    Slices = 2,
    /// It can set their slices, and stop them.
    SlicesAndStops = 3,
    /// It holds submissions back on the host.
    Gate = 4,
}

impl Means {
    /// The word for it, in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Means::Unknown => "unknown",
            Means::Nothing => "nothing",
            Means::Slices => "slices",
            Means::SlicesAndStops => "slices_and_stops",
            Means::Gate => "gate",
        }
    }
}

/// A tenant's word on its groups on one engine of one GPU. Written by the tenant.
#[repr(C)]
pub struct Groups {
    /// Their number.
    count: AtomicU32,
    /// [`Means`].
    means: AtomicU32,
    /// The slice that was last read back from a group, in microseconds; 0 for none.
    slice_us: AtomicU32,
    /// The number of times that a slice was set.
    calls: AtomicU32,
    /// For how long they stood still by order, in nanoseconds.
    held_nanos: AtomicU64,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Groups>() == 24);

impl Groups {
    /// Tenant: says how many groups there are and what can be done to them.
    pub fn describe(&self, count: usize, means: Means) {
        self.means.store(means as u32, Ordering::Relaxed);
        self.count.store(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Release);
    }

    /// Tenant: notes a slice that was set and read back.
    pub fn note_slice(&self, micros: u32) {
        self.slice_us.store(micros, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Tenant: adds time that the groups stood still.
    pub fn add_held(&self, time: Nanos) {
        self.held_nanos.fetch_add(time.get(), Ordering::Relaxed);
    }

    /// The number of groups.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// The means over them; a number that means nothing is as good as nothing.
    pub fn means(&self) -> Means {
        let code = self.means.load(Ordering::Relaxed);
        let all = [Means::Unknown, Means::Nothing, Means::Slices, Means::SlicesAndStops, Means::Gate];
        all.into_iter().find(|&means| means as u32 == code).unwrap_or(Means::Nothing)
    }

    /// The slice that they have, in microseconds, once one was set.
    pub fn slice_us(&self) -> Option<u32> {
        Some(self.slice_us.load(Ordering::Relaxed)).filter(|&micros| micros != 0)
    }

    /// The number of times that a slice was set.
    pub fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// For how long they stood still by order.
    pub fn held(&self) -> Nanos {
        Nanos::new(self.held_nanos.load(Ordering::Relaxed))
    }

    pub(crate) fn clear(&self) {
        self.describe(0, Means::Unknown);
        self.slice_us.store(0, Ordering::Relaxed);
        self.calls.store(0, Ordering::Relaxed);
        self.held_nanos.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn orders() -> Box<Orders> {
        // SAFETY: all fields are atomic integers, for which zero is a value.
        Box::new(unsafe { std::mem::zeroed() })
    }

    #[test]
    fn an_order_wakes_only_where_the_tenant_has_something_to_do() {
        let orders = orders();
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
        let orders = orders();
        let order = orders.of(0, Engine::Graphics);
        let at = Nanos::from_millis;
        orders.give(0, Engine::Graphics, None, Some(at(100)));
        assert_eq!((order.stop_until(at(60)), order.stop_until(at(100))), (Some(at(100)), None));
        orders.give(0, Engine::Graphics, None, Some(Nanos::new(u64::MAX)));
        assert_eq!(order.stop_until(at(60)), Some(at(1060)));
    }

    #[test]
    fn foreign_numbers_mean_nothing_can_be_done() {
        // SAFETY: all fields are atomic integers, for which zero is a value.
        let groups: Groups = unsafe { std::mem::zeroed() };
        assert_eq!(groups.means(), Means::Unknown);
        groups.means.store(77, Ordering::Relaxed);
        assert_eq!(groups.means(), Means::Nothing);
        groups.describe(3, Means::SlicesAndStops);
        assert_eq!((groups.count(), groups.means()), (3, Means::SlicesAndStops));
    }
}
