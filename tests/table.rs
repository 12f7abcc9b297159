//! `missile table` in words and as JSON, of tables that `missile probe` made; and `missile probe --plot`.

mod harness;

use harness::Place;
use harness::files::edit_table;
use harness::programs::{Said, said};
use roxmltree::Document;
use std::fs;
use std::path::{Path, PathBuf};

/// Probes a simulated GPU in a place; the table that came of it, and what was said.
fn probe(place: &Place, gpu: &str, more: &[&str]) -> (PathBuf, Said) {
    let path = place.path(&format!("{gpu}.toml"));
    let said = said(place.missile(&["probe", "--sim", gpu, "--out"]).arg(&path).args(more));
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    (path, said)
}

fn table(place: &Place, path: &Path, more: &[&str]) -> Said {
    said(place.missile(&["table"]).arg(path).args(more))
}

#[track_caller]
fn assert_says(said: &Said, sentences: &[&str]) {
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    let flat = said.stdout.split_whitespace().collect::<Vec<&str>>().join(" ");
    for sentence in sentences {
        assert!(flat.contains(sentence), "{sentence:?} is not in\n{}", said.stdout);
    }
    // A path may be as long as it likes.
    let too_wide = said.stdout.lines().find(|line| line.chars().count() > 100 && !line.contains('/'));
    assert_eq!(too_wide, None);
}

/// The table is refused in one sentence on standard error, which has these words.
#[track_caller]
fn assert_refused(place: &Place, path: &Path, words: &[&str]) {
    for more in [&[][..], &["--json"]] {
        let said = table(place, path, more);
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{said:?}");
        let line = said.one_line();
        assert!(line.starts_with("missile: ") && line.contains("missile probe"), "{line}");
        for word in words {
            assert!(line.contains(word), "{word:?} is not in {line:?}");
        }
    }
}

#[test]
fn an_h200_is_explained_and_drawn() {
    let place = Place::new();
    let picture = place.path("gpu.svg");
    let (path, probed) = probe(&place, "h200", &["--plot", picture.to_str().unwrap()]);
    assert_says(&probed, &["94 slices", "Right for all", "Coloured by side: 2 colours, in pages of 4 KiB."]);
    assert!(probed.stdout.lines().count() <= 12, "{}", probed.stdout);
    assert_says(
        &table(&place, &path, &[]),
        &[
            "NVIDIA H200 (simulated) with 132 SMs",
            "with driver 580.159.04",
            "94 slices. 256 B in a row lie on one slice",
            "66 SMs are on side 0, 66 on side 1.",
            "parity of address bits 12, 13, 15, 17, 19, 21, 22, 24, 26-29, 31, 34-36 (mask 0x1cbd6ab000)",
            "Right for all 65,536 lines kept out of the solving: usable.",
            "2 rings of 47 places each",
            "a page touches 1 of 2 sides; 2 colours, each with 50 % of the sides.",
            "A tenant's SMs have to be on the side of its memory",
        ],
    );
    let picture = fs::read_to_string(picture).unwrap();
    assert!(picture.len() < 2_000_000, "{}", picture.len());
    let picture = Document::parse(&picture).unwrap();
    let class = |class| picture.descendants().filter(|node| node.attribute("class") == Some(class)).count();
    assert_eq!(class("slice"), 94);
    let title = picture.root_element().children().find(|node| node.has_tag_name("title"));
    assert!(title.and_then(|title| title.text()).is_some_and(|title| title.contains("NVIDIA H200")));
}

#[test]
fn a_v100_is_explained_with_the_bits_of_its_colors() {
    let place = Place::new();
    let (path, probed) = probe(&place, "v100", &[]);
    assert_says(&probed, &["32 slices", "Coloured by slice: 8 colours, in pages of 4 KiB."]);
    assert_says(
        &table(&place, &path, &[]),
        &[
            "No sides showed",
            "Bit 4 of the slice: parity of address bits",
            "8 colours, each with 12.5 % of the slices",
            "Bit 2 of the colour: parity of address bits",
            "No sides are known, so the slice decides",
        ],
    );
}

