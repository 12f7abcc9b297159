//! What moved over one direction of a bus: the total, how busy it is, and whether more than one tenant uses it.

use region::{Bus, Class, Regime, SLOTS};
use std::sync::atomic::Ordering;
use units::{Bytes, Nanos};

/// A tenant uses a direction of the bus for this long after it last moved or wanted something there. Latency-sensitive
/// ones longer: a request may come now and then, and its copy is to find room at once.
const BE_MEMORY: Nanos = Nanos::from_millis(100);
pub(crate) const LS_MEMORY: Nanos = Nanos::from_millis(2000);

/// The most that one tenant is believed to have moved between two looks. Tenants write their counters themselves; a
/// wild one must not spoil the total for good.
const BELIEVABLE: Bytes = Bytes::gib(1024);

const BUCKETS: usize = 10;
const BUCKET: Nanos = Nanos::from_millis(100);

/// The traffic of one direction of a bus.
pub(crate) struct Meter {
    /// By slot: the tenant's counter as last seen.
    seen: [u64; SLOTS],
    /// By slot: when the tenant last used this direction, and as what.
    used: [Option<(Nanos, Class)>; SLOTS],
    total: Bytes,
    /// The bytes of the last second, in tenths.
    buckets: [Bytes; BUCKETS],
    /// The number of the newest bucket since the clock's zero.
    newest: u64,
    busiest: Bytes,
}

impl Meter {
    /// A meter that counts from what the tenants' counters say now.
    pub(crate) fn new(seen: [u64; SLOTS]) -> Self {
        Meter {
            seen,
            used: [None; SLOTS],
            total: Bytes::ZERO,
            buckets: [Bytes::ZERO; BUCKETS],
            newest: 0,
            busiest: Bytes::ZERO,
        }
    }

    /// Takes in the counter of the tenant in `slot`, and whether it wants something now. True if it moved bytes.
    pub(crate) fn look(&mut self, slot: usize, class: Option<Class>, counter: u64, wants: bool, now: Nanos) -> bool {
        // A counter that went back is one that was written anew; what it shows is no movement.
        let moved = Bytes::new(counter.saturating_sub(self.seen[slot])).min(BELIEVABLE);
        self.seen[slot] = counter;
        self.advance(now);
        self.total = self.total.saturating_add(moved);
        let bucket = &mut self.buckets[(self.newest % BUCKETS as u64) as usize];
        *bucket = bucket.saturating_add(moved);
        if let Some(class) = class
            && (moved > Bytes::ZERO || wants)
        {
            self.used[slot] = Some((now, class));
        }
        moved > Bytes::ZERO
    }

    /// Forgets the tenant in `slot`; what it moved stays in the total.
    pub(crate) fn forget(&mut self, slot: usize) {
        (self.seen[slot], self.used[slot]) = (0, None);
    }

    /// When anyone last used this direction.
    pub(crate) fn last_used(&self) -> Option<Nanos> {
        self.used.iter().flatten().map(|&(used, _)| used).max()
    }

    /// How copies go here, by who uses the direction.
    pub(crate) fn regime(&self, now: Nanos) -> Regime {
        Regime::of(self.users(Class::Ls, now), self.users(Class::Be, now))
    }

    /// Whether anyone takes turns or leaves room here: a best-effort tenant that is not alone.
    pub(crate) fn is_gated(&self, now: Nanos) -> bool {
        let best_effort = self.users(Class::Be, now);
        best_effort > 0 && best_effort + self.users(Class::Ls, now) > 1
    }

    fn users(&self, class: Class, now: Nanos) -> usize {
        let memory = match class {
            Class::Ls => LS_MEMORY,
            Class::Be => BE_MEMORY,
        };
        let is_one = |&&(used, as_what): &&(Nanos, Class)| as_what == class && now.saturating_sub(used) < memory;
        self.used.iter().flatten().filter(is_one).count()
    }

