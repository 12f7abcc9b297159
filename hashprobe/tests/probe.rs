//! The probe's findings about GPUs with and without two sides.

mod harness;

use harness::{MadeUpGpu, SIDE_MASK};
use hashprobe::colors::NoColors;
use hashprobe::{
    Bench, BenchError, Busy, Finding, GpuInfo, Mask, Measurement, Options, ProbeError, Stretch, Uncolorable,
};
use units::{Bytes, DeviceVa};

const OPTIONS: Options = Options { samples: 2_000, held_out: 4_000, reps: 8, slices: true, seed: 11 };

fn probe(gpu: &mut dyn Bench) -> Finding {
    hashprobe::probe(gpu, &OPTIONS, &mut |_| ()).unwrap()
}

#[test]
fn a_gpu_with_two_sides_has_two_colours_by_its_mask() {
    let finding = probe(&mut MadeUpGpu::with_mask(SIDE_MASK));
    assert_eq!((finding.colors, finding.page, finding.uncolorable), (2, Bytes::kib(4), None));
    let [side] = &finding.levels[..] else { panic!("{finding:?}") };
    assert_eq!((&side.masks[..], side.unit, side.accuracy), (&[Mask(SIDE_MASK)][..], Bytes::kib(4), 1.0));
}

#[test]
fn every_sm_is_placed_on_the_side_whose_lines_are_near() {
    let finding = probe(&mut MadeUpGpu::with_mask(SIDE_MASK));
    let sides: Vec<_> = (0..12).map(|smid| Some(MadeUpGpu::side_of_sm(smid))).collect();
    assert_eq!(finding.sm_side, sides);
}

#[test]
fn an_sm_that_never_ran_a_block_has_no_known_side() {
    let mut gpu = MadeUpGpu::with_mask(SIDE_MASK);
    gpu.smids.retain(|&smid| smid != 5);
    let finding = probe(&mut gpu);
    assert_eq!(finding.sm_side.iter().position(Option::is_none), Some(5));
    assert_eq!(finding.colors, 2);
}

#[test]
fn an_sm_number_beyond_the_number_of_sms_is_placed_too() {
    let mut gpu = MadeUpGpu::with_mask(SIDE_MASK);
    gpu.smids[3] = 14;
    let finding = probe(&mut gpu);
    assert_eq!((finding.sm_side[3], finding.sm_side[14]), (None, Some(MadeUpGpu::side_of_sm(14))));
}

#[test]
fn a_mask_above_2_mib_leaves_the_largest_pages_whole() {
    assert_eq!(probe(&mut MadeUpGpu::with_mask(0x1_4080_0000)).page, Bytes::mib(2));
    assert_eq!(probe(&mut MadeUpGpu::with_mask(0x1_4002_0000)).page, Bytes::kib(64));
}

#[test]
fn contested_held_out_lines_are_timed_again_with_four_times_the_tries() {
    let mut gpu = MadeUpGpu::with_mask(SIDE_MASK);
    gpu.disturbance = 0.5;
    let finding = probe(&mut gpu);
    assert!(finding.effort.contested > 0 && finding.effort.measured_again > 0, "{finding:?}");
    assert!(gpu.asked.iter().any(|&(_, _, reps)| reps == 4 * OPTIONS.reps));
    assert_eq!((finding.levels[0].masks[0], finding.levels[0].accuracy), (Mask(SIDE_MASK), 1.0));
}

#[test]
fn lines_that_stay_contested_count_as_wrong() {
    let mut gpu = MadeUpGpu::with_mask(SIDE_MASK);
    gpu.unruly = 700;
    let options = Options { held_out: 20_000, ..OPTIONS };
    let finding = hashprobe::probe(&mut gpu, &options, &mut |_| ()).unwrap();
    // Taken by their majority, half of these lines would be right and the mask would pass.
    let Some(Uncolorable::Inaccurate { mask, accuracy, .. }) = finding.uncolorable else { panic!("{finding:?}") };
    assert_eq!(mask, Mask(SIDE_MASK));
    assert!((0.998..0.999).contains(&accuracy), "{accuracy}");
}

#[test]
fn a_gpu_with_one_side_has_one_colour() {
    let mut gpu = MadeUpGpu::with_mask(SIDE_MASK);
    gpu.far_extra = 0;
    let finding = probe(&mut gpu);
    assert!(matches!(finding.uncolorable, Some(Uncolorable::OneHump { .. })), "{finding:?}");
    assert_eq!((finding.colors, finding.levels.len(), finding.sm_side.len()), (1, 0, 0));
}

#[test]
fn sides_of_very_different_size_are_no_sides() {
    let finding = probe(&mut MadeUpGpu::with_side(|address| (address >> 12).is_multiple_of(16)));
    assert!(matches!(finding.uncolorable, Some(Uncolorable::Unbalanced { .. })), "{finding:?}");
}

