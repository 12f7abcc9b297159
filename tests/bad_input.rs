//! Missing, broken and foreign input: the program runs, or is not started, and one sentence says why.

mod harness;

use harness::Place;
use harness::files::edit_table;
use harness::programs::{Held, Said, said};
use settings::VARIABLES;
use std::fs;
use std::process::Command;

const SIZES: [&str; 2] = ["2M", "100K"];
const SYSTEM_NOT_READY: u64 = 802;

/// A value that each variable does not take.
const BAD_VALUES: [(&str, &str); 11] = [
    ("MISSILE_CLASS", "gold"),
    ("MISSILE_WEIGHT", "0"),
    ("MISSILE_WEIGHT", "10001"),
    ("MISSILE_COLOR", "blue"),
    ("MISSILE_COLOR_MIN", "2Q"),
    ("MISSILE_COLOR_MAX", "-1"),
    ("MISSILE_COPIES", "maybe"),
    ("MISSILE_STRICT", "2"),
    ("MISSILE_DISABLE", "yes"),
    ("MISSILE_LOG", "loud"),
    ("MISSILE_LOG", "loud:/dev/null"),
];

fn bare(place: &Place) -> Said {
    let said = said(&mut place.bare("roundtrip", &SIZES));
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    said
}

/// The program did what it does without Missile, and one line about it was said, which has these words.
#[track_caller]
fn assert_runs_with_one_line(place: &Place, command: &mut Command, words: &[&str]) {
    let said = said(command);
    assert_eq!((said.code, &said.stdout), (Some(0), &bare(place).stdout), "{said:?}");
    assert_says(said.one_line(), words);
}

/// The program was not started, and one line says why.
#[track_caller]
fn assert_refused(command: &mut Command, code: i32, words: &[&str]) {
    let said = said(command);
    assert_eq!((said.code, said.stdout.as_str()), (Some(code), ""), "{said:?}");
    assert_says(said.one_line(), words);
}

#[track_caller]
fn assert_says(line: &str, words: &[&str]) {
    assert!(line.starts_with("missile: "), "{line}");
    for word in words {
        assert!(line.contains(word), "{word:?} is not in {line:?}");
    }
}

fn tenant(place: &Place) -> Command {
    place.tenant(&[], "roundtrip", &SIZES)
}

#[test]
fn without_an_arbiter_the_program_runs_as_ever() {
    let place = Place::with_table();
    assert_runs_with_one_line(&place, &mut tenant(&place), &["no arbiter", "missile up"]);
}

#[test]
fn a_strict_tenant_without_an_arbiter_gets_no_driver() {
    let place = Place::with_table();
    let said = said(tenant(&place).env("MISSILE_STRICT", "1"));
    assert_eq!(said.json()["codes"], serde_json::json!({ "cuInit": SYSTEM_NOT_READY }));
    assert_says(said.one_line(), &["no arbiter"]);
}

#[test]
fn a_strict_tenant_without_a_table_gets_no_driver_unless_it_wants_no_color() {
    let place = Place::new();
    let _arbiter = place.up(&[]);
    let refused = said(tenant(&place).env("MISSILE_STRICT", "1"));
    assert_eq!(refused.json()["codes"], serde_json::json!({ "cuInit": SYSTEM_NOT_READY }));
    assert_says(refused.one_line(), &["missile probe"]);
    let content = said(place.tenant(&["--color", "off"], "roundtrip", &SIZES).env("MISSILE_STRICT", "1"));
    assert_eq!((content.code, content.stderr.as_str()), (Some(0), ""), "{content:?}");
}

#[test]
fn a_region_that_is_none_is_left_alone() {
    let place = Place::with_table();
    place.up(&[]).kill();
    let good = fs::read(place.region()).unwrap();
    let mut other_version = good.clone();
    other_version[8..12].copy_from_slice(&77u32.to_le_bytes());
    let garbage = (0..good.len()).map(|i| (i * 31 % 251) as u8).collect();
    let cases = [
        ("a region whose arbiter died", good.clone(), "no arbiter"),
        ("another version", other_version, "version"),
        ("a truncated region", good[..good.len() / 2].to_vec(), "version"),
        ("an empty file", Vec::new(), "version"),
        ("garbage of the right size", garbage, "version"),
    ];
    for (case, content, word) in cases {
        fs::write(place.region(), &content).unwrap();
        println!("{case}");
        assert_runs_with_one_line(&place, &mut tenant(&place), &[word, "missile up"]);
        assert!(fs::read(place.region()).unwrap() == content, "{case} is left as it was");
    }
}

