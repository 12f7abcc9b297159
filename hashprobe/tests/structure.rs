//! The structure of an L2 from its latencies: of a recorded H200, and of made-up ones.

use fastrand::Rng;
use flate2::read::GzDecoder;
use hashprobe::gf2::{self, Equation};
use hashprobe::solve::{self, Sample};
use hashprobe::{Function, Mask, Measurement, Permutation, Structure, StructureError, busy, structure};
use std::collections::BTreeSet;
use std::io::Read;
use units::{Bytes, PhysAddr};

const LINES: usize = 16_384;
const LINE: u64 = 128;

fn recorded() -> Structure {
    let bytes = decompressed(include_bytes!("data/h200-structure.u16.gz"));
    let cycles = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]]))).collect();
    let measurement = Measurement { smids: (0..72).collect(), cycles };
    structure(&measurement, &window(0, LINES), 1).unwrap()
}

fn window(start: u64, lines: usize) -> Vec<PhysAddr> {
    (0..lines as u64).map(|line| PhysAddr::new(start + line * LINE)).collect()
}

#[test]
fn a_recorded_h200_has_94_slices_on_two_sides_in_two_rings_of_47() {
    let found = recorded();
    assert_eq!(found.slices, 94);
    assert_eq!((found.interleave, found.unit, found.slices_per_unit), (Bytes::new(256), Bytes::kib(1), 2));
    let sides = found.sides.as_ref().unwrap();
    for side in [0, 1] {
        assert_eq!(sides.of_slice.iter().filter(|&&of| of == Some(side)).count(), 47);
    }
    assert_eq!(sides.unit, Bytes::kib(4));

    // Each slice shares units with exactly two others, and the 47 of a side close into one ring.
    assert_eq!(found.pairs.len(), 94);
    for slice in 0..94 {
        assert_eq!(found.pairs.iter().filter(|&&(a, b, _)| a == slice || b == slice).count(), 2);
    }
    assert_eq!(found.rings.iter().map(Vec::len).collect::<Vec<_>>(), [47, 47]);
    for ring in &found.rings {
        assert_eq!(ring.iter().map(|&slice| sides.of_slice[slice as usize]).collect::<BTreeSet<_>>().len(), 1);
    }
    // Two pairs a side look alike to every SM.
    assert_eq!(found.quality.twins, 4);
    assert!(found.quality.partner_margin > 1.05 && found.quality.strange < 0.001, "{:?}", found.quality);

    // Slices are as good as equally large: 2,048 units of two slices in each side, over 47.
    for slice in 0..94 {
        let lines = found.slice_of_line.iter().filter(|&&of| of == Some(slice)).count();
        assert!((164..=184).contains(&lines), "slice {slice} has {lines} lines");
    }

    // SMs 0, 1, 8 and 9 are of one side, 2 to 5 of the other.
    let first = sides.of_row[0].unwrap();
    let expected = [0, 0, 1, 1, 1, 1].map(|other| Some(first ^ other));
    assert_eq!((&sides.of_row[..6], &sides.of_row[8..10]), (&expected[..], &[Some(first); 2][..]));

    // The sides of the lines' slices follow the mask.
    let equation = |(line, slice): (usize, &Option<u32>)| Equation {
        terms: (line as u64 * LINE) | (1 << 40),
        value: sides.of_slice[slice.unwrap() as usize].unwrap() == 1,
    };
    let equations: Vec<Equation> = found.slice_of_line.iter().enumerate().map(equation).collect();
    let fit = gf2::fit(&equations, 100, &mut Rng::with_seed(3)).unwrap();
    assert_eq!((fit.unknowns & 0x1F_FFFF, fit.agreeing), (0xAB000, LINES));
}

