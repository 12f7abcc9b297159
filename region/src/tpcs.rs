//! The TPCs that a launch can be kept from, by their bits in its mask.

use crate::shared::shared;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

/// The most SMs that a TPC may have: two on the GPUs that there are.
const MAX_SMS: u32 = 16;
/// Looks of a reader while the arbiter writes.
const LOOKS: u32 = 8;

/// A GPU's TPCs, by the bits that take them away from a launch, on each side of its L2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tpcs {
    sides: [u128; 2],
    sms_of_each: u32,
}

impl Tpcs {
    /// TPCs by the bits of side 0 and of side 1, each with so many SMs; with no bits of side 1, sides are not known and
    /// side 0 has all. `None` where side 0 has no bit, a bit is on both sides, or the number of SMs makes no sense.
    pub fn new(sides: [u128; 2], sms_of_each: u32) -> Option<Self> {
        let fits = sides[0] != 0 && sides[0] & sides[1] == 0 && (1..=MAX_SMS).contains(&sms_of_each);
        fits.then_some(Tpcs { sides, sms_of_each })
    }

    /// The number of sides: 2, or 1 where a TPC's side is not known.
    pub const fn sides(&self) -> u32 {
        if self.sides[1] == 0 { 1 } else { 2 }
    }

    /// The bits of a side's TPCs; of none for a side that there is not. Sides have the numbers of the colours where
    /// colours are sides.
    pub fn of_side(&self, side: u32) -> u128 {
        self.sides.get(side as usize).copied().unwrap_or(0)
    }

    /// The bits of all TPCs, at least one.
    pub const fn all(&self) -> u128 {
        self.sides[0] | self.sides[1]
    }

    /// The number of TPCs.
    pub const fn count(&self) -> u32 {
        self.all().count_ones()
    }

    /// The number of SMs of each TPC.
    pub const fn sms_of_each(&self) -> u32 {
        self.sms_of_each
    }
}

shared! {
    /// The TPCs of a GPU, as the arbiter publishes them. Written by the arbiter.
    pub(crate) struct PublishedTpcs: 40 => {
        /// Odd while what is below is being changed, 0 while there was never anything.
        0 generation: AtomicU32,
        /// The number of SMs of each TPC; 0 while nothing is published.
        4 sms_of_each: AtomicU32,
        /// The low and the high half of side 0's bits, then of side 1's.
        8 halves: [AtomicU64; 4],
    }
}

impl PublishedTpcs {
    /// Arbiter: publishes TPCs, or takes them back.
    pub(crate) fn publish(&self, tpcs: Option<&Tpcs>) {
        let generation = self.generation.load(Ordering::Relaxed);
        self.generation.store(generation | 1, Ordering::Relaxed);
        fence(Ordering::Release);
        let sides = tpcs.map_or([0; 2], |tpcs| tpcs.sides);
        let halves = sides.into_iter().flat_map(|bits| [bits as u64, (bits >> 64) as u64]);
        for (word, half) in self.halves.iter().zip(halves) {
            word.store(half, Ordering::Relaxed);
        }
        self.sms_of_each.store(tpcs.map_or(0, |tpcs| tpcs.sms_of_each), Ordering::Relaxed);
        // Never back to 0 once something was published: a reader between two publications must see a change.
        self.generation.store((generation | 1).wrapping_add(1), Ordering::Release);
    }

    /// The published TPCs, if there are any and they hold together.
    pub(crate) fn read(&self) -> Option<Tpcs> {
        for _ in 0..LOOKS {
            let before = self.generation.load(Ordering::Acquire);
            if before & 1 == 1 {
                std::hint::spin_loop();
                continue;
            }
            let sms_of_each = self.sms_of_each.load(Ordering::Relaxed);
            let half = |i: usize| u128::from(self.halves[i].load(Ordering::Relaxed));
            let sides = [half(0) | half(1) << 64, half(2) | half(3) << 64];
            fence(Ordering::Acquire);
            if self.generation.load(Ordering::Relaxed) == before {
                return Tpcs::new(sides, sms_of_each);
            }
        }
        None
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::shared::Shared;

    const H200: [u128; 2] = [0x1FF | 1 << 83, 0x1FE << 54];

    #[test]
    fn tpcs_are_read_as_they_were_published_until_they_are_taken_back() {
        let published = PublishedTpcs::zeroed();
        assert_eq!(published.read(), None);
        let tpcs = Tpcs::new(H200, 2).expect("TPCs");
        published.publish(Some(&tpcs));
        assert_eq!(published.read(), Some(tpcs));
        assert_eq!((tpcs.sides(), tpcs.count(), tpcs.sms_of_each()), (2, 18, 2));
        assert_eq!([0, 1, 2].map(|side| tpcs.of_side(side)), [H200[0], H200[1], 0]);
        published.publish(None);
        assert_eq!(published.read(), None);
    }

    #[test]
    fn tpcs_of_unknown_side_are_all_on_side_0() {
        let tpcs = Tpcs::new([0xFF, 0], 2).expect("TPCs");
        assert_eq!((tpcs.sides(), tpcs.of_side(0), tpcs.of_side(1), tpcs.all()), (1, 0xFF, 0, 0xFF));
    }

    #[test]
    fn tpcs_that_make_no_sense_are_refused() {
        for (sides, sms) in [([0, 0], 2), ([0, 1], 2), ([3, 2], 2), ([1, 2], 0), ([1, 2], MAX_SMS + 1)] {
            assert_eq!(Tpcs::new(sides, sms), None, "{sides:?} {sms}");
        }
    }

    #[test]
    fn damage_by_another_process_reads_as_no_tpcs() {
        let published = PublishedTpcs::zeroed();
        let tpcs = Tpcs::new(H200, 2).expect("TPCs");
        let damages: [fn(&PublishedTpcs); 4] = [
            |it| it.sms_of_each.store(u32::MAX, Ordering::Relaxed),
            |it| it.halves[0..2].iter().for_each(|half| half.store(0, Ordering::Relaxed)),
            |it| it.halves[2].store(u64::MAX, Ordering::Relaxed),
            |it| it.generation.store(7, Ordering::Relaxed),
        ];
        for (i, damage) in damages.iter().enumerate() {
            published.publish(Some(&tpcs));
            assert_eq!(published.read(), Some(tpcs));
            damage(&published);
            assert_eq!(published.read(), None, "{i}");
        }
    }
}
