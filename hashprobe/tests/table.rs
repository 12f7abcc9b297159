//! Table files: what is saved is read back, and nothing else is.

mod harness;

use harness::{MadeUpGpu, SIDE_MASK, UUID};
use hashprobe::solve::{self, Sample};
use hashprobe::{
    Blocks, Function, GpuUuid, Level, Mask, Options, Over, Permutation, Ring, Steps, Table, TableError, TpcBits, Tpcs,
    XorHash,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use tempfile::TempDir;
use units::{Bytes, PhysAddr};

fn table_of(mask: u64) -> Table {
    let options = Options { samples: 1_000, held_out: 1_000, slices: false, ..Options::default() };
    let mut gpu = MadeUpGpu::with_mask(mask);
    gpu.smids.retain(|&smid| smid != 11);
    let finding = hashprobe::probe(&mut gpu, &options, &mut |_| ()).unwrap();
    Table::new(&finding, UNIX_EPOCH + Duration::from_secs(1_795_000_000))
}

fn saved() -> (TempDir, PathBuf, Table) {
    let folder = tempfile::tempdir().unwrap();
    let path = Table::default_path(folder.path(), UUID);
    let table = table_of(SIDE_MASK);
    table.save(&path).unwrap();
    (folder, path, table)
}

/// A table with a level of slices by this function beside the side.
fn table_with(function: Function) -> Table {
    let options = Options { samples: 1_000, held_out: 1_000, slices: false, ..Options::default() };
    let mut finding = hashprobe::probe(&mut MadeUpGpu::with_mask(SIDE_MASK), &options, &mut |_| ()).unwrap();
    finding.levels.push(Level::new("slice", function, 0.9995, 100));
    Table::new(&finding, UNIX_EPOCH + Duration::from_secs(1_795_000_000))
}

/// A table with the TPCs of the made-up GPU: pairs of its 12 SMs, sides taking turns.
fn table_with_tpcs() -> Table {
    let options = Options { samples: 1_000, held_out: 1_000, slices: false, ..Options::default() };
    let mut finding = hashprobe::probe(&mut MadeUpGpu::with_mask(SIDE_MASK), &options, &mut |_| ()).unwrap();
    finding.tpcs = Ok(Tpcs { sides: vec![TpcBits(0b10101), TpcBits(1 << 127 | 0b01010)], sms_of_each: 2 });
    Table::new(&finding, UNIX_EPOCH + Duration::from_secs(1_795_000_000))
}

fn blocks() -> Function {
    let sequences = vec![vec![0, 1, 2], vec![2, 0, 1]];
    let blocks = Blocks { unit: Bytes::kib(1), over: Over::Block, selectors: vec![Mask(0b110)], sequences };
    Function::Permutation(Permutation::Blocks(blocks))
}

fn ring() -> Function {
    let steps = Steps { forms: vec![Mask(0x400), Mask(0x800)], weights: vec![1, 2], offset: 1, places: vec![2, 0, 1] };
    Function::Permutation(Permutation::Ring(Ring { selectors: Vec::new(), rings: vec![steps] }))
}

fn lookup() -> Function {
    let lines = (0..4_096).map(|line| Sample { at: PhysAddr::new(line << 12), class: (line % 5 / 2) as u32 });
    Function::Lut(solve::lut::fit(&lines.collect::<Vec<Sample>>()).unwrap())
}

#[test]
fn a_function_of_every_kind_is_read_as_it_was_saved() {
    let xor = Function::Xor(XorHash { masks: vec![Mask(0xAB000), Mask(0x400)] });
    for function in [xor, blocks(), ring(), lookup()] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.toml");
        let table = table_with(function.clone());
        table.save(&path).unwrap();
        let read = Table::load(&path).unwrap();
        assert_eq!((&read, read.levels()[1].function()), (&table, Some(function)));
    }
}

