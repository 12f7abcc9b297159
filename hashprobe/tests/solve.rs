//! Channel functions from labelled lines: drawn at random, with and without wrong labels.

use fastrand::Rng;
use hashprobe::gf2::{Span, parity};
use hashprobe::solve::{self, Method, NoFit, Sample, Solved};
use hashprobe::{Blocks, Function, Kind, Mask, Over, Permutation, Ring, Steps, XorHash};
use proptest::prelude::*;
use units::{Bytes, PhysAddr};

/// The memory that lines are taken from: 64 GiB.
const MEMORY: u64 = 64 << 30;
const KIB: u64 = 1 << 10;

/// Lines one a KiB of contiguous windows, and `alone` lines anywhere.
fn windows(count: usize, bytes: core::ops::Range<u64>, alone: usize, rng: &mut Rng) -> Vec<PhysAddr> {
    let mut lines = Vec::new();
    for _ in 0..count {
        let size = rng.u64(bytes.clone()) & !(64 * KIB - 1);
        let start = rng.u64(..(MEMORY - size) / (64 * KIB)) * 64 * KIB;
        lines.extend((start..start + size).step_by(KIB as usize).map(PhysAddr::new));
    }
    lines.extend(anywhere(alone, rng));
    lines
}

fn anywhere(count: usize, rng: &mut Rng) -> Vec<PhysAddr> {
    (0..count).map(|_| PhysAddr::new(rng.u64(..MEMORY / 128) * 128)).collect()
}

/// Random lines, and for each the lines that differ from it in one bit.
fn flips(count: usize, bits: core::ops::Range<u32>, rng: &mut Rng) -> Vec<PhysAddr> {
    let lines = (0..count).flat_map(|_| {
        let at = rng.u64(..MEMORY) & !((1 << bits.start) - 1);
        core::iter::once(at).chain(bits.clone().map(move |bit| at ^ 1 << bit))
    });
    lines.map(PhysAddr::new).collect()
}

/// Labels lines by the class of a function, some share of them wrong; which label a class has is drawn.
struct Labels {
    names: Vec<u32>,
}

impl Labels {
    fn draw(classes: u32, rng: &mut Rng) -> Labels {
        let mut names: Vec<u32> = (0..classes).map(|class| 3 * class + 7).collect();
        rng.shuffle(&mut names);
        Labels { names }
    }

    fn of(&self, class: impl Fn(PhysAddr) -> u32, lines: &[PhysAddr], wrong: f64, rng: &mut Rng) -> Vec<Sample> {
        let label = |&at: &PhysAddr| {
            let class = if rng.f64() < wrong { rng.u32(..self.names.len() as u32) } else { class(at) };
            Sample { at, class: self.names[class as usize] }
        };
        lines.iter().map(label).collect()
    }
}

fn draw_masks(count: usize, bits: core::ops::Range<u32>, rng: &mut Rng) -> Vec<Mask> {
    let mut span = Span::default();
    let mut masks = Vec::new();
    while masks.len() < count {
        let mask = rng.u64(..) & ((1 << bits.end) - 1) & !((1 << bits.start) - 1);
        if span.insert(mask) {
            masks.push(Mask(mask));
        }
    }
    masks
}

fn draw_blocks(length: usize, selectors: usize, rng: &mut Rng) -> Blocks {
    let mut base: Vec<u32> = (0..length as u32).collect();
    let mut sequences: Vec<Vec<u32>> = Vec::new();
    while sequences.len() < 1 << selectors {
        rng.shuffle(&mut base);
        if !sequences.contains(&base) {
            sequences.push(base.clone());
        }
    }
    let bits = 36 - 10 - length.ilog2();
    Blocks { unit: Bytes::kib(1), over: Over::Block, selectors: draw_masks(selectors, 0..bits, rng), sequences }
}

/// The remainder of a unit's number by `modulus`, after its lower bits were XORed with upper ones.
fn draw_steps(modulus: u32, first_class: u32, rng: &mut Rng) -> Steps {
    let (low, high) = (10, 36);
    let swizzled = |bit: u32, rng: &mut Rng| {
        let upper = if bit < 22 && rng.bool() { rng.u64(..) & ((1 << high) - (1 << 22)) } else { 0 };
        Mask(1 << bit | upper)
    };
    let forms = (low..high).map(|bit| swizzled(bit, rng)).collect();
    let weights = (0..high - low).map(|power| ((1u64 << power) % u64::from(modulus)) as u32).collect();
    let mut places: Vec<u32> = (first_class..first_class + modulus).collect();
    rng.shuffle(&mut places);
    Steps { forms, weights, offset: rng.u32(..modulus), places }
}

fn draw_ring(modulus: u32, sides: bool, rng: &mut Rng) -> Ring {
    let selectors = draw_masks(usize::from(sides), 12..36, rng);
    let rings = (0..1 << selectors.len()).map(|side| draw_steps(modulus, side * modulus, rng)).collect();
    Ring { selectors, rings }
}

fn function(permutation: Permutation) -> Function {
    Function::Permutation(permutation)
}

