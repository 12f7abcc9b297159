//! A library that is broken on purpose does not pass the suite: each fault is noticed by a program of it.
//!
//! The faults are those of `shim/src/base/inject.rs`, in a build of the library with the feature `broken`, which does
//! nothing wrong until `MISSILE_BREAK` asks for it.

mod harness;

use harness::conformance::{
    Subject, bypassed, found_once_loaded, governed, governed_once, governed_times, keeps_errno, left_alone, survives,
};
use harness::{libraries, ways};
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder with the library that can be told to fail, built once.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("broken");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([
            "build",
            "--release",
            "--locked",
            "--offline",
            "--package",
            "missile-shim",
            "--features",
            "broken",
        ]);
        cargo.arg("--manifest-path").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        cargo.arg("--target-dir").arg(&built);
        // As in build.rs: what this build was told about its own place and flags is not for that one.
        for name in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER"]
        {
            cargo.env_remove(name);
        }
        let output = cargo.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

        let folder = built.join("libraries");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("sim")).unwrap();
        symlink(built.join("release/libmissile.so"), folder.join("libmissile.so")).unwrap();
        for name in ["sim/libcuda.so.1", "sim/libcuda.so"] {
            symlink(libraries().join(name), folder.join(name)).unwrap();
        }
        folder
    })
}

fn with(fault: Option<&'static str>) -> Subject {
    Subject { folder: Some(folder().to_owned()), fault }
}

/// A check that holds fails under a fault.
#[track_caller]
fn noticed(fault: &'static str, check: impl Fn(&Subject)) {
    check(&with(None));
    let outcome = catch_unwind(AssertUnwindSafe(|| check(&with(Some(fault)))));
    assert!(outcome.is_err(), "{fault} passes unnoticed");
}

#[test]
fn every_fault_has_a_program_that_notices_it() {
    let faults = include_str!("../shim/src/base/inject.rs").lines().filter(|line| line.starts_with("//! | `"));
    let names = faults.flat_map(|line| line.split('|').nth(1).unwrap().split(", "));
    let names: Vec<&str> =
        names.map(|name| name.trim().trim_matches('`')).filter(|&it| it != "MISSILE_BREAK").collect();
    assert!(names.len() >= 17, "{names:?}");
    for name in names {
        assert!(include_str!("broken.rs").contains(&format!("(\"{name}\"")), "{name} is tried nowhere");
    }
}

#[test]
fn a_dlsym_that_calls_instead_of_jumping_is_noticed() {
    noticed("dlsym-calls", |subject| governed(subject, &ways::NEXT));
}

#[test]
fn names_that_dlsym_does_not_govern_are_noticed() {
    noticed("no-dlsym", |subject| governed(subject, &ways::OPENED));
}

#[test]
fn missing_spellings_for_the_default_stream_of_the_thread_are_noticed() {
    noticed("no-per-thread", |subject| governed(subject, &ways::OPENED_PER_THREAD));
    noticed("no-per-thread", |subject| governed(subject, &ways::ASKED_2_THREAD));
}

#[test]
fn one_version_for_all_is_noticed() {
    noticed("newest-name", |subject| governed(subject, &ways::ASKED_2_THREAD));
}

#[test]
fn a_look_up_function_that_escapes_is_noticed() {
    noticed("no-nested-resolver", |subject| governed(subject, &ways::ASKED_1_NESTED));
    noticed("no-nested-resolver", |subject| governed(subject, &ways::ASKED_2_NESTED));
}

#[test]
fn functions_that_the_driver_does_not_have_are_noticed() {
    noticed("absent-names", |subject| governed(subject, &ways::ABSENT));
}

#[test]
fn silence_about_calls_that_go_past_is_noticed() {
    noticed("deaf", |subject| bypassed(subject, &ways::DEEP_LINKED, "/plugin.so"));
    noticed("deaf", |subject| bypassed(subject, &ways::DEEP_FROM_THE_START, "/plugin.so"));
    noticed("deaf", |subject| bypassed(subject, &ways::ESCAPED, "the program itself"));
}

#[test]
fn calls_of_the_drivers_own_that_count_as_the_programs_are_noticed() {
    noticed("reentry", governed_once);
}

#[test]
fn a_child_that_takes_itself_for_its_parent_is_noticed() {
    noticed("fork-blind", |subject| governed_times(subject, &ways::FORK, 2, 1));
}

#[test]
fn a_changed_errno_is_noticed() {
    noticed("errno", keeps_errno);
}

#[test]
fn words_on_standard_output_are_noticed() {
    noticed("stdout", |subject| governed(subject, &ways::WORKING));
}

#[test]
fn a_changed_umask_is_noticed() {
    noticed("umask", |subject| governed(subject, &ways::WORKING));
}

#[test]
fn changed_signals_are_noticed() {
    noticed("signal", |subject| governed(subject, &ways::WORKING));
}

#[test]
fn a_thread_before_the_driver_starts_is_noticed() {
    noticed("early-thread", |subject| governed(subject, &ways::WORKING));
}

/// The fault costs the program its governance and nothing else; without it nothing is said.
#[track_caller]
fn survived(fault: &'static str) {
    survives(&with(Some(fault)), &ways::LINKED);
}

#[test]
fn a_panic_before_an_allocation_is_survived() {
    survived("panic-announce");
}

#[test]
fn a_panic_after_an_allocation_is_survived() {
    survived("panic-settle");
}

#[test]
fn a_panic_in_a_copy_is_survived() {
    survived("panic-copy");
}

#[test]
fn a_panic_in_the_thread_that_follows_orders_is_survived() {
    survived("panic-orders");
}

#[test]
fn a_library_that_could_fail_and_does_not_passes() {
    for way in [ways::LINKED_NOW, ways::RELOCATED, ways::PLUGGED, ways::DEFAULT_SCOPE, ways::STUBBED, ways::ASKED_1] {
        governed(&with(None), &way);
    }
    left_alone(&with(None), &ways::IDLE);
    governed_times(&with(None), &ways::THREADS, 8, 8);
    found_once_loaded(&with(None));
}