#[test]
fn a_region_that_is_none_is_replaced_by_a_new_arbiter() {
    let place = Place::with_table();
    for garbage in [&b""[..], b"not a region", &[0xEE; 1 << 21]] {
        fs::create_dir_all(place.region().parent().unwrap()).unwrap();
        fs::write(place.region(), garbage).unwrap();
        place.up(&[]).kill();
    }
}

#[test]
fn a_table_that_cannot_be_used_is_refused_before_the_program_starts() {
    let place = Place::with_table();
    let path = place.table();
    let good = fs::read_to_string(&path).unwrap();
    let refused = |words: &[&str]| {
        assert_refused(&mut tenant(&place), 2, words);
        fs::write(&path, &good).unwrap();
    };

    fs::write(&path, &good[..good.len() / 2]).unwrap();
    refused(&["damaged", "missile probe"]);
    fs::write(&path, "").unwrap();
    refused(&["damaged", "missile probe"]);
    fs::write(&path, [0xFF, 0xFE, 0, 1]).unwrap();
    refused(&["missile probe"]);
    fs::write(&path, good.replace("580.159.04", "580.159.05")).unwrap();
    refused(&["checksum", "missile probe"]);
    edit_table(&path, |content| content.replace("4d697373", "deadbeef"));
    refused(&["GPU-deadbeef", "missile probe"]);
    edit_table(&path, |content| content.replace("580.159.04", "580.95.05"));
    refused(&["580.95.05", "580.159.04", "missile probe"]);
    edit_table(&path, |content| content.replace("version = 2", "version = 99"));
    refused(&["version 99", "missile probe"]);

    let said = said(&mut tenant(&place));
    assert_eq!(said.code, Some(0), "the good one is taken: {said:?}");
}

#[test]
fn a_table_asked_for_by_name_must_be_there() {
    let place = Place::with_table();
    let missing = place.path("no-such-table.toml");
    assert_refused(tenant(&place).env("MISSILE_TABLE", &missing), 2, &["no-such-table.toml", "missile probe"]);
}

#[test]
fn run_refuses_every_bad_value() {
    let place = Place::with_table();
    for (name, value) in BAD_VALUES {
        assert_refused(tenant(&place).env(name, value), 2, &[name, value]);
    }
    for (flag, value) in [("--class", "gold"), ("--weight", "-3"), ("--copies", "1")] {
        let flag = format!("{flag}={value}");
        assert_refused(&mut place.tenant(&[&flag], "roundtrip", &SIZES), 2, &[value]);
    }
}

#[test]
fn run_refuses_a_name_that_is_no_variable() {
    let place = Place::with_table();
    for (name, nearest) in [
        ("MISSILE_COLOUR", "MISSILE_COLOR?"),
        ("MISSILE_wEIGHT", "MISSILE_WEIGHT?"),
        // Of the design, but without effect so far.
        ("MISSILE_SMS", "MISSILE_"),
    ] {
        assert_refused(tenant(&place).env(name, "off"), 2, &[name, "did you mean", nearest]);
    }
    let internal = said(tenant(&place).env("MISSILE_FUZZ_CALLS", "1").env("MISSILE_LIB_DIR", ""));
    assert_eq!(internal.code, Some(0), "{internal:?}");
}

#[test]
fn each_option_that_sets_a_variable_is_in_the_help_and_is_checked_as_the_variable_is() {
    let place = Place::with_table();
    let help = said(&mut place.missile(&["run", "--help"])).stdout;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for variable in VARIABLES {
        let Some(option) = variable.option else { continue };
        let shown = |what: &str| assert!(help.contains(what), "{what} is not in\n{help}");
        shown(&format!("--{} <{}>", option.name, option.value));
        shown(&format!("[{}: {}; default {}]", variable.name, variable.values, variable.default));
        let flag = format!("--{}=?", option.name);
        assert_refused(&mut place.tenant(&[&flag], "roundtrip", &SIZES), 2, &[variable.name, variable.values]);
    }
}

#[test]
fn the_library_warns_once_of_a_bad_value_and_goes_on() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let expected = bare(&place).json();
    for (name, value) in BAD_VALUES {
        let said = said(place.preloaded("roundtrip", &SIZES).env(name, value));
        assert_eq!((said.code, &said.json()["buffers"]), (Some(0), &expected["buffers"]), "{said:?}");
        assert_says(said.one_line(), &[name, value, "going on with"]);
    }
}

