//! Copies of every kind while others want the bus: what arrives, who goes first, and who gets how much. The figures are
//! the simulated bus's, and only compared with one another.

mod harness;

use harness::c::Program;
use harness::programs::{Held, said};
use harness::{Arbiter, Place, tenant_of};
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};

const KINDS: Program = Program::plain("kinds", "copies/kinds.c").with(&["-ldl"]);
const HELD: Program = Program::plain("held", "copies/held.c").with(&["-ldl"]);
const FLAGS: Program = Program::plain("flags", "gpu/programs/flags.c").with(&["-ldl"]);

/// Another tenant that copies until it is dropped.
struct Copier(Child);

impl Copier {
    fn start(place: &Place, class: &str, arguments: &[&str]) -> Copier {
        Copier::start_with(place, &["--class", class], arguments)
    }

    fn start_with(place: &Place, flags: &[&str], arguments: &[&str]) -> Copier {
        Copier::start_on("h200", place, flags, arguments)
    }

    fn start_on(gpu: &str, place: &Place, flags: &[&str], arguments: &[&str]) -> Copier {
        let mut command = place.tenant_on(gpu, &[flags, &["--color", "off"]].concat(), "copier", arguments);
        command.args(["--seconds", "3600"]);
        let copier = Copier(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the copier"));
        place.wait_for_tenant(copier.0.id(), "the copier", |tenant| {
            tenant["h2d_bytes"].as_u64().max(tenant["d2h_bytes"].as_u64()) > Some(512 << 10)
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

/// Copies by every kind of call as a tenant, and checks what arrived and what was counted.
#[track_caller]
fn every_kind_arrives(place: &Place, flags: &[&str], mps: bool) {
    let mut command = place.missile(&["run", "--sim", "h200", "--color", "off"]);
    command.args(flags).arg("--").arg(KINDS.built()).arg("2").env("SIMGPU_MPS", if mps { "1" } else { "0" });
    let mut tenant = Held::start_listening(&mut command);
    let said = tenant.says();
    assert_eq!(said["wrong"], json!([]), "{flags:?}");
    let top = place.wait_for_tenant(tenant.id(), "the tenant", |_| true);
    for (counted, sent) in [("h2d_bytes", "to_device"), ("d2h_bytes", "to_host"), ("d2d_bytes", "within")] {
        assert_eq!(top[counted], said[sent], "{counted}");
    }
    assert_eq!(top["passed"]["fault"], Value::Null);
    tenant.go_on();
    assert_eq!(tenant.finish().code, Some(0));
}

fn place() -> (Place, Arbiter) {
    let place = Place::with_table();
    let arbiter = place.up(&[]);
    (place, arbiter)
}

#[test]
fn every_kind_of_copy_arrives_alone_and_beside_others_with_and_without_mps() {
    let (place, _arbiter) = place();
    every_kind_arrives(&place, &["--class", "be"], false);
    let _others = [
        Copier::start(&place, "ls", &["ls", "64K", "1000"]),
        Copier::start(&place, "be", &["bulk", "2M"]),
        Copier::start(&place, "be", &["bulk", "2M", "--to-host"]),
    ];
    for mps in [false, true] {
        for flags in [["--class", "be"], ["--class", "ls"], ["--copies", "gate"], ["--copies", "off"]] {
            every_kind_arrives(&place, &flags, mps);
        }
    }
}

/// A program whose kernel has every SM and waits for a copy.
#[test]
fn a_copy_that_a_kernel_waits_for_with_every_sm_arrives() {
    let (place, _arbiter) = place();
    let _other = Copier::start(&place, "ls", &["ls", "64K", "1000"]);
    for meanwhile in ["stream", "event", "context", "query", "fetch", "free", "cooperative", "two", "await", "late"] {
        let mut command = place.missile(&["run", "--sim", "h200", "--color", "off", "--class", "be", "--"]);
        command.arg(HELD.built()).arg(meanwhile).env("SIMGPU_MPS", "1");
        let mut tenant = Held::start_listening(&mut command);
        let said = tenant.says();
        assert_eq!(said["right"], true, "{meanwhile}");
        assert_eq!(said["let_go"], false, "{meanwhile}: {said}");
        tenant.go_on();
        assert_eq!(tenant.finish().code, Some(0), "{meanwhile}");
    }
}

/// Streams that wait for a flag of the program's own, while it copies in another: with a wait of the library's in that one,
/// such a program hung for ever.
#[test]
fn a_program_whose_streams_wait_for_its_own_flag_ends_as_bare() {
    let (place, _arbiter) = place();
    let _other = Copier::start(&place, "ls", &["ls", "256K", "500"]);
    let _third = Copier::start(&place, "be", &["bulk", "8M"]);
    for streams in ["2", "3"] {
        for flags in [&["--class", "be"][..], &["--class", "be", "--copies", "gate"]] {
            let mut command = place.missile(&["run", "--sim", "h200", "--color", "off"]);
            command.args(flags).arg("--").arg(FLAGS.built()).arg(streams).env("SIMGPU_MPS", "1");
            let said = said(&mut command);
            assert_eq!((said.code, &said.json()["right"]), (Some(0), &json!(true)), "{streams} {flags:?}: {said:?}");
        }
    }
}

/// A simulated H200 with so slow a bus that the bus is what copiers share, and not the cores of the host: any two idle cores
/// move more than 1 GB/s each, and busy ones a tenth of that.
fn slow_bus(place: &Place, gbps: f64) -> String {
    let spec = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/simgpu/gpus/h200.toml")).expect("the GPU");
    let is_rate = |line: &str| line.starts_with("h2d_gbps") || line.starts_with("d2h_gbps");
    let slowed = spec.lines().map(|line| match line.split_once('=') {
        Some((name, _)) if is_rate(line) => format!("{name}= {gbps}\n"),
        _ => format!("{line}\n"),
    });
    let path = place.path(&format!("slow-{gbps}.toml"));
    std::fs::write(&path, slowed.collect::<String>()).expect("a file");
    path.to_str().expect("a path of ours").to_owned()
}

/// A latency-sensitive copier's times, in microseconds.
fn sensitive(gpu: &str, place: &Place, copies: &str) -> Value {
    let flags = ["--class", "ls", "--color", "off", "--copies", copies];
    said(&mut place.tenant_on(gpu, &flags, "copier", &["ls", "64K", "3000", "--seconds", "1.5"])).json()
}

/// The factor by which best-effort copiers lengthen the half of a latency-sensitive tenant's copies. A host that
/// takes a core away for milliseconds lengthens the slowest ones, whoever governs.
fn lengthened(place: &Place, copies: &str, others: &[&[&str]]) -> f64 {
    let gpu = &slow_bus(place, 1.0);
    let alone = sensitive(gpu, place, copies)["p50_us"].as_f64().expect("a time");
    let flags = ["--class", "be", "--copies", copies];
    let _others: Vec<_> = others.iter().map(|arguments| Copier::start_on(gpu, place, &flags, arguments)).collect();
    let beside = sensitive(gpu, place, copies)["p50_us"].as_f64().expect("a time");
    println!("copies {copies}: p50 {alone:.0} us alone, {beside:.0} us beside {others:?}");
    beside / alone
}

#[test]
fn a_latency_sensitive_copy_hardly_waits_for_governed_bulk_copiers_and_long_for_others() {
    let (place, _arbiter) = place();
    for others in [&[&["bulk", "16M"][..]][..], &[&["bulk", "16M"], &["bulk", "4M"]]] {
        let better = (0..5).any(|_| 3.0 * lengthened(&place, "on", others) < lengthened(&place, "off", others));
        assert!(better, "beside {others:?}");
    }
}

/// The share that one of two bulk copiers, given by size and weight, gets of a figure of both, once both copy side by side
/// and the figures make up `enough`.
fn part(gpu: &str, place: &Place, tenants: [(&str, &str); 2], figure: fn(&Value) -> f64, enough: f64) -> f64 {
    let [gate, end] = ["go", "end"].map(|name| place.path(name));
    let copiers = tenants.map(|(size, weight)| {
        let flags = ["--class", "be", "--color", "off", "--weight", weight];
        // With copies in flight, the bus is shared by those who want it, and not by who is soonest back for more.
        let arguments = ["bulk", size, "--in-flight", "4", "--seconds", "3600"];
        let mut command = place.tenant_on(gpu, &flags, "copier", &arguments);
        let copier = Held::start(command.arg("--after").arg(&gate).arg("--until").arg(&end));
        place.wait_for_tenant(copier.id(), "its first copy", |tenant| tenant["h2d_bytes"].as_u64() > Some(0));
        copier
    });
    let of_both =
        |top: &Value| copiers.each_ref().map(|copier| figure(tenant_of(top, copier.id()).expect("it is there")));
    let before = of_both(&place.top().expect("an arbiter"));
    std::fs::write(&gate, "").expect("a file");
    let since = |top: &Value| {
        let [one, other] = of_both(top);
        [one - before[0], other - before[1]]
    };
    let [one, other] = since(&place.wait_for("enough", |top| since(top).iter().sum::<f64>() > enough));
    std::fs::write(&end, "").expect("a file");
    for copier in copiers {
        assert_eq!(copier.finish().code, Some(0));
    }
    [gate, end].iter().for_each(|file| std::fs::remove_file(file).expect("the file"));
    println!("{tenants:?}: {one:.0} and {other:.0}, {:.3}", one / (one + other));
    one / (one + other)
}

#[test]
fn bulk_copiers_share_the_bus_by_weight() {
    let (place, _arbiter) = place();
    let gpu = &slow_bus(&place, 0.1);
    let copied = |tenant: &Value| tenant["h2d_bytes"].as_f64().expect("a number");
    for (weight, wanted) in [("1000", 0.5), ("3000", 0.75)] {
        let part = part(gpu, &place, [("8M", weight), ("8M", "1000")], copied, 450e6);
        assert!((part - wanted).abs() < 0.12, "{part} where {wanted} is wanted");
    }
}

#[test]
fn bulk_copiers_beside_a_latency_sensitive_tenant_stand_still_in_turn_whatever_they_copy_and_the_heavier_one_less() {
    let (place, _arbiter) = place();
    let _sensitive = Copier::start(&place, "ls", &["ls", "64K", "3000"]);
    let stood_still = |tenant: &Value| tenant["held_ms"]["copy"].as_f64().expect("a number");
    for (weight, wanted) in [("1000", 0.5), ("3000", 0.75)] {
        let part = part("h200", &place, [("8M", "1000"), ("2M", weight)], stood_still, 2e3);
        assert!((part - wanted).abs() < 0.12, "{part} where {wanted} is wanted");
    }
}

#[test]
fn top_shows_the_slices_that_hold_and_how_long_turns_held_whom() {
    let (place, _arbiter) = place();
    let bulk = [(); 2].map(|()| Copier::start(&place, "be", &["bulk", "8M"]));
    let of = |top: &Value, copier: &Copier, key: &str| tenant_of(top, copier.0.id()).expect("it is there")[key].clone();
    let top = place.top().expect("an arbiter");
    assert_eq!(of(&top, &bulk[0], "slice_us"), json!({ "gr": 20_000, "copy": null }), "alone with its like");
    assert_eq!(of(&top, &bulk[0], "held_ms"), json!({ "gr": 0.0, "copy": 0.0 }));
    let sensitive = Copier::start(&place, "ls", &["ls", "256K", "1000"]);
    let top =
        place.wait_for("turns", |top| bulk.iter().all(|one| of(top, one, "held_ms")["copy"].as_f64() > Some(0.0)));
    assert_eq!(of(&top, &bulk[1], "slice_us")["copy"], 1);
    assert_eq!(of(&top, &sensitive, "held_ms"), json!({ "gr": 0.0, "copy": 0.0 }));
    drop(sensitive);
    place.wait_for("the driver's own", |top| bulk.iter().all(|one| of(top, one, "slice_us")["copy"] == 1024));
}

/// `missile run` of a best-effort copier whose kernel refuses some requests.
fn refused(place: &Place, fault: &str) -> Command {
    let mut command =
        place.tenant(&["--class", "be", "--color", "off"], "copier", &["bulk", "8M", "--seconds", "3600"]);
    command.env("SIMGPU_FAULT", fault);
    command
}

#[test]
fn what_the_kernel_refuses_is_done_without() {
    let (place, _arbiter) = place();
    let _others = [Copier::start(&place, "ls", &["ls", "256K", "1000"]), Copier::start(&place, "be", &["bulk", "8M"])];
    for (fault, means, slice) in [
        ("stop:1+:status=0x56", "slices", json!(30)),
        ("slice:1+:status=0x1B", "gate", Value::Null),
        ("get_slice:1+:status=0x56", "gate", Value::Null),
    ] {
        let copier = Held::start(&mut refused(&place, fault));
        let tenant = place.wait_for_tenant(copier.id(), "what can be done", |tenant| {
            tenant["means"]["copy"] == means && tenant["slice_us"]["copy"] == slice
        });
        let before = tenant["h2d_bytes"].as_u64();
        place.wait_for_tenant(copier.id(), "copies", |tenant| {
            tenant["h2d_bytes"].as_u64() > before.map(|b| b + (64 << 20))
        });
        copier.kill();
    }
}

#[test]
fn a_request_that_fails_now_and_then_leaves_nobody_standing_still() {
    let (place, _arbiter) = place();
    let _others = [Copier::start(&place, "ls", &["ls", "256K", "1000"]), Copier::start(&place, "be", &["bulk", "8M"])];
    // The first requests of a kind try what can be done: four, six and two.
    for fault in
        ["slice:6:errno=5", "get_slice:9:status=0x1F", "stop:3:errno=5", "stop:4:status=0x57", "stop:6:status=0x1F"]
    {
        let copier = Held::start(&mut refused(&place, fault));
        let count = |tenant: &Value| tenant["h2d_bytes"].as_u64().expect("a number");
        let turns =
            place.wait_for_tenant(copier.id(), "turns", |tenant| tenant["held_ms"]["copy"].as_f64() > Some(200.0));
        let more = count(&turns) + (256 << 20);
        place.wait_for_tenant(copier.id(), "copies after that", |tenant| count(tenant) > more);
        copier.kill();
    }
}

#[test]
fn copies_are_left_alone_where_the_operator_says_so() {
    let (place, _arbiter) = place();
    let _sensitive = Copier::start(&place, "ls", &["ls", "256K", "1000"]);
    let aside = Copier::start_with(&place, &["--class", "be", "--copies", "off"], &["bulk", "8M"]);
    let other = Copier::start(&place, "be", &["bulk", "8M"]);
    let top = place.wait_for_tenant(other.0.id(), "its slice", |tenant| tenant["slice_us"]["copy"] == 1);
    assert_eq!(top["held_ms"]["copy"], 0.0, "there is nobody to take turns with");
    let aside = place.wait_for_tenant(aside.0.id(), "the tenant", |_| true);
    assert_eq!(aside["slice_us"]["copy"], Value::Null);
}
