//! Channel functions in a file.

use fastrand::Rng;
use hashprobe::solve::{self, Sample};
use hashprobe::{Blocks, Function, Kind, Lut, Mask, Over, Permutation, Ring, Steps, XorHash};
use units::{Bytes, PhysAddr};

/// A lookup over bits 12, 15 and 30.
fn lookup() -> Lut {
    let mut rng = Rng::with_seed(1);
    let samples: Vec<Sample> = (0..20_000)
        .map(|_| {
            let at = rng.u64(..1 << 31) & 0x5000_9F80;
            let class = [at >> 12 & 1, at >> 15 & 1, at >> 30 & 1].iter().sum::<u64>() as u32;
            Sample { at: PhysAddr::new(at), class }
        })
        .collect();
    solve::lut::fit(&samples).unwrap()
}

#[test]
fn a_function_knows_its_kind_its_classes_and_its_unit() {
    let xor = Function::Xor(XorHash { masks: vec![Mask(0xAB000), Mask(0x400)] });
    let blocks = Blocks {
        unit: Bytes::kib(1),
        over: Over::Block,
        selectors: vec![Mask(0b110)],
        sequences: vec![vec![0, 1, 2], vec![2, 0, 1]],
    };
    let steps = Steps { forms: vec![Mask(0x400), Mask(0x800)], weights: vec![1, 2], offset: 1, places: vec![2, 0, 1] };
    let ring = Ring { selectors: Vec::new(), rings: vec![steps] };
    let functions = [
        (xor, Kind::Xor, 4, Bytes::kib(1)),
        (Function::Permutation(Permutation::Blocks(blocks)), Kind::Permutation, 3, Bytes::kib(1)),
        (Function::Permutation(Permutation::Ring(ring)), Kind::Permutation, 3, Bytes::kib(1)),
        (Function::Lut(lookup()), Kind::Lut, 4, Bytes::kib(4)),
    ];
    for (function, kind, classes, unit) in functions {
        assert_eq!((function.kind(), function.classes(), function.unit()), (kind, classes, unit));
    }
}

#[test]
fn units_of_a_block_are_counted_from_its_start() {
    let sequences = vec![vec![0, 1, 2], vec![2, 0, 1]];
    let blocks = Blocks { unit: Bytes::kib(1), over: Over::Block, selectors: vec![Mask(1)], sequences };
    let function = Function::Permutation(Permutation::Blocks(blocks));
    let classes: Vec<u32> = (0..7).map(|unit| function.class_of(PhysAddr::new(unit * 1024 + 128)).unwrap()).collect();
    assert_eq!(classes, [0, 1, 2, 2, 0, 1, 0]);
}

#[test]
fn a_lookup_has_only_the_bits_that_matter_and_nothing_outside_its_domain() {
    let lut = lookup();
    assert_eq!(lut.bits(), 0x4000_9000);
    assert_eq!(lut.info().entries, 8);
    assert_eq!(lut.class_of(PhysAddr::new(0x4000_8F80)), Some(2));
    assert_eq!(lut.class_of(PhysAddr::new(1 << 31)), None);
}

#[test]
fn equal_blocks_of_a_lookup_are_kept_once() {
    // 16 bits matter, but those above the lowest 8 only flip the class.
    let mut rng = Rng::with_seed(2);
    let class = |at: u64| (at.count_ones() % 2 + u32::from(at >> 9 & 7 == 7)) % 2;
    let samples: Vec<Sample> =
        (0..1 << 16).map(|at: u64| Sample { at: PhysAddr::new(at << 8), class: class(at) }).collect();
    let lut = solve::lut::fit(&samples).unwrap();
    assert_eq!(lut.info().entries, 1 << 16);
    let data = lut.to_bytes();
    assert!(data.len() < 4_096, "{} bytes", data.len());
    let read = Lut::from_bytes(&data).unwrap();
    let at = PhysAddr::new(rng.u64(..1 << 24));
    assert_eq!(read.class_of(at), Some(class(at.get() >> 8)));
}

#[test]
fn damaged_data_are_refused() {
    let lut = lookup();
    let data = lut.to_bytes();
    for at in 0..data.len() {
        let mut damaged = data.clone();
        damaged[at] ^= 1;
        assert!(Lut::from_bytes(&damaged).is_err(), "byte {at}");
        assert!(Lut::from_bytes(&data[..at]).is_err(), "{at} bytes");
    }
}
