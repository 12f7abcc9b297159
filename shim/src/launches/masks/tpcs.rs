//! The TPCs of a GPU, and which of them a tenant is left: the plain arithmetic of masks.
//!
//! A TPC is the smallest part of a GPU that a mask can take away, two SMs on Hopper. Which bits of a mask mean a TPC, and
//! which side of the L2 each is on, differs from card to card and is probed.

use abi::qmd::TpcMask;
use std::num::NonZeroU32;

/// A number of SMs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sms(pub(crate) u32);

/// Some TPCs of a GPU, each a bit at its place in a mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TpcSet(u128);

impl TpcSet {
    pub(crate) const fn of_bits(bits: u128) -> Self {
        TpcSet(bits)
    }

    pub(crate) const fn len(self) -> u32 {
        self.0.count_ones()
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of this set that a launch under the mask may run on.
    pub(crate) const fn left_by(self, mask: TpcMask) -> TpcSet {
        TpcSet(self.0 & mask.left())
    }

    /// The mask that takes every other TPC away, with all bits that mean none.
    pub(crate) const fn confining(self) -> TpcMask {
        TpcMask::all_but(self.0)
    }

    const fn with(self, other: TpcSet) -> TpcSet {
        TpcSet(self.0 | other.0)
    }

    const fn without(self, other: TpcSet) -> TpcSet {
        TpcSet(self.0 & !other.0)
    }

    pub(crate) const fn both(self, other: TpcSet) -> TpcSet {
        TpcSet(self.0 & other.0)
    }

    fn lowest(self) -> Option<TpcSet> {
        (!self.is_empty()).then(|| TpcSet(self.0 & self.0.wrapping_neg()))
    }
}

/// TPC places of a GPC (measured on H200: bits 0 to 8 are one GPC, 9 to 17 the next, to 71).
const TPCS_OF_A_GPC: u32 = 9;
/// GPCs whose bits lie side by side. A bit above them is a TPC of which the GPC is not known.
const GPCS: u32 = 8;
/// Places of a mask.
const PLACES: u32 = 128;

/// The parts of a GPU within which all TPCs are of one GPC, as sets of places: a place of an unknown GPC is alone.
pub(crate) fn gpcs() -> impl Iterator<Item = TpcSet> {
    let known = (0..GPCS).map(|gpc| TpcSet(((1 << TPCS_OF_A_GPC) - 1) << (gpc * TPCS_OF_A_GPC)));
    let alone = (GPCS * TPCS_OF_A_GPC..PLACES).map(|place| TpcSet(1 << place));
    known.chain(alone)
}

/// The end of the order of TPCs from which a tenant is given some, so that two classes have the same ones last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// That of latency-sensitive tenants.
    First,
    /// That of best-effort tenants.
    Last,
}

/// The TPCs of a GPU that answer to their bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tpcs {
    sides: [TpcSet; 2],
    sms_per_tpc: NonZeroU32,
}

impl Tpcs {
    /// The TPCs of each side of the L2, all on the first where the GPU has one side only. `None` where the numbers are not
    /// those of a GPU that can be shared out: two TPCs at least, and none on both sides.
    pub(crate) fn new(sides: [TpcSet; 2], sms_per_tpc: u32) -> Option<Tpcs> {
        let (all, shared) = (sides[0].with(sides[1]), sides[0].both(sides[1]));
        let sms_per_tpc = NonZeroU32::new(sms_per_tpc).filter(|sms| sms.get() <= MOST_SMS_PER_TPC)?;
        (all.len() >= 2 && shared.is_empty()).then_some(Tpcs { sides, sms_per_tpc })
    }

    pub(crate) fn all(&self) -> TpcSet {
        self.sides[0].with(self.sides[1])
    }

    pub(crate) fn sms(&self, of: TpcSet) -> Sms {
        Sms(of.both(self.all()).len() * self.sms_per_tpc.get())
    }

    /// The SMs that a launch under the mask may run on.
    pub(crate) fn sms_left_by(&self, mask: TpcMask) -> Sms {
        self.sms(self.all().left_by(mask))
    }

