use super::*;
use hashprobe::{
    Blocks, Effort, Finding, Function, GpuInfo, GpuUuid, Level, LutInfo, Mask, NoTpcs, Over, Permutation, Ring, Steps,
    TpcBits, Tpcs, Uncolorable, XorHash,
};
use std::time::{Duration, SystemTime};
use units::{Bytes, Nanos, PhysAddr};

/// A GPU of 12 SMs on which nothing was found.
fn finding() -> Finding {
    Finding {
        gpu: GpuInfo { name: "Made-up".into(), uuid: GpuUuid([7; 16]), sms: 12, driver: None },
        levels: Vec::new(),
        colors: 1,
        color_level: None,
        page: Bytes::mib(2),
        pages: Vec::new(),
        uncolorable: Some(Uncolorable::NoXor),
        sm_side: Vec::new(),
        layout: None,
        tpcs: Err(NoTpcs::NoEffect),
        effort: Effort {
            samples: 8_192,
            contested: 0,
            held_out: 65_536,
            measured_again: 0,
            reps: 8,
            slice_lines: 0,
            strange_units: 0,
            memory: Bytes::gib(3),
            highest: PhysAddr::new(0x1_2345_6780),
        },
        took: Nanos::new(2_500_000_000),
    }
}

fn xor(masks: &[u64]) -> Function {
    Function::Xor(XorHash { masks: masks.iter().copied().map(Mask).collect() })
}

fn table(finding: &Finding) -> Table {
    Table::new(finding, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000))
}

/// The text without its layout.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<&str>>().join(" ")
}

#[track_caller]
fn assert_says(text: &str, sentences: &[&str]) {
    for sentence in sentences {
        assert!(flat(text).contains(sentence), "{sentence:?} is not in\n{text}");
    }
}

#[track_caller]
fn assert_fits(text: &str) {
    assert!(text.lines().all(|line| line.chars().count() <= 100), "too wide:\n{text}");
}

#[test]
fn tpcs_are_counted_by_side_or_the_reason_is_given() {
    let with = |sides: &[u128]| {
        let sides = sides.iter().map(|&bits| TpcBits(bits)).collect();
        table(&Finding { tpcs: Ok(Tpcs { sides, sms_of_each: 2 }), ..finding() })
    };
    assert_says(
        &whole(&with(&[0b10101, 0b01010 | 1 << 100])),
        &[
            "A launch can be kept from each of 6 TPCs of 2 SMs: 3 on side 0, 3 on side 1.",
            "Their bits of side 0 in a launch's mask: 0x15.",
        ],
    );
    assert_says(&whole(&with(&[0x3F])), &["their sides are not known", "Their bits in a launch's mask: 0x3f."]);
    let none = gist(&table(&finding()), Path::new("table.toml"));
    assert_says(&none, &["Launches cannot be kept from SMs: none of 128 bits takes an SM away."]);
}

#[test]
fn a_gpu_with_sides_is_coloured_by_them() {
    let pages = [(4, 2, 0.5, 1), (64, 1, 1.0, 2)].map(|(kib, colors, share, touches)| PageColors {
        level: "side".into(),
        page: Bytes::kib(kib),
        colors,
        share,
        touches,
        looked_at: None,
    });
    let found = Finding {
        gpu: GpuInfo { driver: Some("580.1".into()), ..finding().gpu },
        levels: vec![Level::new("side", xor(&[0xab000]), 1.0, 65_536)],
        colors: 2,
        color_level: Some(0),
        page: Bytes::kib(4),
        pages: pages.to_vec(),
        uncolorable: None,
        sm_side: (0..12).map(|smid| (smid != 3).then_some(smid / 2 % 2)).collect(),
        ..finding()
    };
    let text = whole(&table(&found));
    assert_fits(&text);
    assert_says(
        &text,
        &[
            "Made-up with 12 SMs, GPU-07070707-",
            "On 2023-11-14 at 22:13:20 UTC, in 2.5 s, with driver 580.1,",
            "8,192 lines and checked on 65,536 others, the least of 8 tries each.",
            "all over 3 GiB of memory, up to physical address 0x123456780.",
            "6 SMs are on side 0, 5 on side 1, and of 1 the side is not known.",
            "Divides the memory into 2 sides, 4 KiB at a time.",
            "The side is the parity of address bits 12, 13, 15, 17, 19 (mask 0xab000).",
            "Right for all 65,536 lines kept out of the solving: usable.",
            "4 KiB pages by side: a page touches 1 of 2 sides; 2 colours, each with 50 % of the sides.",
            "64 KiB pages by side: a page touches both sides; they have no colours.",
            "Coloured by side: 2 colours, in pages of 4 KiB.",
            "SMs have to be on the side of its memory",
        ],
    );
    let short = gist(&table(&found), Path::new("/tmp/a.toml"));
    assert_says(
        &short,
        &[
            "2 sides, 4 KiB at a time, by XOR with mask 0xab000. Right for all",
            "Coloured by side: 2 colours, in pages of 4 KiB. Table",
            "Measured in 2.5 s, kept in /tmp/a.toml",
        ],
    );
    assert_fits(&short);
    assert!(short.lines().count() <= 12, "{short}");
}

