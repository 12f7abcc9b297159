//! `missile doctor`: each thing that is not in order has its name, a fix and an exit code; nothing hangs or panics.

mod harness;

use harness::files::edit_table;
use harness::programs::{Said, said};
use harness::{Place, c, libraries};
use serde_json::Value;
use std::fs::{self, DirBuilder, Permissions};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::process::{Command, Stdio};

const NAMES: [&str; 11] =
    ["kernel", "libraries", "preload", "driver", "gpus", "table", "region", "arbiter", "mps", "coverage", "variables"];

/// A place where all is in order once an arbiter runs: its region is on a tmpfs.
fn healthy() -> Place {
    let place = Place::in_memory();
    place.keep_table();
    place
}

fn doctor(place: &Place) -> Command {
    place.missile(&["doctor", "--json", "--sim", "h200"])
}

/// The checks that are not ok. Each has a fix, the ok ones have none, and the exit code and standard error agree.
#[track_caller]
fn not_ok(said: &Said) -> Vec<Value> {
    let report = said.json();
    let checks = report["checks"].as_array().unwrap();
    assert_eq!(checks.iter().map(|check| check["name"].as_str().unwrap()).collect::<Vec<_>>(), NAMES);
    for check in checks {
        assert_eq!(check["fix"].is_string(), check["ok"] == false, "{check}");
        assert!(!check["detail"].as_str().unwrap().is_empty(), "{check}");
    }
    let bad: Vec<Value> = checks.iter().filter(|check| check["ok"] == false).cloned().collect();
    assert_eq!(said.code, Some(i32::from(!bad.is_empty())), "{said:?}");
    // Before it there may be a line of the dynamic linker's.
    let last = said.stderr.lines().last().unwrap_or_default();
    assert_eq!(last.starts_with("missile: not ok: "), !bad.is_empty(), "{said:?}");
    for check in &bad {
        assert!(last.contains(check["name"].as_str().unwrap()), "{said:?}");
    }
    bad
}

/// Exactly this check is not ok, and these words are in what it found and how to mend it.
#[track_caller]
fn assert_only(command: &mut Command, name: &str, detail: &str, fix: &str) {
    let bad = not_ok(&said(command));
    assert_eq!(bad.iter().map(|check| check["name"].as_str().unwrap()).collect::<Vec<_>>(), [name], "{bad:?}");
    assert!(bad[0]["detail"].as_str().unwrap().contains(detail), "{bad:?}");
    assert!(bad[0]["fix"].as_str().unwrap().contains(fix), "{bad:?}");
}

#[test]
fn all_is_ok_with_an_arbiter_and_a_table() {
    let place = healthy();
    let arbiter = place.up(&[]);
    let report = said(&mut doctor(&place));
    assert_eq!(not_ok(&report), [Value::Null; 0]);
    let detail = |name: &str| {
        let checks = report.json()["checks"].as_array().unwrap().clone();
        checks.iter().find(|check| check["name"] == name).unwrap()["detail"].as_str().unwrap().to_owned()
    };
    assert!(detail("libraries").contains("libmissile.so"));
    assert!(detail("driver").contains("580.159.04") && detail("driver").contains("sim/libcuda.so.1"));
    assert!(detail("gpus").contains("H200") && detail("gpus").contains("GPU-4d697373"));
    assert!(detail("table").contains(place.table().to_str().unwrap()));
    assert!(detail("arbiter").contains(&format!("process {}", arbiter.id())));
    assert_eq!(place.top().unwrap()["tenants"], serde_json::json!([]), "the doctor leaves no tenant behind");

    let plain = said(&mut place.missile(&["doctor", "--sim", "h200"]));
    assert_eq!((plain.code, plain.stderr.as_str()), (Some(0), ""), "{plain:?}");
    for (line, name) in plain.stdout.lines().zip(NAMES) {
        assert!(line.starts_with(&format!("ok  {name}: ")), "{plain:?}");
    }
    assert!(plain.stdout.contains("\nMISSILE_WEIGHT "), "{plain:?}");
}

#[test]
fn without_an_arbiter_it_says_how_to_start_one() {
    let place = healthy();
    assert_only(&mut doctor(&place), "arbiter", "none is running", "missile up");
    place.up(&[]).kill();
    assert_only(&mut doctor(&place), "arbiter", "nobody holds", "missile up");
    let plain = said(&mut place.missile(&["doctor", "--sim", "h200"]));
    assert!(plain.stdout.contains("\n!!  arbiter: ") && plain.stdout.contains("\n    fix: `missile up`"), "{plain:?}");
}

#[test]
fn a_stopped_arbiter_is_noticed() {
    let place = healthy();
    let arbiter = place.up(&[]);
    arbiter.signal(libc::SIGSTOP);
    assert_only(&mut doctor(&place), "arbiter", "stopped", "kill -CONT");
    arbiter.signal(libc::SIGCONT);
}

