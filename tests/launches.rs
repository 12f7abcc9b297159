//! Best-effort launches under MPS beside a latency-sensitive tenant: when they are held, when they are let go, and that
//! nothing else changes. Times are compared with what the library promises, never with one another.

mod harness;

use harness::c::Program;
use harness::programs::{Held, said};
use harness::{Arbiter, Place, tenant_of};
use serde_json::{Value, json};
use std::process::Command;

const WORK: Program = Program::plain("work", "launches/work.c").with(&["-ldl"]);

fn place() -> (Place, Arbiter) {
    let place = Place::with_table();
    let arbiter = place.up(&[]);
    (place, arbiter)
}

/// The program as a tenant, under MPS or not.
fn work(place: &Place, flags: &[&str], arguments: &[&str], mps: bool) -> Command {
    let mut command = place.missile(&["run", "--sim", "h200", "--color", "off"]);
    command.args(flags).arg("--").arg(WORK.built()).args(arguments).env("SIMGPU_MPS", if mps { "1" } else { "0" });
    command
}

fn bare(place: &Place, arguments: &[&str]) -> Value {
    let said = said(place.simulated(WORK.built()).args(arguments).env("SIMGPU_MPS", "1"));
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    said.json()
}

/// A latency-sensitive tenant that always has work, once the arbiter has seen that.
fn busy(place: &Place) -> Held {
    let tenant = Held::start(&mut work(place, &["--class", "ls"], &["busy"], true));
    assert_eq!(tenant.says(), json!({"busy": true}));
    place.wait_for_tenant(tenant.id(), "its work", |tenant| tenant["busy_streams"] == 1);
    tenant
}

/// Runs a best-effort program: what it says, and what `top` shows of it then.
#[track_caller]
fn beside(place: &Place, flags: &[&str], arguments: &[&str], mps: bool) -> (Value, Value) {
    let flags = [&["--class", "be"], flags].concat();
    let mut tenant = Held::start_listening(&mut work(place, &flags, arguments, mps));
    let said = tenant.says();
    let top = place.wait_for_tenant(tenant.id(), "the tenant", |_| true);
    tenant.go_on();
    let ended = tenant.finish();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{flags:?} {arguments:?}");
    (said, top)
}

#[test]
fn launches_are_held_while_a_latency_sensitive_tenant_works_and_let_go_in_the_end() {
    let (place, _arbiter) = place();
    let _sensitive = busy(&place);
    let (said, top) = beside(&place, &["--hold-max-ms", "20"], &["launch", "30"], true);
    assert_eq!(said, bare(&place, &["launch", "30"]));
    assert!(top["launch_holds"].as_u64() > Some(0) && top["launches_let_go"].as_u64() > Some(0), "{top}");
    // Each hold ends in time, with a second for a machine that has other work.
    let (held, let_go) = (top["launch_held_ms"].as_f64().unwrap(), top["launches_let_go"].as_f64().unwrap());
    assert!(held < (let_go + 1.0) * 1020.0, "{top}");
}

#[test]
fn nothing_is_held_without_mps_or_where_the_operator_says_so_or_beside_nobody() {
    let (place, _arbiter) = place();
    let (_, top) = beside(&place, &[], &["launch", "30"], true);
    assert_eq!(top["launch_holds"], 0, "nobody else is there: {top}");
    let _sensitive = busy(&place);
    for (flags, mps) in [(&["--hold-max-ms", "0"][..], true), (&[], false)] {
        let (said, top) = beside(&place, flags, &["launch", "30"], mps);
        assert_eq!(said, bare(&place, &["launch", "30"]));
        assert_eq!(top["launch_holds"], 0, "{flags:?}: {top}");
    }
}