#[test]
fn the_slices_of_a_recorded_h200_are_a_remainder_of_the_swizzled_address() {
    let found = recorded();
    let samples: Vec<Sample> = window(0, LINES)
        .into_iter()
        .zip(&found.slice_of_line)
        .step_by(2)
        .map(|(at, slice)| Sample { at, class: slice.unwrap() })
        .collect();
    let mut rng = Rng::with_seed(5);
    let (held_out, train): (Vec<Sample>, Vec<Sample>) = samples.into_iter().partition(|_| rng.u32(..5) == 0);
    let solved = solve::solve(&train, &[], &held_out, &mut rng).unwrap();
    assert_eq!((solved.accuracy, solved.covered), (1.0, 1.0), "{:?}", solved.tried);
    let Function::Permutation(Permutation::Ring(ring)) = &solved.function else { panic!("{:?}", solved.tried) };
    assert_eq!(ring.selectors, [Mask(0xAB000)]);
    // The weights are powers of two, but for a common factor and the way round.
    let [one, other] = &ring.rings[..] else { panic!("{ring:?}") };
    assert_eq!((&one.forms, &one.weights, one.places.len()), (&other.forms, &other.weights, 47));
    let of = |weight: u32| weight.min(47 - weight);
    let powers: Vec<u32> = (0..one.weights.len() as u32).map(|power| 2u32.pow(power) % 47).collect();
    let factor = (1..47).find(|factor| {
        one.weights.iter().all(|&weight| powers.iter().any(|&power| of(power * factor % 47) == of(weight)))
    });
    assert!(factor.is_some(), "{:?}", one.weights);
}

#[test]
fn a_recorded_h100_has_80_slices_in_rings_of_5_some_of_them_told_apart_by_parities() {
    let bytes = decompressed(include_bytes!("data/h100-structure.u16.gz"));
    let cycles = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]]))).collect();
    let starts = decompressed(include_bytes!("data/h100-windows.u64.gz"));
    let starts = starts.chunks_exact(8).map(|start| u64::from_le_bytes(start.try_into().unwrap()));
    let lines: Vec<PhysAddr> = starts.flat_map(|start| window(start, 1_024)).collect();
    let measurement = Measurement { smids: (0..44).collect(), cycles };
    let found = structure(&measurement, &lines, 1).unwrap();
    assert_eq!((found.slices, found.interleave, found.unit), (80, Bytes::new(256), Bytes::kib(1)));
    assert_eq!(found.quality.twins, 4, "{:?}", found.quality);
    assert_eq!(found.rings.iter().map(Vec::len).collect::<Vec<_>>(), [5; 16]);
    let sides = found.sides.as_ref().unwrap();
    assert!(sides.of_slice.iter().all(Option::is_some));
    for line in lines.iter().zip(&sides.of_line) {
        // Which side is 0 is open, and known from the first line.
        let of = |line: PhysAddr| Mask(0x13_A78B_3000).parity(line);
        assert_eq!(of(*line.0) ^ of(lines[0]), line.1 ^ sides.of_line[0]);
    }
}