#[test]
fn a_table_that_is_missing_or_wrong_is_to_be_probed() {
    let place = healthy();
    let _arbiter = place.up(&[]);
    edit_table(&place.table(), |content| content.replace("580.159.04", "580.95.05"));
    assert_only(&mut doctor(&place), "table", "580.95.05", "missile probe --sim h200");
    fs::write(place.table(), "garbage").unwrap();
    assert_only(&mut doctor(&place), "table", "damaged", "missile probe");
    fs::remove_file(place.table()).unwrap();
    assert_only(&mut doctor(&place), "table", "none for GPU-4d697373", "missile probe");
    assert_only(doctor(&place).env("MISSILE_TABLE", "/no/such.toml"), "table", "/no/such.toml", "unset MISSILE_TABLE");
    assert!(not_ok(&said(doctor(&place).env("MISSILE_COLOR", "off"))).is_empty(), "then no table is needed");
}

#[test]
fn a_chosen_table_counts() {
    let place = healthy();
    let _arbiter = place.up(&[]);
    let chosen = place.path("chosen.toml");
    fs::rename(place.table(), &chosen).unwrap();
    assert!(not_ok(&said(doctor(&place).env("MISSILE_TABLE", &chosen))).is_empty());
    place.keep_table();
    edit_table(&chosen, |content| content.replace("4d697373", "deadbeef"));
    assert_only(doctor(&place).env("MISSILE_TABLE", &chosen), "table", "GPU-deadbeef", "unset MISSILE_TABLE");
}

#[test]
fn an_unknown_driver_is_named() {
    let place = healthy();
    let _arbiter = place.up(&[]);
    let description = concat!(env!("CARGO_MANIFEST_DIR"), "/simgpu/gpus/h200.toml");
    let newer = fs::read_to_string(description).unwrap().replace("580.159.04", "595.10.01");
    let gpu = place.path("newer.toml");
    fs::write(&gpu, newer).unwrap();
    let bad = not_ok(&said(&mut place.missile(&["doctor", "--json", "--sim", gpu.to_str().unwrap()])));
    assert_eq!(bad.iter().map(|check| &check["name"]).collect::<Vec<_>>(), ["driver", "table"]);
    assert!(bad[0]["fix"].as_str().unwrap().contains("580"), "{bad:?}");
}

#[test]
fn a_region_that_has_no_good_place_is_named() {
    let place = healthy();
    let missing = place.path("missing/region");
    let bad = not_ok(&said(doctor(&place).env("MISSILE_REGION", &missing)));
    assert_eq!(bad[0]["name"], "region");
    assert!(bad[0]["fix"].as_str().unwrap().contains("mkdir"), "{bad:?}");

    // Not the usual folder: where the libraries' own path needs a link in there, that is made private again for it.
    let open = place.path("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    let bad = not_ok(&said(doctor(&place).env("MISSILE_REGION", open.join("region"))));
    assert_eq!(bad[0]["name"], "region");
    assert!(bad[0]["detail"].as_str().unwrap().contains("others can write"), "{bad:?}");
    assert!(bad[0]["fix"].as_str().unwrap().contains("chmod go-w"), "{bad:?}");

    let arbiter = place.up(&[]);
    assert!(not_ok(&said(&mut doctor(&place))).is_empty());
    arbiter.kill();

    fs::write(place.region(), "not a region").unwrap();
    let bad = not_ok(&said(&mut doctor(&place)));
    assert_eq!(bad.iter().map(|check| &check["name"]).collect::<Vec<_>>(), ["region", "arbiter"]);
    assert!(bad[0]["detail"].as_str().unwrap().contains("version"), "{bad:?}");
}

#[test]
fn a_library_that_cannot_be_preloaded_is_named() {
    let place = healthy();
    let _arbiter = place.up(&[]);
    let installed = place.path("installed");
    DirBuilder::new().recursive(true).mode(0o700).create(installed.join("sim")).unwrap();
    fs::copy(libraries().join("sim/libcuda.so.1"), installed.join("sim/libcuda.so.1")).unwrap();
    fs::write(installed.join("libmissile.so"), "not a library").unwrap();
    let mut command = doctor(&place);
    command.env("MISSILE_LIB_DIR", &installed);
    assert_only(&mut command, "libraries", "glibc", "libmissile.so");
    fs::remove_file(installed.join("libmissile.so")).unwrap();
    let bad = not_ok(&said(&mut command));
    assert_eq!(bad[0]["name"], "libraries");
    assert!(bad[0]["fix"].as_str().unwrap().contains("MISSILE_LIB_DIR"), "{bad:?}");
}

#[test]
fn what_is_preloaded_besides_is_looked_at() {
    let place = healthy();
    let _arbiter = place.up(&[]);
    assert_only(doctor(&place).env("LD_PRELOAD", "/no/such.so"), "preload", "/no/such.so", "LD_PRELOAD");
    let other = place.path("libmissile.so");
    fs::copy(libraries().join("libmissile.so"), &other).unwrap();
    assert_only(doctor(&place).env("LD_PRELOAD", &other), "preload", "another libmissile.so", "LD_PRELOAD");
}

#[test]
fn a_bad_value_and_a_misspelt_name_are_explained() {
    let place = healthy();
    let _arbiter = place.up(&[]);
    let mut command = doctor(&place);
    command.env("MISSILE_WEIGHT", "0").env("MISSILE_CLASS", "ls");
    assert_only(&mut command, "variables", "MISSILE_WEIGHT=\"0\"", "MISSILE_WEIGHT");
    let variables = said(&mut command).json()["variables"].clone();
    let row = |name: &str| variables.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap();
    assert_eq!((&row("MISSILE_CLASS")["value"], &row("MISSILE_CLASS")["source"]), (&"ls".into(), &"set".into()));
    assert_eq!(row("MISSILE_CLASS")["problem"], Value::Null);
    assert_eq!(
        (&row("MISSILE_WEIGHT")["value"], &row("MISSILE_WEIGHT")["source"]),
        (&"1024".into(), &"default".into())
    );
    assert!(row("MISSILE_WEIGHT")["problem"].as_str().unwrap().contains("1 to 10000"), "{variables}");
    assert_eq!(row("MISSILE_REGION")["value"], place.region().to_str().unwrap());

    assert_only(doctor(&place).env("MISSILE_COLOUR", "off"), "variables", "MISSILE_COLOUR", "MISSILE_COLOR?");
}

/// A machine whose driver is this C code.
fn with_driver(place: &Place, code: &str) -> Command {
    let (folder, source) = (place.path("driver"), place.path("driver.c"));
    DirBuilder::new().mode(0o700).create(&folder).unwrap();
    fs::write(&source, code).unwrap();
    c::compile(&source, &folder.join("libcuda.so.1"), []);
    let mut command = place.missile(&["doctor", "--json"]);
    command.env("LD_LIBRARY_PATH", folder);
    command
}

fn named<'a>(bad: &'a [Value], name: &str) -> &'a Value {
    bad.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name} is ok: {bad:?}"))
}