fn wrong_labels() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 0.03..0.05f64]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 8, failure_persistence: None, ..Default::default() })]

    #[test]
    fn xor_hashes_are_solved_exactly(count in 1usize..=6, wrong in wrong_labels(), seed: u64) {
        let mut rng = Rng::with_seed(seed);
        let hash = XorHash { masks: draw_masks(count, 8..36, &mut rng) };
        let labels = Labels::draw(1 << count, &mut rng);
        let class = |at| hash.class_of(at);
        let train = labels.of(class, &windows(6, 64 * KIB..256 * KIB, 2_000, &mut rng), wrong, &mut rng);
        let held_out = labels.of(class, &anywhere(4_000, &mut rng), 0.0, &mut rng);
        let solved = solve::solve(&train, &[], &held_out, &mut rng).unwrap();
        prop_assert_eq!(solved.function.kind(), Kind::Xor);
        prop_assert_eq!(solved.accuracy, 1.0);
        let Function::Xor(found) = &solved.function else { unreachable!() };
        let drawn: Span = hash.masks.iter().map(|mask| mask.0).collect();
        prop_assert!(found.masks.iter().all(|mask| drawn.reduce(mask.0) == 0));
    }

    #[test]
    fn permuted_blocks_are_solved(
        length in prop::sample::select(vec![3usize, 5, 6, 7, 10, 12, 24]),
        selectors in 0usize..=3,
        wrong in wrong_labels(),
        seed: u64,
    ) {
        let mut rng = Rng::with_seed(seed);
        let selectors = if length == 3 { selectors.min(2) } else { selectors };
        let blocks = draw_blocks(length, selectors, &mut rng);
        let truth = function(Permutation::Blocks(blocks));
        let labels = Labels::draw(length as u32, &mut rng);
        let class = |at| truth.class_of(at).unwrap();
        let train = labels.of(class, &windows(24, 256 * KIB..1024 * KIB, 2_000, &mut rng), wrong, &mut rng);
        let held_out = labels.of(class, &anywhere(4_000, &mut rng), 0.0, &mut rng);
        let solved = solve::solve(&train, &[], &held_out, &mut rng).unwrap();
        prop_assert!(solved.usable, "{:?}", solved.tried);
        prop_assert_eq!(solved.function.kind(), Kind::Permutation);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 14, max_shrink_iters: 8, failure_persistence: None, ..Default::default() })]

    #[test]
    fn rings_are_solved(
        modulus in prop::sample::select(vec![3u32, 5, 6, 7, 10, 11, 13, 47]),
        sides: bool,
        wrong in wrong_labels(),
        seed: u64,
    ) {
        let mut rng = Rng::with_seed(seed);
        let sides = sides && modulus % 2 == 1;
        let truth = function(Permutation::Ring(draw_ring(modulus, sides, &mut rng)));
        let labels = Labels::draw(truth.classes(), &mut rng);
        let class = |at| truth.class_of(at).unwrap();
        let train = labels.of(class, &flips(if sides { 800 } else { 400 }, 10..36, &mut rng), wrong, &mut rng);
        let held_out = labels.of(class, &anywhere(4_000, &mut rng), 0.0, &mut rng);
        let solved = solve::solve(&train, &[], &held_out, &mut rng).unwrap();
        prop_assert!(solved.usable, "{:?}", solved.tried);
        prop_assert_eq!(solved.function.kind(), Kind::Permutation);
    }
}

/// Solves for a function that none of the methods but the last knows.
fn solve_for(class: impl Fn(u64) -> u32, train: &[PhysAddr], wrong: f64, rng: &mut Rng) -> Solved {
    let labels = Labels::draw(2, rng);
    let class = |at: PhysAddr| class(at.get());
    let train = labels.of(class, train, wrong, rng);
    let held_out = labels.of(class, &anywhere(4_000, rng), 0.0, rng);
    solve::solve(&train, &[], &held_out, rng).unwrap()
}

fn outcome(solved: &Solved, method: Method) -> &Result<f64, NoFit> {
    &solved.tried.iter().find(|tried| tried.method == method).unwrap().outcome
}

#[test]
fn a_majority_of_bits_is_no_xor_but_a_lookup() {
    for (wrong, seed) in [(0.0, 1), (0.04, 2)] {
        let mut rng = Rng::with_seed(seed);
        let bits = 1 << 13 | 1 << 17 | 1 << 22;
        let lines = flips(300, 10..36, &mut rng);
        let lines: Vec<PhysAddr> = lines.into_iter().chain(corners()).collect();
        let solved = solve_for(|at| u32::from((at & bits).count_ones() > 1), &lines, wrong, &mut rng);
        let Function::Lut(lut) = &solved.function else { panic!("{:?}", solved.tried) };
        assert_eq!(lut.bits(), bits);
        assert_eq!((solved.accuracy, solved.covered, solved.usable), (1.0, 1.0, true));
        assert!(matches!(outcome(&solved, Method::Xor), Err(NoFit::NoForm)), "{:?}", solved.tried);
    }
}

/// The first and the last line, so that held-out lines are in the range sampled.
fn corners() -> [PhysAddr; 2] {
    [PhysAddr::new(0), PhysAddr::new(MEMORY - KIB)]
}

