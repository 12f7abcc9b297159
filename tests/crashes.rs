//! Whoever dies or hangs, arbiter or tenant, in the middle of copies: the others go on.

mod harness;

use harness::programs::{Held, said};
use harness::{LONG, Place, tenant_of};
use region::{Direction, Engine, Region, Slot};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longer than a test runs. A copier ends when the test says so, or with it.
const FOR_THE_WHOLE_TEST: &str = "3600";

/// The file that ends all copiers of a place.
fn end(place: &Place) -> PathBuf {
    place.path("end")
}

fn copier(place: &Place, class: &str) -> Held {
    start(place, class, &["bulk", "8M"])
}

/// A latency-sensitive tenant.
fn sensitive(place: &Place) -> Held {
    start(place, "ls", &["ls", "256K", "5000"])
}

fn start(place: &Place, class: &str, copies: &[&str]) -> Held {
    let mut command = place.tenant(&["--class", class], "copier", copies);
    Held::start(command.args(["--seconds", FOR_THE_WHOLE_TEST, "--until"]).arg(end(place)))
}

/// Waits until the tenants take turns, for which a latency-sensitive one has to be there.
fn wait_until_contended(place: &Place, copiers: &[&Held]) {
    place.wait_for("turns", |top| {
        let turns = |held: &&Held| tenant_of(top, held.id()).is_some_and(|t| t["held_ms"]["copy"].as_f64() > Some(0.0));
        copiers.iter().all(turns)
    });
}

/// The region as its tenants write it, whether there is an arbiter or not.
fn region(place: &Place) -> Region {
    Region::open(&place.region()).unwrap()
}

fn slot_of<'a>(region: &'a Region, held: &Held) -> &'a Slot {
    region.layout().slots.iter().find(|slot| slot.pid() == Some(held.id())).expect("the tenant has a slot")
}

/// Waits until something is so that `top` does not show while there is no arbiter.
#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let asked = Instant::now();
    while !is_so() {
        assert!(asked.elapsed() < LONG, "{what}");
        sleep(Duration::from_millis(5));
    }
}

/// Each of them copies on as things are now, by several copies.
#[track_caller]
fn assert_copies_go_on(place: &Place, copiers: &[Held]) {
    let region = region(place);
    let moved = |held: &Held| slot_of(&region, held).tenant.moved[0][Direction::H2d as usize].load(Ordering::Relaxed);
    for held in copiers {
        let before = moved(held);
        wait_until("copies go on", || moved(held) > before + (32 << 20));
    }
}

/// All copiers end well when they are told to.
#[track_caller]
fn assert_end_well(place: &Place, copiers: impl IntoIterator<Item = Held>) {
    std::fs::write(end(place), "").unwrap();
    for said in copiers.into_iter().map(Held::finish) {
        assert_eq!(said.code, Some(0), "{said:?}");
    }
}

#[test]
fn copies_go_on_when_the_arbiter_is_killed_and_tenants_join_the_next_one() {
    let place = Place::with_table();
    let arbiter = place.up(&[]);
    let copiers = [copier(&place, "be"), copier(&place, "be"), sensitive(&place)];
    wait_until_contended(&place, &[&copiers[0], &copiers[1]]);
    arbiter.kill();
    assert!(place.top().is_none());
    let region = region(&place);
    let slice = |held: &Held| slot_of(&region, held).tenant.groups(0, Engine::Copy).slice_us();
    wait_until("the driver's own slices are back", || copiers[..2].iter().all(|held| slice(held) == Some(1024)));
    assert_copies_go_on(&place, &copiers);

    let _next = place.up(&[]);
    for held in &copiers {
        place.wait_for_tenant(held.id(), "the tenant with the new arbiter", |tenant| tenant["class"].is_string());
    }
    wait_until_contended(&place, &[&copiers[0], &copiers[1]]);
    assert_end_well(&place, copiers);
}

