//! Every way that a program can reach the driver's functions is governed, and a forked child is left alone.

mod harness;

use harness::programs::{Held, said};
use harness::{Place, libraries};
use serde_json::Value;
use std::process::Command;

const MIB: u64 = 1 << 20;

/// What a program says, and what `top` then says of it. It must wait for a line of input.
#[track_caller]
fn shown(place: &Place, command: &mut Command) -> (Value, Value) {
    let tenant = Held::start_listening(command);
    let report = tenant.says();
    (report, place.wait_for_tenant(tenant.id(), "the tenant", |_| true))
}

/// The tenant launched one kernel, copied both ways, and 4 MiB of it are coloured.
#[track_caller]
fn assert_governed(tenant: &Value) {
    assert_eq!((&tenant["launches"], &tenant["colored_bytes"]), (&1.into(), &(4 * MIB).into()), "{tenant}");
    assert!(tenant["d2h_bytes"].as_u64() > Some(0), "{tenant}");
}

fn round_trip(place: &Place, arguments: &[&str]) -> Value {
    let mut command = place.tenant(&["--class", "ls"], "roundtrip", &["--hold", "4M"]);
    let (report, tenant) = shown(place, command.args(arguments));
    assert_eq!(report["buffers"][0]["right"], true, "{report}");
    assert_governed(&tenant);
    assert_eq!((&tenant["h2d_bytes"], &tenant["d2h_bytes"]), (&(4 * MIB).into(), &(8 * MIB).into()), "{tenant}");
    report
}

#[test]
fn functions_looked_up_in_the_library_are_governed() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    round_trip(&place, &["--via", "lookup"]);
}

#[test]
fn functions_that_the_driver_gives_out_are_governed() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    round_trip(&place, &["--via", "proc-address"]);
}

#[test]
fn functions_that_the_driver_gives_out_by_a_function_that_it_gave_out_are_governed() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    round_trip(&place, &["--via", "nested"]);
}

#[test]
fn functions_that_the_program_is_linked_to_are_governed() {
    let place = Place::with_table();
    let program = place.path("direct");
    let driver = libraries().join("sim/libcuda.so.1");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/entry/direct.c");
    let mut compiler = Command::new("cc");
    compiler.arg("-Wall").arg("-o").arg(&program).arg(source).arg(driver);
    let Ok(compiled) = compiler.output() else {
        println!("left out: there is no C compiler");
        return;
    };
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));

    let _arbiter = place.up(&[]);
    let mut command = place.missile(&["run", "--sim", "h200", "--class", "ls", "--"]);
    let (report, tenant) = shown(&place, command.arg(&program));
    assert_eq!(report["last"], MIB - 1 + 7);
    assert_governed(&tenant);
    assert_eq!((&tenant["name"], &tenant["class"]), (&"direct".into(), &"ls".into()));
}

#[test]
fn a_program_that_never_asks_for_the_driver_is_no_tenant() {
    let place = Place::new();
    let _arbiter = place.up(&[]);
    let mut sleeper = place.missile(&["run", "--sim", "h200", "--"]);
    let said = said(sleeper.arg(env!("CARGO_BIN_EXE_missile")).args(["top", "--once", "--json"]));
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    assert_eq!(said.json()["tenants"], serde_json::json!([]));
}

#[test]
fn a_disabled_library_only_passes_through() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let mut command = place.tenant(&[], "roundtrip", &["--hold", "4M"]);
    let tenant = Held::start_listening(command.env("MISSILE_DISABLE", "1"));
    assert_eq!(tenant.says()["buffers"][0]["right"], true);
    assert_eq!(place.top().unwrap()["tenants"], serde_json::json!([]));
    let said = tenant.finish();
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_forked_child_ends_well_and_leaves_the_parents_slot_alone() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let report = round_trip(&place, &["--fork"]);
    assert_eq!(report["child"], 0, "{report}");

    let mut command = place.tenant(&["--class", "ls"], "roundtrip", &["--hold", "4M", "--fork"]);
    let mut tenant = Held::start_listening(&mut command);
    assert_eq!(tenant.says()["child"], 0);
    let top = place.wait_for("one tenant", |top| top["tenants"].as_array().unwrap().len() == 1);
    assert_eq!(top["tenants"][0]["pid"], u64::from(tenant.id()), "the child has no slot, the parent keeps its own");
    tenant.go_on();
    tenant.says();
    assert_eq!(place.top().unwrap()["maps"]["used"], 0);
    let said = tenant.finish();
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
}
