//! Traffic over one direction of a bus: the total, and how busy it is.

use region::{Bus, SLOTS};
use units::{Bytes, Nanos};

/// The most that one tenant is believed to have moved between two looks. Tenants write their counters themselves; a
/// wild one must not spoil the total for good.
const BELIEVABLE: Bytes = Bytes::gib(1024);

const BUCKETS: usize = 10;
const BUCKET: Nanos = Nanos::from_millis(100);

/// The traffic of one direction of a bus.
pub(crate) struct Meter {
    /// By slot: the tenant's counter as last seen.
    seen: [u64; SLOTS],
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
        Meter { seen, total: Bytes::ZERO, buckets: [Bytes::ZERO; BUCKETS], newest: 0, busiest: Bytes::ZERO }
    }

    /// Takes in the counter of the tenant in `slot`.
    pub(crate) fn look(&mut self, slot: usize, counter: u64, now: Nanos) {
        // A counter that went back is one that was written anew; what it shows is no movement.
        let moved = Bytes::new(counter.saturating_sub(self.seen[slot])).min(BELIEVABLE);
        self.seen[slot] = counter;
        self.advance(now);
        self.total = self.total.saturating_add(moved);
        let bucket = &mut self.buckets[(self.newest % BUCKETS as u64) as usize];
        *bucket = bucket.saturating_add(moved);
    }

    /// Forgets the tenant in `slot`; what it moved stays in the total.
    pub(crate) fn forget(&mut self, slot: usize) {
        self.seen[slot] = 0;
    }

    /// Writes what there is to say into the region. True while the direction shows as busy.
    pub(crate) fn publish(&mut self, bus: &Bus, now: Nanos) -> bool {
        self.advance(now);
        let second: Bytes = self.buckets.iter().copied().sum();
        self.busiest = self.busiest.max(second);
        let busy = u128::from(second.get()) * 1000 / u128::from(self.busiest.get().max(1));
        bus.publish(self.total, busy as u32);
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

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(10_000 + ms)
    }

    #[test]
    fn the_total_keeps_what_dead_tenants_moved_and_believes_no_wild_counter() {
        let (mut meter, bus) = (Meter::new([7; SLOTS]), Bus::unused());
        meter.look(0, 107, at(0));
        meter.forget(0);
        meter.look(0, 20, at(1));
        meter.look(0, 3, at(2));
        meter.publish(&bus, at(2));
        assert_eq!(bus.bytes(), Bytes::new(120));
        meter.look(0, u64::MAX, at(3));
        meter.publish(&bus, at(3));
        assert_eq!(bus.bytes(), Bytes::new(120) + BELIEVABLE);
    }

    #[test]
    fn the_busy_ratio_is_of_the_busiest_second_and_fades() {
        let (mut meter, bus) = (Meter::new([0; SLOTS]), Bus::unused());
        let busy = |meter: &mut Meter, ms| {
            meter.publish(&bus, at(ms));
            bus.busy_ratio()
        };
        meter.look(0, 1000, at(0));
        assert_eq!(busy(&mut meter, 900), 1.0);
        assert_eq!(busy(&mut meter, 1000), 0.0);
        meter.look(0, 1250, at(2000));
        assert_eq!(busy(&mut meter, 2000), 0.25);
        assert_eq!(busy(&mut meter, 60_000), 0.0);
    }
}
