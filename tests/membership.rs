//! A process is a tenant once, for as long as its image lives: whatever it executes, closes or leaves behind, and however
//! many come at once.

mod harness;

use harness::c::Program;
use harness::programs::{Held, said};
use harness::{Place, tenant_of};
use serde_json::Value;
use std::process::Command;

static EXECUTING: Program = Program::plain("executing", "membership/executing.c");
static CLOSING: Program = Program::plain("closing", "membership/closing.c");

/// A program in C as a tenant.
fn tenant(place: &Place, program: &Program, arguments: &[&str]) -> Command {
    let mut command = place.missile(&["run", "--sim", "h200", "--class", "be", "--"]);
    command.arg(program.built()).args(arguments);
    command
}

/// Starts a program and waits until it has done its work.
fn worked(mut command: Command) -> Held {
    let held = Held::start_listening(&mut command);
    assert!(held.says_up_to("\"sum\"").contains("\"sum\""), "{:?}", held.finish());
    held
}

fn tenants(top: &Value) -> &[Value] {
    top["tenants"].as_array().unwrap()
}

#[test]
fn a_process_that_executes_itself_is_one_tenant_with_what_its_last_image_holds() {
    // In memory, as every image has the simulated VRAM made anew.
    let place = Place::in_memory();
    place.keep_table();
    let _arbiter = place.up(&[]);
    let once = worked(tenant(&place, &EXECUTING, &["1"]));
    let top = place.top().unwrap();
    let maps = tenant_of(&top, once.id()).unwrap()["maps"].as_u64().unwrap();
    assert!(maps > 0);
    assert_eq!(once.finish().stderr, "");

    // More images than there are slots, at once after one another.
    let often = worked(tenant(&place, &EXECUTING, &["70"]));
    let top = place.top().unwrap();
    let own = tenants(&top).iter().filter(|tenant| tenant["pid"] == often.id()).count();
    assert_eq!((own, &top["maps"]["used"]), (1, &maps.into()), "{top}");
    let mut strict = tenant(&place, &EXECUTING, &["1"]);
    strict.env("MISSILE_STRICT", "1");
    assert_eq!(worked(strict).finish().stderr, "", "there is room for another");
    let said = often.finish();
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_process_that_executes_what_uses_no_gpu_is_no_tenant_any_more() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let mut held = worked(tenant(&place, &EXECUTING, &["1", "sh", "-c", "read line"]));
    let top = place.wait_for("no tenant", |top| tenants(top).is_empty());
    assert_eq!(top["maps"]["used"], 0);
    assert!(held.runs(), "its process lives");
}

#[test]
fn a_program_that_closes_all_descriptors_stays_the_one_tenant_that_it_was() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let held = worked(tenant(&place, &CLOSING, &[]));
    let top = place.top().unwrap();
    assert_eq!(tenants(&top).len(), 1, "{top}");
    assert_eq!(tenants(&top)[0]["launches"], 1, "the same tenant: {top}");
    let said = held.finish();
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_tenant_that_joins_while_the_arbiter_does_not_get_to_run_is_coloured_all_the_same() {
    let place = Place::new();
    let arbiter = place.up(&[]);
    place.keep_table();
    arbiter.signal(libc::SIGSTOP);
    let mut tenant = Held::start_listening(&mut place.tenant(&["--class", "ls"], "roundtrip", &["--hold", "4M"]));
    // As long as it takes to get to where it joins on a busy machine, and several times what it used to wait.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    arbiter.signal(libc::SIGCONT);
    tenant.says();
    let shown = place.wait_for_tenant(tenant.id(), "the tenant", |tenant| tenant["class"] == "ls");
    assert_eq!((&shown["state"], shown["maps"].as_u64() > Some(0)), (&"coloured".into(), true), "{shown}");
    tenant.go_on();
    tenant.says();
    let said = tenant.finish();
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
}

#[test]
fn sixty_that_come_at_once_all_become_tenants_also_right_after_sixty_that_died_while_the_arbiter_does_not_run() {
    let place = Place::with_table();
    let arbiter = place.up(&[]);
    for _ in 0..2 {
        let start = || Held::start_listening(&mut place.tenant(&["--class", "be"], "roundtrip", &["--hold", "4K"]));
        let all: Vec<Held> = (0..60).map(|_| start()).collect();
        all.iter().for_each(|held| drop(held.says()));
        let top = place.top().unwrap();
        let missing = all.iter().filter(|held| tenant_of(&top, held.id()).is_none_or(|it| it["class"] != "be")).count();
        assert_eq!(missing, 0, "{top}");
        // The next ones come before the arbiter has seen that these are gone.
        arbiter.signal(libc::SIGSTOP);
        all.into_iter().for_each(Held::kill);
    }
    arbiter.signal(libc::SIGCONT);
    let mut strict = place.tenant(&["--class", "be"], "roundtrip", &["4K"]);
    let said = said(strict.env("MISSILE_STRICT", "1"));
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
}