#[test]
fn a_parity_with_exceptions_is_not_usable_as_one() {
    let mut rng = Rng::with_seed(3);
    let lines = flips(600, 10..36, &mut rng);
    let exceptions = |at: u64| at >> 14 & 0xF == 0xF;
    let solved = solve_for(|at| u32::from(parity(at & 0x1C_BD6A_B000) != exceptions(at)), &lines, 0.0, &mut rng);
    // 15 of 16 lines follow the parity, and no lookup has samples for 2^21 entries.
    assert!(outcome(&solved, Method::Xor).as_ref().is_ok_and(|share| (0.92..0.96).contains(share)));
    assert!(!solved.usable && solved.accuracy < 0.96);
}

#[test]
fn a_function_of_everything_is_not_usable() {
    let mut rng = Rng::with_seed(4);
    let mixed = |at: u64| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40).wrapping_mul(0xD1B5_4A32_D192_ED03) >> 63;
    let lines = windows(4, 64 * KIB..256 * KIB, 2_000, &mut rng);
    let samples = Labels::draw(2, &mut rng).of(|at| mixed(at.get()) as u32, &lines, 0.0, &mut rng);
    let unsolved = solve::solve(&samples[1_000..], &[], &samples[..1_000], &mut rng).unwrap_err();
    assert_eq!(unsolved.tried.len(), 4);
    assert!(unsolved.to_string().ends_with("is too large"), "{unsolved}");
}

#[test]
fn orders_that_change_inside_a_block_are_solved() {
    let mut rng = Rng::with_seed(7);
    // The unit's number modulo 12, turned by up to three places as parities of the address tell, one of them of bit 12.
    let sequences = (0..4).map(|turn| (0..12).map(|place| (place + turn) % 12).collect()).collect();
    let selectors = vec![Mask(0x5_0020_1000), Mask(0x9_0410_0000)];
    let truth =
        function(Permutation::Blocks(Blocks { unit: Bytes::kib(1), over: Over::Address, selectors, sequences }));
    let labels = Labels::draw(12, &mut rng);
    let class = |at| truth.class_of(at).unwrap();
    let train = labels.of(class, &windows(12, 64 * KIB..256 * KIB, 4_000, &mut rng), 0.03, &mut rng);
    let held_out = labels.of(class, &anywhere(4_000, &mut rng), 0.0, &mut rng);
    let solved = solve::solve(&train, &[], &held_out, &mut rng).unwrap();
    assert!(solved.usable && solved.function.kind() == Kind::Permutation, "{:?}", solved.tried);
}

#[test]
fn an_order_of_which_no_block_is_whole_is_found_by_the_parities_of_the_others() {
    let mut rng = Rng::with_seed(8);
    let blocks = draw_blocks(12, 3, &mut rng);
    let broken = |at: PhysAddr| {
        let (block, place) = (at.get() / KIB / 12, at.get() / KIB % 12);
        place == 3 && blocks.selectors.iter().all(|mask| parity(mask.0 & block))
    };
    let lines = windows(24, 256 * KIB..1024 * KIB, 2_000, &mut rng);
    let lines: Vec<PhysAddr> = lines.into_iter().filter(|&at| !broken(at)).collect();
    let held_out: Vec<PhysAddr> = anywhere(4_000, &mut rng).into_iter().filter(|&at| !broken(at)).collect();
    let truth = function(Permutation::Blocks(blocks.clone()));
    let labels = Labels::draw(12, &mut rng);
    let class = |at| truth.class_of(at).unwrap();
    let train = labels.of(class, &lines, 0.0, &mut rng);
    let held_out = labels.of(class, &held_out, 0.0, &mut rng);
    let solved = solve::solve(&train, &[], &held_out, &mut rng).unwrap();
    assert!(solved.usable && solved.function.kind() == Kind::Permutation, "{:?}", solved.tried);
}

#[test]
fn masks_that_leave_classes_together_are_told() {
    let mut rng = Rng::with_seed(5);
    let ring = draw_ring(47, true, &mut rng);
    let side = ring.selectors[0];
    let truth = function(Permutation::Ring(ring));
    let lines = windows(16, 64 * KIB..256 * KIB, 0, &mut rng);
    let labels = Labels::draw(94, &mut rng);
    let samples = labels.of(|at| truth.class_of(at).unwrap(), &lines, 0.03, &mut rng);
    let forms = solve::xor::fit(&samples, &mut rng).unwrap();
    assert_eq!(forms.groups.iter().map(Vec::len).collect::<Vec<_>>(), [47, 47]);
    let agreeing = lines.iter().filter(|&&at| side.parity(at) == forms.hash.class_of(at)).count();
    assert!(agreeing == 0 || agreeing == lines.len());
}

#[test]
fn one_class_is_no_function() {
    let samples = [0, 128, 256].map(|at| Sample { at: PhysAddr::new(at), class: 3 });
    let unsolved = solve::solve(&samples, &[], &samples, &mut Rng::with_seed(6)).unwrap_err();
    assert!(unsolved.tried.iter().all(|tried| tried.outcome == Err(NoFit::OneClass)));
}
