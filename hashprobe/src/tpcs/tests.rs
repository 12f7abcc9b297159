//! The search on a made-up chip whose bits and SMs the test states.

use super::*;

/// A chip of pairs of SMs, and what its masks do.
struct Chip {
    /// The bit and the SMs of each TPC.
    tpcs: Vec<(u32, Vec<u32>)>,
    /// SMs that no bit keeps a launch from.
    always: Vec<u32>,
    /// Each launch passes one SM over, another one each time.
    forgetful: bool,
    /// From so many launches on masks have no effect.
    fails_after: usize,
    launches: usize,
    asked: Vec<TpcBits>,
}

impl Chip {
    /// A chip with gaps between the bits of its twelve TPCs, numbered so that no order of SMs follows the bits'.
    fn new() -> Chip {
        let tpcs = (0..12).map(|i| (i * 7 % 12 * 9 + i % 2, vec![2 * i, 2 * i + 1])).collect();
        Chip { tpcs, always: Vec::new(), forgetful: false, fails_after: usize::MAX, launches: 0, asked: Vec::new() }
    }

    /// TPCs take turns, so every other pair of SMs is on side 1.
    fn sides(&self) -> Vec<Option<u32>> {
        (0..24).map(|sm| Some(sm / 2 % 2)).collect()
    }

    fn bits_of_side(&self, side: u32) -> TpcBits {
        let of = self.tpcs.iter().filter(|(_, sms)| sms[0] / 2 % 2 == side);
        of.map(|&(bit, _)| TpcBits::one(bit)).collect()
    }

    fn find(&mut self, sms: u32, sides: &[Option<u32>]) -> Result<Tpcs, NoTpcs> {
        find(self, sms, sides, &mut Rng::with_seed(3)).unwrap()
    }

    #[track_caller]
    fn refusal(&mut self, sms: u32) -> NoTpcs {
        let sides = self.sides();
        self.find(sms, &sides).unwrap_err()
    }
}

impl Masked for Chip {
    fn ran_without(&mut self, taken: TpcBits) -> Result<Vec<u32>, BenchError> {
        self.launches += 1;
        self.asked.push(taken);
        let works = self.launches <= self.fails_after;
        let left = self.tpcs.iter().filter(|&&(bit, _)| !works || taken.0 >> bit & 1 == 0);
        let mut sms: Vec<u32> = left.flat_map(|(_, sms)| sms.clone()).chain(self.always.clone()).collect();
        assert!(!sms.is_empty(), "a launch without any SM never ends");
        if self.forgetful {
            sms.remove(self.launches % sms.len());
        }
        Ok(sms)
    }
}

#[test]
fn each_bit_that_takes_sms_away_is_a_tpc_of_the_side_of_its_sms() {
    let mut chip = Chip::new();
    let sides = chip.sides();
    let tpcs = chip.find(24, &sides).unwrap();
    assert_eq!(tpcs, Tpcs { sides: vec![chip.bits_of_side(0), chip.bits_of_side(1)], sms_of_each: 2 });
    assert_eq!((tpcs.all().count(), tpcs.sms(), tpcs.implausible(24)), (12, 24, None));
}

#[test]
fn an_sm_that_a_launch_passes_over_by_chance_is_not_taken_for_one_that_a_bit_takes_away() {
    let mut chip = Chip { forgetful: true, ..Chip::new() };
    let sides = chip.sides();
    assert_eq!(chip.find(24, &sides).unwrap().all().count(), 12);
}

#[test]
fn only_single_bits_are_taken_away_before_it_is_known_what_they_mean() {
    let mut chip = Chip::new();
    let sides = chip.sides();
    chip.find(24, &sides).unwrap();
    let all = chip.bits_of_side(0).union(chip.bits_of_side(1));
    let first_union = chip.asked.iter().position(|taken| taken.count() > 1).unwrap();
    let tried: TpcBits = chip.asked[..first_union].iter().copied().collect();
    assert_eq!(tried, TpcBits(u128::MAX), "every place has been tried by then");
    let unions: Vec<TpcBits> = chip.asked[first_union..].iter().map(|taken| taken.others()).collect();
    assert!(unions.iter().all(|left| left.count() == 6 && left.union(all) == all), "{unions:?}");
    assert_eq!(unions.len(), 2 + HALVES);
}

