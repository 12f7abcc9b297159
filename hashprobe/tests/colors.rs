//! From channel functions to colours of pages.

use fastrand::Rng;
use hashprobe::colors::{self, Coloring, NoColors};
use hashprobe::{Blocks, Function, Mask, Over, Permutation, XorHash};
use proptest::prelude::*;
use units::{Bytes, PhysAddr};

const MEMORY: u64 = 1 << 30;

fn coloring(function: &Function) -> Coloring {
    colors::colors(function, &[PhysAddr::new(0)..PhysAddr::new(MEMORY)], &mut Rng::with_seed(1))
}

fn xor(masks: &[u64]) -> Function {
    Function::Xor(XorHash { masks: masks.iter().copied().map(Mask).collect() })
}

/// Blocks of 1 KiB units.
fn blocks(sequences: &[&[u32]], selectors: &[u64]) -> Function {
    Function::Permutation(Permutation::Blocks(Blocks {
        unit: Bytes::kib(1),
        over: Over::Block,
        selectors: selectors.iter().copied().map(Mask).collect(),
        sequences: sequences.iter().map(|sequence| sequence.to_vec()).collect(),
    }))
}

fn counts(coloring: &Coloring) -> Vec<usize> {
    coloring.sizes.iter().map(|pages| pages.colors.len()).collect()
}

#[test]
fn the_side_of_an_h200_colours_4_kib_pages_only() {
    let coloring = coloring(&xor(&[0x1C_BD6A_B000]));
    assert_eq!(counts(&coloring), [2, 1, 1]);
    assert_eq!(coloring.auto, Ok(0));
    let pages = &coloring.sizes[0];
    assert_eq!((pages.touches, pages.looked_at), (1, None));
    assert_eq!(pages.colors.iter().map(|color| color.share).collect::<Vec<_>>(), [0.5, 0.5]);
    assert_eq!((pages.color_of(0), pages.color_of(1), pages.color_of(2)), (Some(0), Some(1), None));
}

#[test]
fn channels_below_a_page_leave_the_masks_that_a_page_does_not_change() {
    // Two masks share bit 10: their XOR has no bit below 4 KiB, nor below 64 KiB.
    let hash = XorHash { masks: vec![Mask(0x4_0400), Mask(0x8_0400), Mask(0x10_0000)] };
    assert_eq!(colors::color_masks(&hash, Bytes::kib(64)), [Mask(0xC_0000), Mask(0x10_0000)]);
    let coloring = coloring(&Function::Xor(hash));
    assert_eq!(counts(&coloring), [4, 4, 1]);
    assert_eq!(coloring.auto, Ok(1), "of equally many colours the larger pages");
    assert_eq!(coloring.sizes[1].touches, 2);
}

#[test]
fn pages_of_permuted_blocks_have_colours_if_the_orders_keep_them_apart() {
    let apart = blocks(&[&[0, 1, 0, 1, 2, 3, 2, 3], &[1, 0, 1, 0, 3, 2, 3, 2]], &[0b101]);
    let coloring = coloring(&apart);
    assert_eq!(counts(&coloring), [2, 1, 1]);
    assert_eq!(coloring.auto, Ok(0));
    let pages = &coloring.sizes[0];
    assert_eq!(pages.colors.iter().map(|color| color.classes.clone()).collect::<Vec<_>>(), [[0, 1], [2, 3]]);
    assert_eq!((pages.touches, pages.looked_at), (2, Some(4_096)));
}

#[test]
fn why_there_are_no_colours_is_told() {
    let fine = coloring(&xor(&[0x400]));
    let page = Bytes::kib(4);
    assert_eq!(fine.auto, Err(NoColors::TooFine { page, classes: 2, unit: Bytes::kib(1) }));
    let twelve: Vec<u32> = (0..12).collect();
    let chained = coloring(&blocks(&[&twelve, &[11, 1, 9, 7, 3, 5, 6, 4, 8, 2, 10, 0]], &[5]));
    let Err(reason) = chained.auto else { panic!("{:?}", chained.auto) };
    assert_eq!(reason, NoColors::Chained { page, touches: 4, classes: 12 });
    assert!(reason.to_string().starts_with("a 4 KiB page touches 4 of 12"), "{reason}");
}

proptest! {
    #[test]
    fn pages_of_different_colours_share_no_class(masks in prop::collection::vec(1u64..1 << 24, 1..5), seed: u64) {
        let span: hashprobe::gf2::Span = masks.iter().copied().collect();
        let function = xor(&span.basis().map(|mask| mask << 8).collect::<Vec<_>>());
        let coloring = coloring(&function);
        let mut rng = Rng::with_seed(seed);
        for pages in &coloring.sizes {
            let bytes = pages.page.get();
            let start = rng.u64(..MEMORY / bytes) * bytes;
            let classes: Vec<u32> =
                (0..bytes / 256).map(|at| function.class_of(PhysAddr::new(start + at * 256)).unwrap()).collect();
            let color = pages.color_of(classes[0]).unwrap();
            prop_assert!(classes.iter().all(|&class| pages.color_of(class) == Some(color)));
            let mut touched = classes;
            touched.sort_unstable();
            touched.dedup();
            prop_assert_eq!(&touched, &pages.colors[color].classes);
            prop_assert_eq!(touched.len(), pages.touches);
        }
    }
}