#[test]
fn functions_that_cannot_be_are_refused() {
    for (function, from, to) in [
        (blocks(), "unit_bytes = 1024\nover", "unit_bytes = 1000\nover"),
        (blocks(), "selectors = [\"0x6\"]", "selectors = []"),
        (blocks(), "[[0, 1, 2], [2, 0, 1]]", "[[0, 1, 2], [2, 0]]"),
        (blocks(), "[[0, 1, 2], [2, 0, 1]]", "[[], []]"),
        (ring(), "weights = [1, 2]", "weights = [1, 3]"),
        (ring(), "weights = [1, 2]", "weights = [1]"),
        (ring(), "places = [2, 0, 1]", "places = []"),
    ] {
        let refusal = load_changed(&table_with(function), from, to).unwrap_err();
        assert!(matches!(refusal, TableError::Implausible { .. }), "{from} -> {to}: {refusal}");
    }
    // The data are of another lookup than the table says.
    let refusal = load_changed(&table_with(lookup()), "entries = 4096", "entries = 4095").unwrap_err();
    assert!(matches!(refusal, TableError::Damaged { .. }), "{refusal}");
}

/// Saves the table with a part of its text replaced and a checksum that is right for it; what loading says.
fn load_with(from: &str, to: &str) -> Result<Table, TableError> {
    load_changed(&table_of(SIDE_MASK), from, to)
}

fn load_changed(table: &Table, from: &str, to: &str) -> Result<Table, TableError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.toml");
    table.save(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let content = text.split_once('\n').unwrap().1;
    assert!(content.contains(from), "{from} is not in:\n{content}");
    let content = content.replace(from, to);
    let checksum = crc32fast::hash(content.as_bytes());
    fs::write(&path, format!("checksum = \"crc32:{checksum:08x}\"\n{content}")).unwrap();
    Table::load(&path)
}

#[test]
fn a_table_is_read_as_it_was_saved() {
    let (_folder, path, table) = saved();
    assert_eq!(path.file_name().unwrap().to_str(), Some(&*format!("{UUID}.toml")));
    assert_eq!(Table::load(&path).unwrap(), table);
}

#[test]
fn a_table_knows_the_colours_of_addresses_and_the_sides_of_sms() {
    let (_folder, path, _) = saved();
    let table = Table::load(&path).unwrap();
    assert_eq!((table.colors(), table.page()), (2, Bytes::kib(4)));
    for (address, color) in [(0, 0), (0x1000, 1), (0x1FFF, 1), (0x4000, 0), (0x3000, 0), (0x4_0000_1000, 0)] {
        assert_eq!(table.color_of(PhysAddr::new(address)), Some(color), "{address:#x}");
    }
    assert_eq!((table.side_of_sm(0), table.side_of_sm(2), table.side_of_sm(11)), (Some(0), Some(1), None));
    assert_eq!(table.side_of_sm(999), None);
}

#[test]
fn a_table_of_one_colour_says_why_and_colours_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.toml");
    table_of(SIDE_MASK | 0x400).save(&path).unwrap();
    let table = Table::load(&path).unwrap();
    assert_eq!((table.colors(), table.color_of(PhysAddr::new(0x1000))), (1, Some(0)));
    let why_not =
        "the hash of the sides is known, but each 4 KiB page touches all 2 classes: they alternate every 1 KiB";
    assert_eq!(table.why_not(), Some(why_not));
}

#[test]
fn saving_replaces_the_file_and_leaves_nothing_else() {
    let (_folder, path, table) = saved();
    table.save(&path).unwrap();
    let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names, [path]);
}