#[test]
fn a_p40_is_explained_with_its_blocks_and_why_it_has_no_colors() {
    let place = Place::new();
    let (path, probed) = probe(&place, "p40", &[]);
    assert_says(&probed, &["24 slices", "Nothing can be coloured"]);
    assert_says(
        &table(&place, &path, &[]),
        &[
            "12 channels: sets of slices that share granules.",
            "12 units of 1 KiB in a row are a block",
            "parity of block number bits",
            "a page touches up to 4 of 12 channels; different pages overlap, so they have no colours",
            "Nothing can be coloured: the hash of the channels is known, but a 4 KiB page touches 4 of 12",
        ],
    );
}

#[test]
fn an_adversarial_gpu_is_explained_and_what_is_wrong_with_its_table_is_said() {
    let place = Place::new();
    let (path, probed) = probe(&place, "adversarial", &[]);
    assert_says(&probed, &["16 slices", "not usable, as 99.9 % are needed", "Nothing can be coloured"]);
    assert_says(
        &table(&place, &path, &[]),
        &[
            "looked up by 12 address bits: 12-23 (mask 0xfff000).",
            "of the 4,096 entries are known, for addresses from 0x",
            "not usable, as 99.9 % are needed.",
            "No level is usable, so nothing is known of what a page touches.",
            "Nothing can be coloured: the best function of the slices, a lookup, foretells 9",
        ],
    );
    let json = table(&place, &path, &["--json"]).json();
    assert_eq!(json["table"], path.to_str().unwrap());
    assert_eq!((&json["slices"], &json["colors"]), (&16.into(), &1.into()));
    assert_eq!(json["levels"][0]["kind"], "lut");

    let good = fs::read(&path).unwrap();
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("empty", Vec::new(), "too short"),
        ("truncated", good[..good.len() / 2].to_vec(), "damaged"),
        (
            "a digit changed",
            String::from_utf8(good.clone()).unwrap().replace("0xfff000", "0xffe000").into(),
            "checksum",
        ),
        ("no text", vec![0xFF; 64], "cannot read"),
        ("another file", b"[package]\nname = \"missile\"\n".to_vec(), "damaged"),
    ];
    for (case, content, word) in cases {
        println!("{case}");
        fs::write(&path, content).unwrap();
        assert_refused(&place, &path, &["adversarial.toml", word]);
    }
    fs::write(&path, &good).unwrap();
    edit_table(&path, |content| content.replace("version = 2", "version = 1"));
    assert_refused(&place, &path, &["adversarial.toml", "version 1"]);
    assert_refused(&place, &place.path("nowhere.toml"), &["nowhere.toml", "No such file"]);
    assert_refused(&place, &place.path("data"), &["data", "directory"]);

    fs::write(&path, &good).unwrap();
    let mut beside = fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().path());
    let lookup = beside.find(|path| path.extension().is_some_and(|extension| extension == "lut")).unwrap();
    let data = fs::read(&lookup).unwrap();
    fs::write(&lookup, &data[..data.len() - 9]).unwrap();
    assert_refused(&place, &path, &[".lut", "damaged"]);
    fs::remove_file(&lookup).unwrap();
    assert_refused(&place, &path, &[".lut", "No such file"]);
}

#[test]
fn a_picture_that_cannot_be_written_is_said_and_leaves_nothing_behind() {
    let place = Place::new();
    fs::write(place.path("file"), "").unwrap();
    let picture = place.path("file/gpu.svg");
    let out = place.path("a2000.toml");
    let said = said(place.missile(&["probe", "--sim", "a2000", "--out"]).arg(&out).arg("--plot").arg(&picture));
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{said:?}");
    assert!(said.one_line().contains("cannot write the picture"), "{said:?}");
    assert_eq!(fs::read(place.path("file")).unwrap(), b"");
}
