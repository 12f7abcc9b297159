//! The hash of every simulated GPU, found by `missile probe` from latencies alone.
//!
//! The probe is told nothing of a GPU's description. Each test knows what that says, and holds the answer against it.

mod harness;

use harness::Place;
use harness::programs::said;
use serde_json::Value;
use std::fs;

/// Probes a GPU and prints how long that took and from how many lines.
fn probe(place: &Place, gpu: &str) -> Value {
    let table = place.path("table.toml");
    let said = said(place.missile(&["probe", "--json", "--sim", gpu, "--out"]).arg(&table));
    assert_eq!(said.code, Some(0), "{gpu}: {said:?}");
    let report = said.json();
    let text = fs::read_to_string(&table).unwrap();
    let lines = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned();
    let (sides, slices) = (lines("samples = "), lines("slice_lines = "));
    println!("{gpu}: {:.1} s, {sides} lines for the side, {slices} for slices", report["seconds"].as_f64().unwrap());
    report
}

/// A level by its name.
#[track_caller]
fn level<'a>(report: &'a Value, name: &str) -> &'a Value {
    let levels = report["levels"].as_array().unwrap();
    levels.iter().find(|level| level["name"] == name).unwrap_or_else(|| panic!("no {name}: {report:#}"))
}

/// That a level is of this kind, has so many classes, and foretells every line but one in a thousand at most.
#[track_caller]
fn solved(report: &Value, name: &str, kind: &str, classes: u32) {
    let level = level(report, name);
    assert_eq!((&level["kind"], &level["classes"]), (&kind.into(), &classes.into()), "{level:#}");
    assert!(level["usable"] == true && level["accuracy"].as_f64().unwrap() >= 0.999, "{level:#}");
}

/// How many colours pages of a size can have by a level.
#[track_caller]
fn colors(report: &Value, name: &str, page: u64) -> u64 {
    let mut pages = report["pages"].as_array().unwrap().iter();
    let of = pages.find(|of| of["level"] == name && of["page_bytes"] == page).unwrap();
    of["colors"].as_u64().unwrap()
}

/// Whether masks span what others span.
fn same_span(found: &Value, expected: &[u64]) -> bool {
    let found = found
        .as_array()
        .unwrap()
        .iter()
        .map(|mask| u64::from_str_radix(mask.as_str().unwrap().trim_start_matches("0x"), 16).unwrap());
    let rank = |masks: &[u64]| {
        let mut rows: Vec<u64> = Vec::new();
        for &mask in masks {
            let left = rows.iter().fold(mask, |left, row| left.min(left ^ row));
            rows.extend((left != 0).then_some(left));
        }
        rows.len()
    };
    let found: Vec<u64> = found.collect();
    let both = [&found[..], expected].concat();
    rank(&found) == rank(expected) && rank(&both) == rank(expected)
}

#[test]
fn an_h200_has_a_side_by_xor_and_47_slices_a_side_in_a_ring() {
    let report = probe(&Place::new(), "h200");
    solved(&report, "side", "xor", 2);
    assert!(same_span(&level(&report, "side")["masks"], &[0x1C_BD6A_B000]));
    solved(&report, "slice", "permutation", 94);
    assert_eq!(
        (&report["slices"], &report["granule_bytes"], &report["interleave_bytes"]),
        (&94.into(), &1024.into(), &256.into())
    );
    assert_eq!(
        (&report["colors"], &report["color_level"], &report["page_bytes"]),
        (&2.into(), &"side".into(), &4096.into())
    );
}

#[test]
fn an_h100_has_16_sets_of_five_slices_and_could_have_8_colours() {
    let report = probe(&Place::new(), "h100");
    solved(&report, "side", "xor", 2);
    solved(&report, "channel", "xor", 16);
    solved(&report, "slice", "permutation", 80);
    let masks = [0x13_A78B_3000, 0x8_C4A2_2800, 0xA_2AE5_5800, 0xF_18DA_8800];
    assert!(same_span(&level(&report, "channel")["masks"], &masks));
    assert_eq!((colors(&report, "channel", 4096), colors(&report, "side", 4096)), (8, 2));
    assert_eq!((&report["colors"], &report["color_level"]), (&2.into(), &"side".into()));
}