#[test]
fn where_the_side_of_a_tpc_is_not_known_no_side_is() {
    let all = Chip::new().bits_of_side(0).union(Chip::new().bits_of_side(1));
    let mut one_unknown = Chip::new().sides();
    one_unknown[6..8].fill(None);
    let mut one_torn = Chip::new().sides();
    one_torn[6] = Some(0);
    for sides in [Vec::new(), one_unknown, one_torn] {
        assert_eq!(Chip::new().find(24, &sides), Ok(Tpcs { sides: vec![all], sms_of_each: 2 }), "{sides:?}");
    }
}

#[test]
fn an_sm_of_unknown_side_is_on_that_of_the_other_sm_of_its_tpc() {
    let mut sides = Chip::new().sides();
    sides[6] = None;
    assert_eq!(Chip::new().find(24, &sides).unwrap().sides.len(), 2);
}

#[test]
fn masks_without_effect_are_found_out() {
    assert_eq!(Chip { fails_after: 0, ..Chip::new() }.refusal(24), NoTpcs::NoEffect);
}

#[test]
fn a_launch_that_runs_where_it_must_not_is_found_out() {
    let mut chip = Chip::new();
    let sides = chip.sides();
    chip.find(24, &sides).unwrap();
    let last = chip.launches - 1;
    assert!(matches!(Chip { fails_after: last, ..Chip::new() }.refusal(24), NoTpcs::Strayed { .. }));
}

#[test]
fn bits_that_no_mask_can_rest_on_are_refused() {
    let mut chip = Chip::new();
    chip.tpcs[3].1.truncate(1);
    assert!(matches!(chip.refusal(23), NoTpcs::Unequal { sms: 1, first: 2, .. }));
    let mut chip = Chip::new();
    chip.always = vec![24, 25];
    assert_eq!(chip.refusal(26), NoTpcs::OutOfReach { sm: 24, count: 2 });
    // A second bit for a TPC takes nothing away as long as the first leaves it, so the two cannot be told from none.
    let mut chip = Chip::new();
    chip.tpcs.push((99, vec![0, 1]));
    assert!(matches!(chip.refusal(24), NoTpcs::OutOfReach { count: 2, .. }));
    let (one, two) = (Tpc { bit: 1, sms: [0, 1].into() }, Tpc { bit: 2, sms: [1, 2].into() });
    assert_eq!(sort(&[one, two], &[0, 1, 2].into(), &[]), Err(NoTpcs::Overlap { first: 1, second: 2, sm: 1 }));
}

#[test]
fn sms_that_are_not_those_of_the_gpu_end_the_search() {
    assert_eq!(Chip::new().refusal(26), NoTpcs::OtherSms { seen: 24, sms: 26 });
    assert_eq!(Chip::new().refusal(22), NoTpcs::OtherSms { seen: 24, sms: 22 });
    let mut small = Chip::new();
    assert_eq!((small.refusal(2), small.launches), (NoTpcs::TooSmall { sms: 2 }, 0));
}

#[test]
fn sms_that_have_other_numbers_under_a_mask_end_the_search() {
    struct Renumbered(Chip);
    impl Masked for Renumbered {
        fn ran_without(&mut self, taken: TpcBits) -> Result<Vec<u32>, BenchError> {
            let ran = self.0.ran_without(taken)?;
            Ok(if taken.is_empty() { ran } else { ran.iter().map(|sm| sm + 1).collect() })
        }
    }
    let found = find(&mut Renumbered(Chip::new()), 24, &[], &mut Rng::with_seed(3)).unwrap();
    assert_eq!(found, Err(NoTpcs::Renumbered { bit: 0, sm: 24 }));
}

#[test]
fn tpcs_that_no_probe_can_have_found_are_named() {
    let tpcs =
        |sides: &[u128], sms_of_each| Tpcs { sides: sides.iter().map(|&bits| TpcBits(bits)).collect(), sms_of_each };
    assert_eq!(tpcs(&[0b0101, 0b1010], 2).implausible(8), None);
    assert_eq!(tpcs(&[0b1111], 2).implausible(8), None);
    for wrong in
        [tpcs(&[], 2), tpcs(&[1, 2, 4], 2), tpcs(&[0xF, 0], 2), tpcs(&[3, 6], 2), tpcs(&[0xF], 0), tpcs(&[7], 2)]
    {
        assert!(wrong.implausible(8).is_some(), "{wrong:?}");
    }
}