    /// Writes what there is to say into the region. True while the direction shows as busy.
    pub(crate) fn publish(&mut self, bus: &Bus, now: Nanos) -> bool {
        self.advance(now);
        let second: Bytes = self.buckets.iter().copied().sum();
        self.busiest = self.busiest.max(second);
        let busy = u128::from(second.get()) * 1000 / u128::from(self.busiest.get().max(1));
        bus.set_busy(busy as u32);
        if bus.bytes.load(Ordering::Relaxed) != self.total.get() {
            bus.bytes.store(self.total.get(), Ordering::Relaxed);
        }
        busy > 0
    }

    fn advance(&mut self, now: Nanos) {
        let newest = now.get() / BUCKET.get();
        for passed in 1..=newest.saturating_sub(self.newest).min(BUCKETS as u64) {
            self.buckets[((self.newest + passed) % BUCKETS as u64) as usize] = Bytes::ZERO;
        }
        self.newest = self.newest.max(newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BE: Option<Class> = Some(Class::Be);

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(10_000 + ms)
    }

    #[test]
    fn the_regime_follows_who_used_the_bus_of_late() {
        let mut meter = Meter::new([0; SLOTS]);
        meter.look(3, BE, 10, false, at(0));
        assert_eq!(meter.regime(at(0)), Regime::Free);
        meter.look(5, BE, 0, true, at(50));
        assert_eq!(meter.regime(at(99)), Regime::Share);
        assert_eq!(meter.regime(at(100)), Regime::Free);
        meter.look(7, Some(Class::Ls), 10, false, at(100));
        assert_eq!(meter.regime(at(149)), Regime::Yield);
        meter.look(3, BE, 20, false, at(1000));
        assert_eq!(meter.regime(at(1099)), Regime::Yield, "a latency-sensitive tenant is remembered for longer");
        meter.look(3, BE, 30, false, at(2150));
        assert_eq!(meter.regime(at(2150)), Regime::Free);
    }

    /// Or the first copy of whoever comes goes whole, until the arbiter has seen it.
    #[test]
    fn room_is_kept_for_a_latency_sensitive_tenant_that_is_alone() {
        let mut meter = Meter::new([0; SLOTS]);
        meter.look(7, Some(Class::Ls), 10, false, at(0));
        assert_eq!((meter.regime(at(1999)), meter.is_gated(at(1999))), (Regime::Yield, false));
        meter.look(3, BE, 10, false, at(1999));
        assert_eq!((meter.regime(at(1999)), meter.is_gated(at(1999))), (Regime::Yield, true));
        assert_eq!((meter.regime(at(2000)), meter.is_gated(at(2000))), (Regime::Free, false));
    }

    #[test]
    fn the_total_keeps_what_dead_tenants_moved_and_believes_no_wild_counter() {
        let (mut meter, bus) = (Meter::new([7; SLOTS]), Bus::unused());
        assert!(meter.look(0, BE, 107, false, at(0)));
        meter.forget(0);
        meter.look(0, BE, 20, false, at(1));
        meter.look(0, BE, 3, false, at(2));
        meter.publish(&bus, at(2));
        assert_eq!(bus.bytes.load(Ordering::Relaxed), 120);
        meter.look(0, BE, u64::MAX, false, at(3));
        meter.publish(&bus, at(3));
        assert_eq!(bus.bytes.load(Ordering::Relaxed), 120 + BELIEVABLE.get());
    }

    #[test]
    fn the_busy_ratio_is_of_the_busiest_second_and_fades() {
        let (mut meter, bus) = (Meter::new([0; SLOTS]), Bus::unused());
        let busy = |meter: &mut Meter, ms| {
            meter.publish(&bus, at(ms));
            bus.busy_permille.load(Ordering::Relaxed)
        };
        meter.look(0, BE, 1000, false, at(0));
        assert_eq!(busy(&mut meter, 900), 1000);
        assert_eq!(busy(&mut meter, 1000), 0);
        meter.look(0, BE, 1250, false, at(2000));
        assert_eq!(busy(&mut meter, 2000), 250);
        assert_eq!(busy(&mut meter, 60_000), 0);
    }
}
