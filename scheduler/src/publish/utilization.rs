//! Traffic over one direction of a bus: the total, and how busy it is.

use crate::times::UTILIZATION_PART as PART;
use region::{Bus, SLOTS};
use units::{Bytes, Nanos};

/// The most that one tenant is believed to have moved between two looks. Tenants write their counters themselves; a
/// wild one must not spoil the total for good.
const BELIEVABLE: Bytes = Bytes::gib(1024);

/// The parts of a second.
const PARTS: usize = 10;

/// The traffic of one direction of a bus.
pub(crate) struct Utilization {
    /// By slot: the tenant's counter as last seen.
    seen: [u64; SLOTS],
    total: Bytes,
    /// The bytes of the last second, in tenths.
    parts: [Bytes; PARTS],
    /// The number of the newest part since the clock's zero.
    newest: u64,
    busiest: Bytes,
}

impl Utilization {
    /// One that counts from what the tenants' counters say now.
    pub(crate) fn new(seen: [u64; SLOTS]) -> Self {
        Utilization { seen, total: Bytes::ZERO, parts: [Bytes::ZERO; PARTS], newest: 0, busiest: Bytes::ZERO }
    }

    /// Takes in the counter of the tenant in `slot`.
    pub(crate) fn look(&mut self, slot: usize, counter: u64, now: Nanos) {
        // A counter that went back is one that was written anew; what it shows is no movement.
        let moved = Bytes::new(counter.saturating_sub(self.seen[slot])).min(BELIEVABLE);
        self.seen[slot] = counter;
        self.advance(now);
        self.total = self.total.saturating_add(moved);
        let part = &mut self.parts[(self.newest % PARTS as u64) as usize];
        *part = part.saturating_add(moved);
    }

    /// Forgets the tenant in `slot`; what it moved stays in the total.
    pub(crate) fn forget(&mut self, slot: usize) {
        self.seen[slot] = 0;
    }

    /// Writes what there is to say into the region. True while the direction shows as busy.
    pub(crate) fn publish(&mut self, bus: &Bus, now: Nanos) -> bool {
        self.advance(now);
        let second: Bytes = self.parts.iter().copied().sum();
        self.busiest = self.busiest.max(second);
        let busy = u128::from(second.get()) * 1000 / u128::from(self.busiest.get().max(1));
        bus.publish(self.total, busy as u32);
        busy > 0
    }

    fn advance(&mut self, now: Nanos) {
        let newest = now.get() / PART.get();
        for passed in 1..=newest.saturating_sub(self.newest).min(PARTS as u64) {
            self.parts[((self.newest + passed) % PARTS as u64) as usize] = Bytes::ZERO;
        }
        self.newest = self.newest.max(newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use region::Shared;

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(10_000 + ms)
    }

    #[test]
    fn the_total_keeps_what_dead_tenants_moved_and_believes_no_wild_counter() {
        let (mut utilization, bus) = (Utilization::new([7; SLOTS]), Bus::zeroed());
        utilization.look(0, 107, at(0));
        utilization.forget(0);
        utilization.look(0, 20, at(1));
        utilization.look(0, 3, at(2));
        utilization.publish(&bus, at(2));
        assert_eq!(bus.bytes(), Bytes::new(120));
        utilization.look(0, u64::MAX, at(3));
        utilization.publish(&bus, at(3));
        assert_eq!(bus.bytes(), Bytes::new(120) + BELIEVABLE);
    }

    #[test]
    fn the_busy_ratio_is_of_the_busiest_second_and_fades() {
        let (mut utilization, bus) = (Utilization::new([0; SLOTS]), Bus::zeroed());
        let busy = |utilization: &mut Utilization, ms| {
            utilization.publish(&bus, at(ms));
            bus.busy_ratio()
        };
        utilization.look(0, 1000, at(0));
        assert_eq!(busy(&mut utilization, 900), 1.0);
        assert_eq!(busy(&mut utilization, 1000), 0.0);
        utilization.look(0, 1250, at(2000));
        assert_eq!(busy(&mut utilization, 2000), 0.25);
        assert_eq!(busy(&mut utilization, 60_000), 0.0);
    }
}