#[test]
fn a_gh200_has_32_sets_of_three_slices() {
    let report = probe(&Place::new(), "gh200");
    solved(&report, "side", "xor", 2);
    solved(&report, "channel", "xor", 32);
    solved(&report, "slice", "permutation", 96);
    assert!(same_span(&level(&report, "side")["masks"], &[0xA_B000]));
}

#[test]
fn a_gb200_chooses_all_by_xor() {
    let report = probe(&Place::new(), "gb200");
    solved(&report, "side", "xor", 2);
    solved(&report, "slice", "xor", 128);
    assert!(same_span(&level(&report, "side")["masks"], &[0x1E_F000]));
}

#[test]
fn a_gtx1080_and_a_v100_have_channels_by_xor_and_no_sides() {
    let report = probe(&Place::new(), "gtx1080");
    solved(&report, "slice", "xor", 8);
    assert_eq!((&report["sm_side"], &report["colors"]), (&Value::Array(Vec::new()), &2.into()));
    let report = probe(&Place::new(), "v100");
    solved(&report, "slice", "xor", 32);
    assert_eq!((report["colors"].as_u64(), colors(&report, "slice", 4096)), (Some(8), 8));
}

#[test]
fn a_p40_and_an_a2000_have_permuted_channels_that_no_page_keeps_to() {
    let report = probe(&Place::new(), "p40");
    solved(&report, "channel", "permutation", 12);
    assert_eq!(report["colors"], 1);
    assert!(report["why_not"].as_str().unwrap().contains("overlap"), "{report:#}");
    let report = probe(&Place::new(), "a2000");
    solved(&report, "slice", "permutation", 6);
    assert_eq!(level(&report, "slice")["unit_bytes"], 1024);
}

#[test]
fn a_hash_without_structure_is_a_lookup_that_is_marked_as_not_usable() {
    let report = probe(&Place::new(), "adversarial");
    let slice = level(&report, "slice");
    assert_eq!(
        (&slice["kind"], &slice["masks"][0], &slice["usable"]),
        (&"lut".into(), &"0xfff000".into(), &false.into())
    );
    assert!(slice["tried"].as_str().unwrap().contains("lookup: foretells"), "{slice:#}");
    // One line in twenty looks like one of another slice, whether it is kept out or not.
    assert!((0.88..0.97).contains(&slice["accuracy"].as_f64().unwrap()), "{slice:#}");
    assert_eq!(report["colors"], 1);
    assert!(report["why_not"].as_str().unwrap().contains("99.9 %"), "{report:#}");
}

#[test]
fn a_gpu_that_nobody_has_seen_is_solved_from_its_file() {
    let place = Place::new();
    let known = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/simgpu/gpus/v100.toml")).unwrap();
    let (before, rest) = known.split_once("[hash").unwrap();
    let after = &rest[rest.find("[dram]").unwrap()..];
    let hash = "[hash.channels]\nkind = \"ring\"\nmodulus = 7\n\
        forms = [\"0x12345400\", \"0x9ab800\", \"0x20050000\", \"0x3c000000\", \"0x14020000\", \"0x300041000\"]\n\
        weights = [1, 2, 4, 3, 5, 6]\n\n[hash.slices]\nmasks = [\"0x2468ac800\", \"0x135792000\"]\n\n";
    let file = place.path("unseen.toml");
    fs::write(&file, format!("{before}{hash}{after}")).unwrap();
    let report = probe(&place, file.to_str().unwrap());
    solved(&report, "slice", "permutation", 28);
    assert!(same_span(&level(&report, "slice")["masks"], &[0x2_468A_C800, 0x1_3579_2000]), "{report:#}");
}

#[test]
fn the_same_gpu_is_found_where_only_its_sides_are_asked_for() {
    let place = Place::new();
    let said = said(&mut place.missile(&["probe", "--quick", "--json", "--sim", "h200"]));
    let report = said.json();
    solved(&report, "side", "xor", 2);
    assert_eq!((report["levels"].as_array().unwrap().len(), &report["slices"]), (1, &Value::Null));
    let bits = |side: usize| {
        let text = report["tpcs"]["sides"][side].as_str().unwrap_or_else(|| panic!("no TPCs: {report:#}"));
        u128::from_str_radix(text.trim_start_matches("0x"), 16).unwrap().count_ones()
    };
    // 66 of its SMs are on each side, two in a TPC.
    assert_eq!((bits(0), bits(1), &report["tpcs"]["sms_of_each"]), (33, 33, &2.into()));
}