    /// The mask of best-effort launches that leaves this many SMs, if not a few more, to latency-sensitive tenants, though
    /// never all.
    pub(crate) fn beside(&self, reserve: Sms) -> TpcMask {
        let reserved = reserve.0.div_ceil(self.sms_per_tpc.get()).min(self.all().len() - 1);
        self.all().without(self.taken(reserved, End::First)).confining()
    }

    /// The mask that confines to one side of the L2. `None` where nothing is there.
    pub(crate) fn of_side(&self, side: usize) -> Option<TpcMask> {
        self.sides.get(side).filter(|side| !side.is_empty()).map(|side| side.confining())
    }

    /// The mask that confines to this many SMs, rounded down to whole TPCs but one at least.
    pub(crate) fn at_most(&self, sms: Sms, end: End) -> TpcMask {
        let tpcs = (sms.0 / self.sms_per_tpc.get()).clamp(1, self.all().len());
        self.taken(tpcs, end).confining()
    }

    /// Both masks at once. `None` where together they leave no TPC.
    pub(crate) fn under_both(&self, one: TpcMask, other: TpcMask) -> Option<TpcMask> {
        let left = self.all().left_by(one).left_by(other);
        (!left.is_empty()).then(|| left.confining())
    }

    /// `count` TPCs from one end of an order in which each stretch is spread over sides and GPCs by their sizes.
    fn taken(&self, count: u32, end: End) -> TpcSet {
        let first = match end {
            End::First => count,
            End::Last => self.all().len() - count,
        };
        let mut taken = TpcSet::default();
        for _ in 0..first {
            let side = next_of(self.sides.into_iter(), taken);
            let gpc = next_of(gpcs().map(|gpc| gpc.both(side)), taken);
            taken = taken.with(gpc.without(taken).lowest().unwrap_or_default());
        }
        match end {
            End::First => taken,
            End::Last => self.all().without(taken),
        }
    }
}

/// More SMs a TPC than any GPU has: two everywhere since Pascal.
const MOST_SMS_PER_TPC: u32 = 8;