#[test]
fn tenants_join_an_arbiter_that_made_its_region_anew() {
    let place = Place::with_table();
    let arbiter = place.up(&[]);
    let mut tenant = Held::start_listening(&mut place.tenant(&["--class", "ls"], "roundtrip", &["--hold", "4M"]));
    tenant.says();
    let before = place.wait_for_tenant(tenant.id(), "the tenant", |_| true);
    arbiter.kill();
    std::fs::remove_file(place.region()).unwrap();
    assert!(place.top().is_none());

    let _next = place.up(&[]);
    let after = place.wait_for_tenant(tenant.id(), "the tenant with the new arbiter", |tenant| {
        tenant["class"] == "ls" && tenant["maps"].as_u64() > Some(0)
    });
    for key in ["colored_bytes", "maps", "name", "weight"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    tenant.go_on();
    tenant.says();
    place.wait_for("the maps given back", |top| top["maps"]["used"] == 0);
    assert_eq!(tenant.finish().code, Some(0));
}

#[test]
fn copies_go_on_while_the_arbiter_is_stopped() {
    let place = Place::with_table();
    let arbiter = place.up(&[]);
    let copiers = [copier(&place, "be"), copier(&place, "be"), sensitive(&place)];
    wait_until_contended(&place, &[&copiers[0], &copiers[1]]);
    arbiter.signal(libc::SIGSTOP);
    assert_copies_go_on(&place, &copiers);
    arbiter.signal(libc::SIGCONT);
    wait_until_contended(&place, &[&copiers[0], &copiers[1]]);
    assert_end_well(&place, copiers);
}

#[test]
fn a_latency_sensitive_tenant_copies_on_and_ends_well_when_the_arbiter_dies() {
    let place = Place::with_table();
    let arbiter = place.up(&[]);
    let tenants = [sensitive(&place), copier(&place, "be")];
    place.wait_for_tenant(tenants[0].id(), "copies", |tenant| tenant["h2d_bytes"].as_u64() > Some(1 << 20));
    place.wait_for_tenant(tenants[1].id(), "copies", |tenant| tenant["h2d_bytes"].as_u64() > Some(0));
    arbiter.kill();
    assert_copies_go_on(&place, &tenants);
    assert_end_well(&place, tenants);
}

/// How much VRAM a newcomer finds free.
fn free_bytes(place: &Place) -> u64 {
    said(&mut place.bare("roundtrip", &["4K"])).json()["free_bytes_before"].as_u64().unwrap()
}

#[test]
fn what_a_killed_tenant_held_is_given_back_and_the_other_goes_on() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let mut survivor = copier(&place, "be");
    place.wait_for_tenant(survivor.id(), "copies", |tenant| tenant["h2d_bytes"].as_u64() > Some(0));
    let top = place.top().unwrap();
    let (maps, free) = (top["maps"]["used"].as_u64().unwrap(), free_bytes(&place));

    let (victim, third) = (copier(&place, "be"), sensitive(&place));
    wait_until_contended(&place, &[&survivor, &victim]);
    assert!(place.top().unwrap()["maps"]["used"].as_u64().unwrap() > maps, "the victim holds maps");
    assert!(free_bytes(&place) < free, "the victim holds memory");
    victim.kill();
    third.kill();
    place.wait_for("the slot freed", |top| top["tenants"].as_array().unwrap().len() == 1);
    assert!(survivor.runs());
    assert_eq!(place.top().unwrap()["maps"]["used"], maps);
    assert_eq!(free_bytes(&place), free);

    assert_end_well(&place, [survivor]);
    let top = place.wait_for("the last slot freed", |top| top["tenants"].as_array().unwrap().is_empty());
    assert_eq!(top["maps"]["used"], 0);
}

#[test]
fn twenty_killed_tenants_leave_nothing_behind() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let free = free_bytes(&place);
    for round in 0..20u64 {
        let victims = [copier(&place, "be"), copier(&place, "ls")];
        let moving = |tenant: &serde_json::Value| tenant["h2d_bytes"].as_u64() > Some(0);
        for victim in &victims {
            place.wait_for_tenant(victim.id(), "copies", moving);
        }
        // At another moment of a copy each time.
        sleep(Duration::from_micros(round * 137));
        for victim in victims {
            victim.kill();
        }
    }
    let top = place.wait_for("empty slots", |top| top["tenants"].as_array().unwrap().is_empty());
    assert_eq!(top["maps"]["used"], 0);
    assert_eq!(free_bytes(&place), free);
}