#[test]
fn a_tenant_is_at_rest_however_it_learns_that_its_work_is_done() {
    let (place, _arbiter) = place();
    for how in ["stream", "query", "event", "event_query", "context", "copy", "word", "destroy"] {
        let mut tenant = Held::start_listening(&mut work(&place, &["--class", "ls"], &["wait", how], true));
        assert_eq!(tenant.says(), json!({"done": true}), "{how}");
        let top = place.wait_for_tenant(tenant.id(), how, |tenant| tenant["busy_streams"] == 0);
        assert_eq!((&top["launches"], &top["passed"]["fault"]), (&json!(1), &Value::Null), "{how}");
        tenant.go_on();
        assert_eq!(tenant.finish().code, Some(0), "{how}");
    }
}

#[test]
fn captures_go_on_in_one_thread_while_another_is_held() {
    let (place, _arbiter) = place();
    let _sensitive = busy(&place);
    let (said, _) = beside(&place, &["--hold-max-ms", "5"], &["capture", "20"], true);
    assert_eq!(said, bare(&place, &["launch", "20"]));
}

#[test]
fn a_kernel_that_waits_for_a_launch_behind_it_ends() {
    let (place, _arbiter) = place();
    let mut idle = Held::start_listening(&mut work(&place, &["--class", "ls"], &["wait", "stream"], true));
    assert_eq!(idle.says(), json!({"done": true}));
    place.wait_for_tenant(idle.id(), "its rest", |tenant| tenant["busy_streams"] == 0);
    let (said, _) = beside(&place, &[], &["late"], true);
    assert_eq!(said, json!({"done": true}));
    idle.go_on();
}

#[test]
fn a_latency_sensitive_tenant_that_dies_at_work_holds_nobody() {
    let (place, _arbiter) = place();
    let sensitive = busy(&place);
    let id = sensitive.id();
    drop(sensitive);
    place.wait_for("its end", |top| tenant_of(top, id).is_none());
    let (said, top) = beside(&place, &[], &["launch", "30"], true);
    assert_eq!((said, &top["launch_holds"]), (bare(&place, &["launch", "30"]), &json!(0)), "{top}");
}

#[test]
fn an_arbiter_that_dies_beside_a_tenant_at_work_holds_nobody_for_long() {
    let (place, arbiter) = place();
    let _sensitive = busy(&place);
    let mut command = work(&place, &["--class", "be"], &["launch", "30"], true);
    let tenant = Held::start(&mut command);
    place.wait_for_tenant(tenant.id(), "a hold", |tenant| tenant["launches"].as_u64() > Some(0));
    arbiter.kill();
    assert_eq!(tenant.says(), bare(&place, &["launch", "30"]));
    assert_eq!(tenant.finish().code, Some(0));
}

#[test]
fn a_target_is_learned_alone_and_steered_by_beside_others() {
    let (place, _arbiter) = place();
    let server = Held::start(&mut work(&place, &["--class", "ls", "--slo", "1.5"], &["serve"], true));
    assert_eq!(server.says(), json!({"busy": true}));
    let alone = place.wait_for_tenant(server.id(), "its p99 alone", |tenant| tenant["alone_ms"].as_f64() > Some(0.9));
    assert_eq!((&alone["target"], &alone["reached_ratio"]), (&json!(1.5), &Value::Null), "{alone}");
    let job = Held::start(&mut work(&place, &["--class", "be"], &["grind"], true));
    assert_eq!(job.says(), json!({"busy": true}));
    let beside = place.wait_for_tenant(server.id(), "its p99 beside", |tenant| tenant["reached_ratio"].is_f64());
    assert_ne!(beside["target_reached"], "learning", "{beside}");
    assert!(beside["freedom"].as_f64().is_some(), "{beside}");
}

#[test]
fn a_target_that_is_none_is_refused() {
    let place = Place::with_table();
    for bad in ["1", "1.001", "11", "fast"] {
        let said = said(&mut work(&place, &["--class", "ls", "--slo", bad], &["serve"], true));
        assert_eq!(said.code, Some(2), "{bad}");
        assert!(said.one_line().contains("MISSILE_SLO"), "{bad}");
    }
    let of_another = said(&mut work(&place, &["--class", "be", "--slo", "1.5"], &["grind"], true));
    assert_eq!(of_another.code, Some(2));
    assert!(of_another.one_line().contains("--class ls"), "{of_another:?}");
}