/// The part whose turn it is to give one more, so that parts give by their sizes at any time (Sainte-Laguë's method: the
/// largest size by the odd number that belongs to what is given). Empty where every part has given all.
fn next_of(parts: impl Iterator<Item = TpcSet>, taken: TpcSet) -> TpcSet {
    let turn = |part: &TpcSet| (part.len(), 2 * part.both(taken).len() + 1);
    let open = parts.filter(|part| !part.without(taken).is_empty());
    open.reduce(|best, part| {
        let ((best_size, best_given), (size, given)) = (turn(&best), turn(&part));
        if size * best_given > best_size * given { part } else { best }
    })
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A GPU like the H200: 66 places answer, two of them above the 72 of its GPCs.
    fn h200() -> Tpcs {
        let side = |gpcs: [u32; 4], above: u128| {
            let whole = gpcs.into_iter().fold(0u128, |all, gpc| all | 0xFF << (gpc * TPCS_OF_A_GPC));
            TpcSet(whole | above << 72)
        };
        Tpcs::new([side([0, 2, 4, 6], 0b01), side([1, 3, 5, 7], 0b10)], 2).expect("a GPU")
    }

    fn reserved(tpcs: &Tpcs, sms: u32) -> TpcSet {
        tpcs.all().without(tpcs.all().left_by(tpcs.beside(Sms(sms))))
    }

    #[test]
    fn a_reserve_is_taken_from_both_sides_and_from_all_gpcs() {
        let tpcs = h200();
        let reserved = reserved(&tpcs, 32);
        assert_eq!(tpcs.sms(reserved), Sms(32));
        assert_eq!(tpcs.sides.map(|side| side.both(reserved).len()), [8, 8]);
        assert!(gpcs().take(8).all(|gpc| gpc.both(reserved).len() == 2));
    }

    #[test]
    fn a_reserve_of_everything_leaves_one_tpc() {
        let tpcs = h200();
        assert_eq!(tpcs.sms_left_by(tpcs.beside(Sms(132))), Sms(2));
        assert_eq!(tpcs.sms_left_by(tpcs.beside(Sms(u32::MAX))), Sms(2));
    }

    #[test]
    fn no_reserve_leaves_everything() {
        assert_eq!(h200().sms_left_by(h200().beside(Sms(0))), Sms(132));
    }

    #[test]
    fn a_side_is_the_tpcs_of_that_side_alone() {
        let tpcs = h200();
        let [one, other] = [0, 1].map(|side| tpcs.of_side(side).expect("both sides are there"));
        assert_eq!(tpcs.all().left_by(one), tpcs.sides[0]);
        assert_eq!(tpcs.all().left_by(other), tpcs.sides[1]);
        assert_eq!(tpcs.under_both(one, other), None, "nothing is on both");
        assert_eq!(tpcs.of_side(2), None);
    }

    #[test]
    fn a_gpu_of_one_side_has_no_other() {
        let tpcs = Tpcs::new([TpcSet(0xFF), TpcSet::default()], 2).expect("a GPU");
        assert!(tpcs.of_side(0).is_some());
        assert_eq!(tpcs.of_side(1), None);
    }

    #[test]
    fn a_number_of_sms_is_rounded_down_to_whole_tpcs_but_never_to_none() {
        let tpcs = h200();
        let left = |sms| tpcs.sms_left_by(tpcs.at_most(Sms(sms), End::Last));
        assert_eq!([0, 1, 2, 3, 44, 500].map(left), [2, 2, 2, 2, 44, 132].map(Sms));
    }

    #[test]
    fn classes_that_are_given_no_more_than_there_is_do_not_meet() {
        let tpcs = h200();
        let [ls, be] = [(44, End::First), (88, End::Last)].map(|(sms, end)| tpcs.at_most(Sms(sms), end));
        assert_eq!(tpcs.under_both(ls, be), None);
        assert_eq!(be, tpcs.beside(Sms(44)), "a best-effort tenant keeps what no reserve takes");
    }

    #[test]
    fn what_is_no_gpu_is_refused() {
        let (some, none) = (TpcSet(0b11), TpcSet::default());
        assert_eq!(Tpcs::new([none, none], 2), None);
        assert_eq!(Tpcs::new([TpcSet(1), none], 2), None, "one TPC cannot be shared out");
        assert_eq!(Tpcs::new([some, some], 2), None, "a TPC is on one side");
        assert_eq!(Tpcs::new([some, none], 0), None);
        assert_eq!(Tpcs::new([some, none], 9), None);
    }

    fn any_gpu() -> impl Strategy<Value = Tpcs> {
        (any::<u128>(), any::<u128>(), 1..=2u32).prop_filter_map("a GPU", |(one, other, sms_per_tpc)| {
            Tpcs::new([TpcSet(one), TpcSet(other & !one)], sms_per_tpc)
        })
    }

    proptest! {
        #[test]
        fn a_reserve_is_what_was_asked_for_and_never_all(tpcs in any_gpu(), sms in 0..300u32) {
            let reserved = reserved(&tpcs, sms);
            let asked = sms.div_ceil(tpcs.sms_per_tpc.get());
            prop_assert_eq!(reserved.len(), asked.min(tpcs.all().len() - 1));
            prop_assert!(tpcs.sms_left_by(tpcs.beside(Sms(sms))) > Sms(0));
        }

        #[test]
        fn a_larger_reserve_has_all_of_a_smaller_one(tpcs in any_gpu(), sms in 0..300u32, more in 0..50u32) {
            let (small, large) = (reserved(&tpcs, sms), reserved(&tpcs, sms + more));
            prop_assert_eq!(small.both(large), small);
        }

        #[test]
        fn each_side_gives_its_part_of_a_reserve(tpcs in any_gpu(), sms in 0..300u32) {
            let reserved = reserved(&tpcs, sms);
            for side in tpcs.sides {
                let part = f64::from(reserved.len()) * f64::from(side.len()) / f64::from(tpcs.all().len());
                prop_assert!((f64::from(side.both(reserved).len()) - part).abs() <= 1.0);
            }
        }

        #[test]
        fn bits_that_mean_no_tpc_are_taken_away(tpcs in any_gpu(), sms in 0..300u32) {
            let dead = TpcSet(!tpcs.all().0);
            for mask in [tpcs.beside(Sms(sms)), tpcs.at_most(Sms(sms), End::First)] {
                prop_assert!(dead.left_by(mask).is_empty());
            }
        }
    }
}