#[test]
fn sides_that_follow_no_xor_give_one_colour() {
    let finding = probe(&mut MadeUpGpu::with_side(|address| (address >> 12) % 47 < 24));
    assert_eq!((finding.uncolorable, finding.colors), (Some(Uncolorable::NoXor), 1));
}

#[test]
fn a_mask_that_holds_on_most_lines_only_is_refused() {
    let mostly = |address: u64| ((address & SIDE_MASK).count_ones() % 2 == 1) != (address >> 12).is_multiple_of(97);
    let finding = probe(&mut MadeUpGpu::with_side(mostly));
    let Some(Uncolorable::Inaccurate { mask, accuracy, .. }) = finding.uncolorable else { panic!("{finding:?}") };
    assert_eq!(mask, Mask(SIDE_MASK));
    assert!((0.98..0.995).contains(&accuracy), "{accuracy}");
    assert_eq!((finding.colors, finding.levels.len()), (1, 0));
}

#[test]
fn sides_that_alternate_within_a_page_are_reported_but_give_one_colour() {
    let finding = probe(&mut MadeUpGpu::with_mask(SIDE_MASK | 0x400));
    let Some(Uncolorable::Pages { level: "side", reason: NoColors::TooFine { unit, .. } }) = finding.uncolorable else {
        panic!("{finding:?}")
    };
    assert_eq!(unit, Bytes::kib(1));
    assert_eq!((finding.colors, finding.levels[0].unit), (1, Bytes::kib(1)));
}

#[test]
fn more_lines_than_the_memory_has_are_refused() {
    struct Small(MadeUpGpu, [Stretch; 1]);
    impl Bench for Small {
        fn gpu(&self) -> &GpuInfo {
            self.0.gpu()
        }
        fn memory(&self) -> &[Stretch] {
            &self.1
        }
        fn vram(&self) -> Bytes {
            Bytes::kib(64)
        }
        fn latencies(&mut self, _: u32, _: &[DeviceVa], _: u32) -> Result<Measurement, BenchError> {
            Err(BenchError::NoPhysicalAddresses)
        }
    }
    let gpu = MadeUpGpu::with_mask(SIDE_MASK);
    let stretch = Stretch { bytes: Bytes::kib(64), ..gpu.memory()[0] };
    let mut small = Small(gpu, [stretch]);
    let refusal = hashprobe::probe(&mut small, &OPTIONS, &mut |_| ()).unwrap_err();
    assert!(matches!(refusal, ProbeError::TooLittleMemory { lines: 512, wanted: 6_000 }), "{refusal}");
    let few = Options { samples: 100, held_out: 100, ..OPTIONS };
    let refusal = hashprobe::probe(&mut small, &few, &mut |_| ()).unwrap_err();
    assert_eq!(refusal.to_string(), "physical addresses are not known: run through `missile probe`");
}

#[test]
fn a_probe_of_nothing_is_refused() {
    let none = Options { held_out: 0, ..OPTIONS };
    let refusal = hashprobe::probe(&mut MadeUpGpu::with_mask(SIDE_MASK), &none, &mut |_| ()).unwrap_err();
    assert!(matches!(refusal, ProbeError::NothingAsked));
}

#[test]
fn a_gpu_is_not_opened_where_physical_addresses_are_not_known() {
    let refusal = hashprobe::CudaBench::open(0, None).err().unwrap();
    assert!(matches!(refusal, BenchError::NoPhysicalAddresses), "{refusal}");
}

#[test]
fn memory_that_hides_address_bits_is_refused() {
    // One piece of 1 GiB of a GPU of 128 GiB: 7 of the 30 bits from a line up are the same in all of it.
    let mut gpu = MadeUpGpu::with_mask(SIDE_MASK);
    gpu.keep(Bytes::gib(1));
    let refusal = hashprobe::probe(&mut gpu, &OPTIONS, &mut |_| ()).unwrap_err();
    let ProbeError::TooFull { hidden, bits, .. } = refusal else { panic!("{refusal}") };
    assert_eq!(bits, 30);
    assert!((6..=7).contains(&hidden), "{hidden}");
    assert!(gpu.asked.is_empty(), "nothing is timed");
}

#[test]
fn other_work_shows_in_tries_that_take_much_longer_than_the_least() {
    let mut gpu = MadeUpGpu::with_mask(SIDE_MASK);
    gpu.jitter = 4;
    let idle = hashprobe::how_busy(&mut gpu).unwrap().unwrap();
    assert_eq!((idle.share, idle.share < Busy::DISTURBED), (0.0, true));
    gpu.disturbance = 0.5;
    let busy = hashprobe::how_busy(&mut gpu).unwrap().unwrap();
    assert!(busy.share > Busy::TOO_BUSY && busy.share < 0.6, "{busy:?}");
}