#[test]
fn what_is_not_known_is_said() {
    let text = whole(&table(&finding()));
    assert_says(
        &text,
        &[
            "with an unknown driver",
            "Its slices are not known",
            "No sides showed",
            "Its channels are not known either.",
            "No level is usable",
            "Nothing can be coloured: near and far lines follow no XOR of physical address bits.",
        ],
    );
}

#[test]
fn an_xor_of_several_bits_is_told_bit_by_bit() {
    let level = Level::new("slice", xor(&[0x7000, 0x8000]), 0.999_999_9, 5_000);
    assert_eq!(
        levels::whole(&level),
        [
            "Divides the memory into 4 slices, 4 KiB at a time.",
            "Bit 0 of the slice: parity of address bits 12-14 (mask 0x7000).",
            "Bit 1 of the slice: parity of address bit 15 (mask 0x8000).",
            // Not 100 %: that would be all.
            "Right for 99.999 % of 5,000 lines kept out of the solving: usable.",
        ]
    );
}

#[test]
fn permutations_are_told_by_their_shape() {
    let blocks = Blocks {
        unit: Bytes::kib(1),
        over: Over::Block,
        selectors: vec![Mask(0x5)],
        sequences: vec![vec![0, 1, 2], vec![2, 1, 0]],
    };
    let level = Level::new("channel", Function::Permutation(Permutation::Blocks(blocks)), 1.0, 9);
    assert_says(
        &levels::whole(&level).join(" "),
        &[
            "3 units of 1 KiB in a row are a block",
            "one of 2 orders",
            "Bit 0 of the order: parity of block number bits 0, 2",
        ],
    );
    let steps = |first| Steps { forms: vec![Mask(0x400)], weights: vec![1], offset: 0, places: vec![first, 1 + first] };
    let ring = Ring { selectors: vec![Mask(0x3000)], rings: vec![steps(0), steps(2)] };
    let level = Level::new("slice", Function::Permutation(Permutation::Ring(ring)), 1.0, 9);
    assert_says(
        &levels::whole(&level).join(" "),
        &["2 rings of 2 places each", "Which ring it is: the parity of address bits 12, 13 (mask 0x3000)."],
    );
}

#[test]
fn a_lookup_is_told_by_its_domain_and_by_why_it_is_not_usable() {
    let mut level = Level::new("slice", xor(&[0xfff000]), 0.93652, 4_096);
    level.lookup = Some(LutInfo {
        bits: Mask(0xfff000),
        classes: 16,
        lowest: PhysAddr::new(0x1000),
        highest: PhysAddr::new(0xffff_f000),
        entries: 4_063,
        crc32: 0,
    });
    assert_says(
        &levels::whole(&level).join(" "),
        &[
            "looked up by 12 address bits: 12-23 (mask 0xfff000).",
            "4,063 of the 4,096 entries are known, for addresses from 0x1000 to 0xfffff000.",
            "Right for 93.652 % of 4,096 lines kept out of the solving: not usable, as 99.9 % are needed.",
        ],
    );
}

#[test]
fn pages_that_overlap_and_colours_that_are_unequal_are_told() {
    let pages = |colors, share, touches, looked_at| PageColors {
        level: "slice".into(),
        page: Bytes::kib(4),
        colors,
        share,
        touches,
        looked_at,
    };
    let overlap =
        "a page touches up to 4 of 6 slices; different pages overlap, so they have no colours (seen on 4,096 pages).";
    assert_says(&one_size(&pages(1, 1.0, 4, Some(4_096)), 6), &[overlap]);
    assert_says(&one_size(&pages(2, 0.3333, 2, None), 6), &["2 colours, each with at least 33.3 % of the slices."]);
    assert_says(&one_size(&pages(1, 1.0, 6, None), 6), &["a page touches all 6 slices; they have no colours."]);
}

#[test]
fn counts_have_their_thousands_apart() {
    assert_eq!([0, 999, 1_000, 65_536, 1_234_567].map(number), ["0", "999", "1,000", "65,536", "1,234,567"]);
}
