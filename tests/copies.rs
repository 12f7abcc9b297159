//! Copies of every kind while others want the bus: what arrives, who goes first, and who gets how much. The figures are
//! the simulated bus's, and only compared with one another.

mod harness;

use harness::c::{self, Program};
use harness::programs::Held;
use harness::{Arbiter, Place};
use serde_json::Value;
use std::process::{Child, Stdio};

const KINDS: Program = Program::plain("kinds", "copies/kinds.c").with(&["-ldl"]);
const HELD: Program = Program::plain("held", "copies/held.c").with(&["-ldl"]);

/// Another tenant that copies until it is dropped.
struct Copier(Child);

impl Copier {
    fn start(place: &Place, class: &str, arguments: &[&str]) -> Copier {
        let mut command = place.tenant(&["--class", class, "--color", "off"], "copier", arguments);
        command.args(["--seconds", "3600"]);
        let copier = Copier(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the copier"));
        place.wait_for_tenant(copier.0.id(), "the copier", |tenant| {
            tenant["h2d_bytes"].as_u64().max(tenant["d2h_bytes"].as_u64()) > Some(1 << 20)
        });
        copier
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Copies by every kind of call as a tenant, and checks what arrived and what was counted. What `top` says of it.
#[track_caller]
fn every_kind_arrives(place: &Place, flags: &[&str], mps: bool) -> Value {
    let mut command = place.missile(&["run", "--sim", "h200", "--color", "off"]);
    command.args(flags).arg("--").arg(KINDS.built()).arg("2").env("SIMGPU_MPS", if mps { "1" } else { "0" });
    let mut tenant = Held::start_listening(&mut command);
    let said = tenant.says();
    assert_eq!(said["wrong"], serde_json::json!([]), "{flags:?}");
    let top = place.wait_for_tenant(tenant.id(), "the tenant", |_| true);
    for (counted, sent) in [("h2d_bytes", "to_device"), ("d2h_bytes", "to_host"), ("d2d_bytes", "within")] {
        assert_eq!(top[counted], said[sent], "{counted}");
    }
    assert_eq!((&top["passed"]["fault"], &top["passed"]["no_lane"]), (&Value::Null, &Value::Null));
    tenant.go_on();
    assert_eq!(tenant.finish().code, Some(0));
    top
}

fn place(flags: &[&str]) -> (Place, Arbiter) {
    let place = Place::with_table();
    let arbiter = place.up(flags);
    (place, arbiter)
}

#[test]
fn every_kind_of_copy_arrives_where_nobody_else_wants_the_bus() {
    if !c::is_there() {
        return;
    }
    let (place, _arbiter) = place(&[]);
    let top = every_kind_arrives(&place, &["--class", "be"], false);
    assert!(top["passed"]["uncontended"].as_u64() > Some(50), "{top}");
}

#[test]
fn every_kind_of_copy_arrives_in_turn_with_another_best_effort_tenant() {
    if !c::is_there() {
        return;
    }
    let (place, _arbiter) = place(&[]);
    let _others =
        [Copier::start(&place, "be", &["bulk", "2M"]), Copier::start(&place, "be", &["bulk", "2M", "--to-host"])];
    every_kind_arrives(&place, &["--class", "be"], false);
}

#[test]
fn every_kind_of_copy_arrives_in_small_pieces_beside_latency_sensitive_tenants() {
    if !c::is_there() {
        return;
    }
    let (place, _arbiter) = place(&["--piece", "4K"]);
    let _others = [
        Copier::start(&place, "ls", &["ls", "64K", "1000"]),
        Copier::start(&place, "ls", &["ls", "64K", "1000", "--to-host"]),
    ];
    let top = every_kind_arrives(&place, &["--class", "be"], false);
    assert_eq!(top["ferried_bytes"], 0, "kernels of two processes do not run side by side here: {top}");
    let pieces = |direction: &str| top["served"][direction]["service_us_p50"].as_u64();
    assert!(pieces("h2d") > Some(0) && pieces("d2h") > Some(0), "pieces were let go: {top}");
}

#[test]
fn large_copies_go_past_the_engine_beside_a_latency_sensitive_tenant_and_arrive() {
    if !c::is_there() {
        return;
    }
    let (place, _arbiter) = place(&[]);
    let _other = Copier::start(&place, "ls", &["ls", "64K", "1000"]);
    let ferried = |flags: &[&str], mps| every_kind_arrives(&place, flags, mps)["ferried_bytes"].as_u64();
    // On a busy machine a stream's trial may take too long, and its copies stay with the engine.
    let be = ["--class", "be"];
    assert!((0..5).any(|_| ferried(&be, true) > Some(0)));
    assert_eq!(ferried(&["--class", "be", "--copies", "engine"], true), Some(0), "the operator wants none");
    assert_eq!(ferried(&be, false), Some(0), "kernels of two processes do not run side by side");
}

/// A program whose kernel has every SM and waits for a copy, which then cannot be done by a kernel.
#[test]
fn a_copy_that_a_kernel_waits_for_with_every_sm_arrives() {
    if !c::is_there() {
        return;
    }
    let (place, _arbiter) = place(&[]);
    let _other = Copier::start(&place, "ls", &["ls", "64K", "1000"]);
    let meanwhiles = [
        "stream",
        "event",
        "context",
        "query",
        "fetch",
        "free",
        "free_host",
        "unregister",
        "unload",
        "cooperative",
        "two",
        "await",
        "late",
    ];
    // The last is the first that goes past the engine at all.
    let cases =
        meanwhiles.map(|meanwhile| (meanwhile, "large")).into_iter().chain([("stream", "again"), ("stream", "small")]);
    for (meanwhile, first) in cases {
        // On a busy machine a stream's trial may take too long, and its copies stay with the engine.
        let went_past = (0..5).any(|_| {
            let mut command = place.missile(&["run", "--sim", "h200", "--color", "off", "--class", "be", "--"]);
            command.arg(HELD.built()).args([meanwhile, first]).env("SIMGPU_MPS", "1");
            let mut tenant = Held::start_listening(&mut command);
            let said = tenant.says();
            assert_eq!(said["right"], true, "{meanwhile}");
            // Ten seconds later the program would have let the kernel go itself.
            assert!(said["took_ms"].as_f64() < Some(3000.0), "{meanwhile}: {said}");
            let top = place.wait_for_tenant(tenant.id(), "the tenant", |_| true);
            tenant.go_on();
            assert_eq!(tenant.finish().code, Some(0), "{meanwhile}");
            // Where the stream came to its copy only later, who freed had given that to the engine by then.
            top["ferried_bytes"].as_u64() > Some(0) && (meanwhile == "late" || top["gate_timeouts"].as_u64() > Some(0))
        });
        assert!(went_past, "{meanwhile}: a copy was to go past the engine, and was given back");
    }
}

/// With one queue for all streams, the engine that was to take the copy back would stand behind the wait for it.
#[test]
fn copies_stay_with_the_engine_where_it_could_not_take_them_back() {
    if !c::is_there() {
        return;
    }
    let (place, _arbiter) = place(&[]);
    let _other = Copier::start(&place, "ls", &["ls", "64K", "1000"]);
    let mut command = place.missile(&["run", "--sim", "h200", "--color", "off", "--class", "be", "--"]);
    command.arg(HELD.built()).arg("two").env("SIMGPU_MPS", "1").env("CUDA_DEVICE_MAX_CONNECTIONS", "1");
    let mut tenant = Held::start_listening(&mut command);
    let said = tenant.says();
    assert_eq!(said["right"], true);
    assert!(said["took_ms"].as_f64() < Some(3000.0), "{said}");
    let top = place.wait_for_tenant(tenant.id(), "the tenant", |_| true);
    assert_eq!(top["ferried_bytes"], 0, "{top}");
    tenant.go_on();
    assert_eq!(tenant.finish().code, Some(0));
}

/// Who copies much at a time would feel what goes past the engine; so would who launches kernels, which is a test of the
/// scheduler's.
#[test]
fn copies_stay_with_the_engine_beside_a_latency_sensitive_tenant_that_would_feel_it() {
    let (place, _arbiter) = place(&[]);
    // What of a bulk copier's went past the engine beside such a tenant, once both are known to be there.
    let ferried = |size: &str| {
        let flags = |class| ["--class", class, "--color", "off"];
        let mut bulk = place.tenant(&flags("be"), "copier", &["bulk", "8M", "--seconds", "3600"]);
        let bulk = Held::start(bulk.env("SIMGPU_MPS", "1"));
        let mut other = place.tenant(&flags("ls"), "copier", &["ls", size, "2000", "--seconds", "3600"]);
        let other = Held::start(other.env("SIMGPU_MPS", "1"));
        let counted = |name: &str| {
            let tenant = place.wait_for_tenant(bulk.id(), "the bulk copier", |_| true);
            tenant[name].as_u64().expect("a number")
        };
        place.wait_for_tenant(other.id(), "the other", |tenant| tenant["h2d_bytes"].as_u64() > Some(1 << 20));
        let copied = counted("h2d_bytes");
        let ferried = counted("ferried_bytes");
        place.wait_for_tenant(bulk.id(), "copies", |tenant| tenant["h2d_bytes"].as_u64() > Some(copied + (256 << 20)));
        let ferried = counted("ferried_bytes") - ferried;
        bulk.kill();
        other.kill();
        ferried
    };
    assert_eq!(ferried("1M"), 0);
    // On a busy machine a stream's trial may take too long, and its copies stay with the engine.
    assert!((0..5).any(|_| ferried("64K") > 0));
}

#[test]
fn a_latency_sensitive_tenant_waits_for_nothing_beside_a_best_effort_one() {
    if !c::is_there() {
        return;
    }
    let (place, _arbiter) = place(&[]);
    let _other = Copier::start(&place, "be", &["bulk", "8M"]);
    let top = every_kind_arrives(&place, &["--class", "ls"], false);
    assert_eq!((&top["copy_wait_us_p99"], &top["gate_timeouts"]), (&0.into(), &0.into()), "{top}");
}

#[test]
fn not_even_the_first_copy_of_a_best_effort_tenant_goes_whole_beside_a_latency_sensitive_one() {
    let (place, _arbiter) = place(&[]);
    // It copies now and then, and is at rest when the other comes.
    let _other = Copier::start(&place, "ls", &["ls", "2M", "300000"]);
    let mut bulk = place.tenant(&["--class", "be", "--color", "off"], "copier", &["bulk", "8M", "--seconds", "3600"]);
    let bulk = Held::start(&mut bulk);
    let top =
        place.wait_for_tenant(bulk.id(), "the bulk copier", |tenant| tenant["h2d_bytes"].as_u64() > Some(64 << 20));
    bulk.kill();
    assert_eq!(top["passed"]["uncontended"], Value::Null, "{top}");
}

/// The bytes a second of bulk copiers, given by size and weight, that copy side by side.
fn rates<const N: usize>(place: &Place, tenants: [(&str, &str); N]) -> [f64; N] {
    let gate = place.path("go");
    let copiers = tenants.map(|(size, weight)| {
        let flags = ["--class", "be", "--color", "off", "--weight", weight];
        let arguments = ["bulk", size, "--seconds", "2", "--after", gate.to_str().expect("a path of ours")];
        let copier = Held::start(&mut place.tenant(&flags, "copier", &arguments));
        place.wait_for_tenant(copier.id(), "its first copy", |tenant| tenant["h2d_bytes"].as_u64() > Some(0));
        copier
    });
    std::fs::write(&gate, "").expect("a file");
    let rates = copiers.map(|copier| copier.finish().json()["gbps"].as_f64().expect("a rate"));
    std::fs::remove_file(&gate).expect("the file");
    rates
}

#[test]
fn bulk_copiers_share_by_weight_whatever_the_sizes_of_their_copies() {
    let (place, _arbiter) = place(&[]);
    // On a busy machine a client may be late for its turns, so a few tries may fail.
    let within = |tenants, wanted: f64| {
        (0..4).any(|_| {
            let [one, other] = rates(&place, tenants);
            let share = one / (one + other);
            println!("{tenants:?}: {one:.2} and {other:.2} GB/s, {share:.3} where {wanted} was wanted");
            (share - wanted).abs() < 0.1
        })
    };
    assert!(within([("16M", "1000"), ("2M", "1000")], 0.5));
    assert!(within([("16M", "3000"), ("2M", "1000")], 0.75));
    assert!(within([("16M", "1000"), ("2M", "3000")], 0.25));
}

#[test]
fn a_latency_sensitive_copy_takes_less_long_beside_a_governed_bulk_copier() {
    let (place, _arbiter) = place(&[]);
    // The slowest tenth: the slowest hundredth is the machine's where something else takes its cores.
    let p90 = |copies: &str| {
        let flags = |class| ["--class", class, "--color", "off", "--copies", copies];
        let bulk = Held::start(&mut place.tenant(&flags("be"), "copier", &["bulk", "64M", "--seconds", "3"]));
        place.wait_for_tenant(bulk.id(), "the bulk copier", |tenant| tenant["h2d_bytes"].as_u64() > Some(64 << 20));
        let small = ["ls", "256K", "2000", "--seconds", "1.5"];
        let sensitive = Held::start(&mut place.tenant(&flags("ls"), "copier", &small));
        let p90 = sensitive.finish().json()["p90_us"].as_f64().expect("a time");
        bulk.kill();
        p90
    };
    let better = (0..5).any(|_| {
        let (ungoverned, governed) = (p90("off"), p90("on"));
        println!("p90 {ungoverned:.0} us ungoverned, {governed:.0} us governed");
        governed * 1.4 < ungoverned
    });
    assert!(better);
}