#[test]
fn a_driver_that_refuses_is_explained() {
    let place = healthy();
    let code = "int cuInit(unsigned flags) { return 999; }\n\
                int cuGetErrorName(int code, const char **name) { *name = \"CUDA_ERROR_UNKNOWN\"; return 0; }\n";
    let bad = not_ok(&said(&mut with_driver(&place, code)));
    let driver = named(&bad, "driver");
    assert!(driver["detail"].as_str().unwrap().contains("cuInit answers 999 CUDA_ERROR_UNKNOWN"), "{driver}");
    assert!(driver["fix"].as_str().unwrap().contains("nvidia-modprobe"), "{driver}");
    assert!(named(&bad, "gpus")["detail"].as_str().unwrap().contains("driver does not start"));
}

#[test]
fn two_drivers_under_two_names_are_both_named() {
    let place = healthy();
    let mut command = with_driver(&place, "int cuInit(unsigned flags) { return 0; }\n");
    let folder = place.path("driver");
    fs::copy(folder.join("libcuda.so.1"), folder.join("libcuda.so")).unwrap();
    let bad = not_ok(&said(&mut command));
    let (driver, path) = (named(&bad, "driver"), folder.to_str().unwrap());
    for name in [format!("{path}/libcuda.so,"), format!("{path}/libcuda.so.1")] {
        assert!(driver["detail"].as_str().unwrap().contains(&name), "{driver}");
    }
    assert!(driver["fix"].as_str().unwrap().contains("LD_LIBRARY_PATH"), "{driver}");
}

#[test]
fn a_driver_that_crashes_does_not_end_the_doctor() {
    let place = healthy();
    let bad = not_ok(&said(&mut with_driver(&place, "int cuInit(unsigned flags) { __builtin_trap(); }\n")));
    assert!(named(&bad, "driver")["detail"].as_str().unwrap().contains("signal"), "{bad:?}");
}

#[test]
fn a_driver_that_hangs_does_not_hang_the_doctor() {
    let place = healthy();
    let code = "#include <unistd.h>\nint cuInit(unsigned flags) { for (;;) pause(); }\n";
    let bad = not_ok(&said(&mut with_driver(&place, code)));
    assert!(named(&bad, "driver")["detail"].as_str().unwrap().contains("no answer within"), "{bad:?}");
}

#[test]
fn a_machine_without_a_driver_is_told_so_in_one_line() {
    let place = healthy();
    // A library of the driver's name that is none stands for one that is missing, on any machine.
    let folder = place.path("driver");
    DirBuilder::new().mode(0o700).create(&folder).unwrap();
    fs::write(folder.join("libcuda.so.1"), "none").unwrap();
    let said = said(place.missile(&["doctor", "--json"]).env("LD_LIBRARY_PATH", &folder));
    let bad = not_ok(&said);
    assert!(named(&bad, "driver")["detail"].as_str().unwrap().contains("libcuda.so.1 cannot be loaded"), "{bad:?}");
    assert!(named(&bad, "driver")["fix"].as_str().unwrap().contains("--sim"), "{bad:?}");
    named(&bad, "gpus");
}

#[test]
fn who_reads_no_further_is_no_failure() {
    let place = healthy();
    let _arbiter = place.up(&[]);
    let mut command = place.missile(&["doctor", "--sim", "h200"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut complaints = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
    assert_eq!((child.wait().unwrap().code(), complaints.as_str()), (Some(0), ""));
}