#[test]
fn a_failed_save_says_where_and_leaves_nothing() {
    let (folder, path, table) = saved();
    let below_a_file = path.join("table.toml");
    let refusal = table.save(&below_a_file).unwrap_err();
    assert!(matches!(refusal, TableError::Write { .. }));
    assert!(refusal.to_string().contains(below_a_file.to_str().unwrap()));
    let onto_a_folder = folder.path().join("tables");
    assert!(matches!(table.save(&onto_a_folder), Err(TableError::Write { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_missing_table_says_how_to_make_one() {
    let refusal = Table::load(Path::new("/nonexistent/table.toml")).unwrap_err();
    assert!(refusal.to_string().starts_with("cannot read the table /nonexistent/table.toml"), "{refusal}");
    assert!(refusal.to_string().contains("missile probe"), "{refusal}");
}

#[test]
fn a_changed_or_cut_table_is_refused() {
    let (_folder, path, _) = saved();
    let text = fs::read_to_string(&path).unwrap();
    let mut damages: Vec<String> = [0, 10, 100, text.len() - 1].map(|end| text[..end].to_owned()).into();
    damages.push(text.replace("0x1cbd6ab000", "0x1cbd6aa000"));
    damages.push(text.replace('\n', "\r\n"));
    for damage in damages {
        fs::write(&path, &damage).unwrap();
        assert!(matches!(Table::load(&path), Err(TableError::Damaged { .. })), "{damage}");
    }
}

#[test]
fn tpcs_are_read_as_they_were_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.toml");
    let table = table_with_tpcs();
    table.save(&path).unwrap();
    let read = Table::load(&path).unwrap();
    assert_eq!((&read, read.tpcs().unwrap().sms(), read.why_no_tpcs()), (&table, 12, None));
    let report = serde_json::to_value(table.report(None)).unwrap();
    let sides = serde_json::json!(["0x15", "0x8000000000000000000000000000000a"]);
    assert_eq!((&report["tpcs"]["sides"], &report["tpcs"]["sms_of_each"]), (&sides, &2.into()));
}

#[test]
fn tpcs_of_a_former_table_are_taken_over_where_it_is_of_the_same_card_driver_and_sides() {
    let former = table_with_tpcs();
    let taken = table_of(SIDE_MASK).with_tpcs_of(&former);
    assert_eq!((taken.tpcs(), taken.why_no_tpcs()), (former.tpcs(), None));
    assert_eq!(table_of(SIDE_MASK ^ 1 << 33).with_tpcs_of(&former).tpcs(), None);
    let without = table_of(SIDE_MASK).with_tpcs_of(&table_of(SIDE_MASK));
    assert!(without.tpcs().is_none() && without.why_no_tpcs().is_some());
    let other = load_changed(&former, "driver = \"580.1.00\"", "driver = \"580.2.00\"").unwrap();
    assert_eq!(table_of(SIDE_MASK).with_tpcs_of(&other).tpcs(), None);
}

#[test]
fn a_table_without_tpcs_says_why_and_one_of_before_they_were_looked_for_is_read() {
    let (_folder, path, _) = saved();
    let table = Table::load(&path).unwrap();
    let why = "this bench cannot mask launches";
    assert_eq!((table.tpcs(), table.why_no_tpcs()), (None, Some(why)));
    let older = load_with(&format!("why_no_tpcs = \"{why}\"\n"), "").unwrap();
    assert_eq!((older.tpcs(), older.why_no_tpcs(), older.colors()), (None, None, 2));
}

#[test]
fn tpcs_that_cannot_be_true_are_refused() {
    for (from, to, fault) in [
        ("\"0x15\"", "\"0x17\"", "on two sides"),
        ("\"0x15\"", "\"0x5\"", "SMs are not those"),
        ("\"0x15\"", "\"0x0\"", "no TPC"),
        ("sms_of_each = 2", "sms_of_each = 3", "SMs are not those"),
    ] {
        match load_changed(&table_with_tpcs(), from, to) {
            Err(TableError::Implausible { what, .. }) => assert!(what.contains(fault), "{from} -> {to}: {what}"),
            other => panic!("{from} -> {to}: {other:?}"),
        }
    }
    let refusal = load_changed(&table_with_tpcs(), "\"0x15\"", "\"fifteen\"").unwrap_err();
    assert!(matches!(refusal, TableError::Damaged { .. }), "{refusal}");
}

#[test]
fn a_table_of_another_version_is_refused() {
    let refusal = load_with("version = 2", "version = 1").unwrap_err();
    assert!(matches!(refusal, TableError::Version { found: 1, .. }), "{refusal}");
}

#[test]
fn a_table_that_cannot_be_true_is_refused() {
    for (from, to, fault) in [
        ("0x1cbd6ab000", "0x0", "a mask is 0"),
        ("0x1cbd6ab000", "0x1000001cbd6ab000", "beyond 2^52"),
        ("0x1cbd6ab000", "0x1cbd6aa000", "unit"),
        ("[\"0x1cbd6ab000\"]", "[]", "no masks, or too many"),
        ("classes = 2", "classes = 4", "classes"),
        ("colors = 2", "colors = 1", "number of colours"),
        ("colors = 2", "colors = 3", "number of colours"),
        ("page_bytes = 4096", "page_bytes = 8192", "page size"),
        ("page_bytes = 4096", "page_bytes = 65536", "number of colours"),
        ("color_level = \"side\"", "color_level = \"slice\"", "missing"),
        ("usable = true", "usable = false", "usable"),
        ("accuracy = 1.0", "accuracy = 1.5", "accuracy"),
        ("accuracy = 1.0", "accuracy = nan", "accuracy"),
        ("sm_side = [0", "sm_side = [2", "SM side"),
        ("2026-11-18T", "last Tuesday ", "time of measurement"),
    ] {
        match load_with(from, to) {
            Err(TableError::Implausible { what, .. }) => assert!(what.contains(fault), "{from} -> {to}: {what}"),
            other => panic!("{from} -> {to}: {other:?}"),
        }
    }
}

#[test]
fn a_table_with_unknown_or_missing_keys_is_refused() {
    for (from, to) in [("colors = 2\n", ""), ("colors = 2", "colors = 2\nfuture = 1"), ("\"xor\"", "\"riddle\"")] {
        assert!(matches!(load_with(from, to), Err(TableError::Damaged { .. })), "{from} -> {to}");
    }
}

#[test]
fn the_table_of_another_gpu_or_driver_is_refused() {
    let (_folder, path, table) = saved();
    table.check_for(&path, UUID, "580.1.00").unwrap();
    let refusal = table.check_for(&path, GpuUuid([1; 16]), "580.1.00").unwrap_err();
    assert!(matches!(refusal, TableError::OtherGpu { .. }), "{refusal}");
    let refusal = table.check_for(&path, UUID, "595.2.00").unwrap_err();
    assert!(matches!(refusal, TableError::OtherDriver { .. }), "{refusal}");
    assert!(refusal.to_string().contains(path.to_str().unwrap()), "{refusal}");
}

#[test]
fn the_json_report_has_the_stable_keys() {
    let (_folder, path, table) = saved();
    let report = serde_json::to_value(table.report(Some(&path))).unwrap();
    assert_eq!(report["gpu"]["uuid"], UUID.to_string());
    assert_eq!((&report["gpu"]["name"], &report["gpu"]["sms"]), (&"made-up".into(), &12.into()));
    assert_eq!((&report["page_bytes"], &report["colors"]), (&4096.into(), &2.into()));
    let level = &report["levels"][0];
    assert_eq!((&level["name"], &level["kind"]), (&"side".into(), &"xor".into()));
    assert_eq!(level["masks"], serde_json::json!(["0x1cbd6ab000"]));
    assert_eq!((&level["unit_bytes"], &level["classes"]), (&4096.into(), &2.into()));
    assert_eq!(report["sm_side"], serde_json::json!([0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, -1]));
    assert_eq!(report["table"], path.to_str().unwrap());
    assert!(report["seconds"].is_f64() && level["accuracy"].is_f64());
    assert!(report["granule_bytes"].is_null() && report["slices"].is_null());
}