#[test]
fn an_unknown_driver_leaves_memory_uncolored_and_says_so() {
    let place = Place::new();
    let description = concat!(env!("CARGO_MANIFEST_DIR"), "/simgpu/gpus/h200.toml");
    let newer = fs::read_to_string(description).unwrap().replace("580.159.04", "595.10.01");
    let gpu = place.path("newer.toml");
    fs::write(&gpu, newer).unwrap();
    let _arbiter = place.up(&[]);

    let mut command = place.tenant_on(gpu.to_str().unwrap(), &[], "roundtrip", &["--hold", "4M"]);
    let mut tenant = Held::start_listening(&mut command);
    assert_eq!(tenant.says()["buffers"][0]["right"], true);
    let shown = place.wait_for_tenant(tenant.id(), "the tenant", |_| true);
    assert_eq!(shown["state"], "driver version not known to Missile");
    assert_eq!((&shown["colored_bytes"], &shown["color"]), (&0.into(), &serde_json::Value::Null));
    tenant.go_on();
    let said = tenant.finish();
    assert_eq!(said.code, Some(0));
    assert_says(said.one_line(), &["not coloured", "driver version"]);
}

#[test]
fn an_unknown_gpu_name_is_wrong_usage() {
    let place = Place::new();
    for subcommand in ["run", "probe"] {
        let mut command = place.missile(&[subcommand, "--sim", "h999"]);
        if subcommand == "run" {
            command.args(["--", "true"]);
        }
        let said = said(&mut command);
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{said:?}");
        assert!(said.stderr.contains("h999") && said.stderr.contains("h200"), "{said:?}");
    }
}

#[test]
fn run_ends_as_the_program_does() {
    let place = Place::new();
    let run = |program: &[&str]| said(place.missile(&["run", "--sim", "h200", "--"]).args(program));
    assert_eq!(run(&["sh", "-c", "exit 42"]).code, Some(42));
    let not_found = run(&["/no/such/program"]);
    assert_eq!(not_found.code, Some(127));
    assert_says(not_found.one_line(), &["/no/such/program"]);
    let not_executable = run(&["/etc/passwd"]);
    assert_eq!(not_executable.code, Some(126));
    assert_says(not_executable.one_line(), &["/etc/passwd"]);
}

#[test]
fn top_and_down_without_an_arbiter_say_so() {
    let place = Place::new();
    let ask = |arguments: &[&str], words: &[&str]| assert_refused(&mut place.missile(arguments), 1, words);
    for arguments in [&["top", "--once"][..], &["top", "--once", "--json"], &["down"]] {
        ask(arguments, &["no arbiter"]);
    }
    place.up(&[]).kill();
    for arguments in [&["top", "--once"][..], &["down"]] {
        ask(arguments, &["no arbiter"]);
    }
}

#[test]
fn shares_of_the_map_budget_that_cannot_be_are_refused() {
    let place = Place::new();
    for way in [&["up"][..], &["up", "--foreground"]] {
        let refused =
            |options: &[&str], words: &[&str]| assert_refused(&mut place.missile(&[way, options].concat()), 2, words);
        refused(&["--map-tenants", "0"], &["0 tenants", "from 1 to 64"]);
        refused(&["--map-tenants", "65"], &["65 tenants", "from 1 to 64"]);
        refused(&["--map-budget", "7"], &["budget of 7", "4 tenants", "8 or more"]);
        refused(&["--map-tenants", "64", "--map-budget", "127"], &["budget of 127", "128 or more"]);
        assert_eq!(said(&mut place.missile(&[way, &["--map-tenants", "-1"]].concat())).code, Some(2));
    }
    assert!(place.top().is_none());
}

#[test]
fn an_arbiter_in_the_background_has_the_options_it_was_started_with() {
    let place = Place::new();
    let up = said(&mut place.missile(&["up", "--map-budget", "1000", "--map-tenants", "5"]));
    assert_eq!((up.code, up.stderr.as_str()), (Some(0), ""), "{up:?}");
    let top = place.top().unwrap();
    assert_eq!(top["maps"], serde_json::json!({ "used": 0, "budget": 1000, "guaranteed": 100 }));
    let shown = said(&mut place.missile(&["top", "--once"])).stdout;
    assert!(shown.contains("maps    0 of 1000, 100 guaranteed to a tenant"), "{shown}");
    assert_eq!(said(&mut place.missile(&["down"])).code, Some(0));
}

#[test]
fn an_arbiter_in_the_background_is_started_once_and_ended_once() {
    let place = Place::new();
    let up = said(&mut place.missile(&["up"]));
    assert_eq!((up.code, up.stderr.as_str()), (Some(0), ""), "{up:?}");
    assert_refused(&mut place.missile(&["up"]), 1, &["already", "missile down"]);
    assert!(place.top().is_some());
    let down = said(&mut place.missile(&["down"]));
    assert_eq!((down.code, down.stderr.as_str()), (Some(0), ""), "{down:?}");
    assert_refused(&mut place.missile(&["down"]), 1, &["no arbiter"]);
}