fn decompressed(compressed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(compressed).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A GPU whose slices have random distances to its SMs.
struct MadeUp {
    slices: u32,
    sms: usize,
    /// Each try is longer than it must be by up to so many cycles.
    jitter: u32,
    /// The share of latencies that are 2,000 cycles too long.
    outliers: f64,
    sides: bool,
    seed: u64,
}

const QUIET: MadeUp = MadeUp { slices: 12, sms: 32, jitter: 4, outliers: 0.0, sides: false, seed: 1 };

impl MadeUp {
    /// Latencies of lines whose slices are known.
    fn measure(&self, slices: &[u32]) -> Measurement {
        let mut rng = Rng::with_seed(self.seed);
        let mut measurement = Measurement { smids: (0..self.sms as u32).collect(), cycles: Vec::new() };
        for sm in 0..self.sms {
            let near: Vec<u32> = (0..self.slices).map(|_| 200 + rng.u32(0..64)).collect();
            // Each SM has its own clock.
            let scale = 0.9 + 0.2 * rng.f64();
            measurement.cycles.extend(slices.iter().map(|&slice| {
                let far = self.sides && (slice * 2 < self.slices) != sm.is_multiple_of(2);
                let outlier = if rng.f64() < self.outliers { 2_000 } else { 0 };
                let cycles = near[slice as usize] + if far { 170 } else { 0 } + rng.u32(0..=self.jitter) + outlier;
                (f64::from(cycles) * scale) as u32
            }));
        }
        measurement
    }

    fn find(&self, slices: &[u32]) -> Structure {
        let found = structure(&self.measure(slices), &window(0x4000_0000, slices.len()), 7).unwrap();
        let wrong = mistaken(slices, &found);
        assert!(wrong * 200 <= slices.len(), "{wrong} of {} lines are in the wrong slice", slices.len());
        assert_eq!(found.slices, self.slices as usize);
        found
    }
}

/// How many lines are not of the slice that most lines of their true slice are of.
fn mistaken(slices: &[u32], found: &Structure) -> usize {
    let mut wrong = 0;
    for slice in 0..=*slices.iter().max().unwrap() {
        let of: Vec<Option<u32>> =
            (0..slices.len()).filter(|&i| slices[i] == slice).map(|i| found.slice_of_line[i]).collect();
        let most = (0..found.slices as u32).map(|label| of.iter().filter(|&&l| l == Some(label)).count()).max();
        wrong += of.len() - most.unwrap_or(0);
    }
    wrong
}

/// Slices that change every `lines` lines, at random.
fn scattered(count: usize, lines: usize, slices: u32) -> Vec<u32> {
    let mut rng = Rng::with_seed(9);
    (0..count.div_ceil(lines)).flat_map(|_| [rng.u32(0..slices)].repeat(lines)).take(count).collect()
}

/// Units of 1 KiB of the two slices that follow each other on the ring of a side, 256 B each in turn.
fn ringed(count: usize, slices: u32, sides: u32) -> Vec<u32> {
    let mut rng = Rng::with_seed(5);
    let mut side = 0;
    (0..count / 8)
        .flat_map(|unit| {
            if unit.is_multiple_of(4) {
                side = rng.u32(0..sides);
            }
            let ring = slices / sides;
            let place = rng.u32(0..ring);
            let mut pair = [place, (place + 1) % ring].map(|place| side * ring + place);
            if rng.bool() {
                pair.reverse();
            }
            [0, 0, 1, 1, 0, 0, 1, 1].map(|which| pair[which])
        })
        .collect()
}

#[test]
fn any_number_of_slices_is_found_where_one_follows_the_other_at_random() {
    for slices in [6, 8, 12, 24, 32] {
        let found = MadeUp { slices, ..QUIET }.find(&scattered(4_096, 8, slices));
        assert_eq!((found.interleave, found.unit, found.slices_per_unit), (Bytes::kib(1), Bytes::kib(1), 1));
        assert!(found.sides.is_none() && found.pairs.is_empty() && found.rings.is_empty());
        assert!(found.quality.clear > 0.99, "{:?}", found.quality);
    }
    let found = MadeUp { slices: 80, ..QUIET }.find(&scattered(LINES, 4, 80));
    assert_eq!((found.interleave, found.unit), (Bytes::new(512), Bytes::new(512)));
}

#[test]
fn blocks_that_have_every_slice_are_no_units() {
    // Each 8 KiB has each of 8 slices once, in an order of its own.
    let mut rng = Rng::with_seed(3);
    let mut orders = || {
        let mut order: Vec<u32> = (0..8).collect();
        rng.shuffle(&mut order);
        order.into_iter().flat_map(|slice| [slice; 8]).collect::<Vec<u32>>()
    };
    let slices: Vec<u32> = (0..64).flat_map(|_| orders()).collect();
    let found = MadeUp { slices: 8, ..QUIET }.find(&slices);
    assert_eq!((found.interleave, found.unit, found.slices_per_unit), (Bytes::kib(1), Bytes::kib(1), 1));
}

#[test]
fn lines_may_alternate_one_by_one() {
    let found = MadeUp { slices: 24, ..QUIET }.find(&scattered(8_192, 1, 24));
    assert_eq!((found.interleave, found.unit), (Bytes::new(128), Bytes::new(128)));
}

#[test]
fn rings_are_found_on_one_side_and_on_two() {
    let found = MadeUp { slices: 12, ..QUIET }.find(&ringed(4_096, 12, 1));
    assert_eq!((found.interleave, found.unit, found.slices_per_unit), (Bytes::new(256), Bytes::kib(1), 2));
    assert!(found.sides.is_none());
    assert_eq!(found.rings.iter().map(Vec::len).collect::<Vec<_>>(), [12]);

    let found = MadeUp { slices: 80, sides: true, ..QUIET }.find(&ringed(LINES, 80, 2));
    let sides = found.sides.unwrap();
    assert_eq!((sides.unit, found.unit), (Bytes::kib(4), Bytes::kib(1)));
    assert_eq!(sides.of_slice.iter().filter(|&&side| side == Some(0)).count(), 40);
    assert_eq!(found.rings.iter().map(Vec::len).collect::<Vec<_>>(), [40, 40]);
    let near: BTreeSet<_> = sides.of_row.iter().step_by(2).collect();
    assert_eq!((near.len(), sides.of_row[0] != sides.of_row[1]), (1, true));
}

#[test]
fn jitter_and_outliers_do_not_change_what_is_found() {
    for (slices, sms) in [(12, 8), (24, 16), (32, 60), (80, 132)] {
        let gpu = MadeUp { slices, sms, jitter: 12, outliers: 0.003, sides: true, seed: 4 };
        let found = gpu.find(&ringed(LINES / 2, slices, 2));
        assert_eq!((found.interleave, found.unit), (Bytes::new(256), Bytes::kib(1)), "{slices} slices");
        assert_eq!(found.rings.len(), 2, "{slices} slices");
    }
}

#[test]
fn several_short_windows_do_as_well_as_a_long_one() {
    let slices = scattered(4_096, 8, 12);
    let lines: Vec<PhysAddr> = (0..8).flat_map(|at| window(at << 31, 512)).collect();
    let found = structure(&QUIET.measure(&slices), &lines, 7).unwrap();
    assert_eq!((found.slices, found.interleave, mistaken(&slices, &found)), (12, Bytes::kib(1), 0));
}

#[test]
fn lines_of_one_slice_are_one_slice() {
    let found = MadeUp { slices: 1, ..QUIET }.find(&[0; 1_024]);
    assert_eq!((found.sides, found.pairs.len(), found.groups.len()), (None, 0, 0));
}

#[test]
fn what_cannot_be_looked_at_is_refused() {
    let measurement = QUIET.measure(&[0; 100]);
    let refusal = |lines: &[PhysAddr]| structure(&measurement, lines, 1).unwrap_err();
    assert_eq!(refusal(&window(0, 99)), StructureError::WrongShape { cells: 3_200, sms: 32, lines: 99 });
    assert_eq!(refusal(&[PhysAddr::new(0); 100]), StructureError::BadLines);
    assert_eq!(refusal(&window(64, 100)), StructureError::BadLines);
    let few = structure(&QUIET.measure(&[0; 63]), &window(0, 63), 1).unwrap_err();
    assert_eq!(few, StructureError::TooFew { lines: 63 });
    let none = structure(&Measurement::default(), &[], 1).unwrap_err();
    assert_eq!(none, StructureError::WrongShape { cells: 0, sms: 0, lines: 0 });
}

#[test]
fn a_gpu_is_as_busy_as_tries_are_disturbed() {
    let slices = [0; 1_000];
    let idle = QUIET.measure(&slices);
    let other = MadeUp { outliers: 0.1, ..QUIET }.measure(&slices);
    assert_eq!(busy(&[idle.clone(), idle.clone()]).unwrap().share, 0.0);
    let disturbed = busy(&[idle.clone(), other]).unwrap();
    assert!((0.08..0.12).contains(&disturbed.share) && disturbed.tries == 32_000, "{disturbed:?}");
    assert_eq!(busy(std::slice::from_ref(&idle)), None);
    // An SM that was seen once says nothing.
    let elsewhere = Measurement { smids: (100..132).collect(), ..idle.clone() };
    assert_eq!(busy(&[idle, elsewhere]), None);
}
