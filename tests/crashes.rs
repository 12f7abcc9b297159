//! Whoever dies or hangs, arbiter or tenant, in the middle of copies: the others go on.

mod harness;

use harness::programs::{Held, Said, said};
use harness::{Place, tenant_of};
use std::thread::sleep;
use std::time::Duration;

/// The longest that one copy may take while the arbiter is gone. The goal is 100 ms; the rest is for a busy machine,
/// and less than the arbiter is away.
const LONGEST_COPY_US: f64 = 600_000.0;

fn copier(place: &Place, class: &str, seconds: &str) -> Held {
    Held::start(&mut place.tenant(&["--class", class], "copier", &["bulk", "8M", "--seconds", seconds]))
}

/// Waits until the tenants take turns, for which a latency-sensitive one has to be there.
fn wait_until_contended(place: &Place, copiers: &[&Held]) {
    place.wait_for("turns", |top| {
        let turns = |held: &&Held| tenant_of(top, held.id()).is_some_and(|t| t["held_ms"]["copy"].as_f64() > Some(0.0));
        copiers.iter().all(turns)
    });
}

/// A latency-sensitive tenant.
fn sensitive(place: &Place, seconds: &str) -> Held {
    Held::start(&mut place.tenant(&["--class", "ls"], "copier", &["ls", "256K", "5000", "--seconds", seconds]))
}

/// The slice on the copy engines that a tenant's library last read back from the kernel.
fn copy_slice(place: &Place, held: &Held) -> Option<u32> {
    let region = region::Region::open(&place.region()).unwrap();
    let slot = region.layout().slots.iter().find(|slot| slot.pid() == Some(held.id())).unwrap();
    slot.tenant.groups(0, region::Engine::Copy).slice_us()
}

/// All copiers end well, and none had to wait for long.
#[track_caller]
fn assert_no_long_copy(copiers: impl IntoIterator<Item = Held>) {
    let all: Vec<Said> = copiers.into_iter().map(Held::finish).collect();
    for said in &all {
        println!("{}{}", said.stdout, said.stderr);
    }
    for said in all {
        assert_eq!(said.code, Some(0), "{said:?}");
        let longest = said.json()["max_us"].as_f64().unwrap();
        assert!(longest < LONGEST_COPY_US, "a copy took {longest} us");
    }
}

#[test]
fn copies_go_on_when_the_arbiter_is_killed_and_tenants_join_the_next_one() {
    let place = Place::with_table();
    let arbiter = place.up(&[]);
    let copiers = [copier(&place, "be", "8"), copier(&place, "be", "8"), sensitive(&place, "8")];
    wait_until_contended(&place, &[&copiers[0], &copiers[1]]);
    arbiter.kill();
    assert!(place.top().is_none());
    // A hundred milliseconds is the goal; the rest is for a busy machine.
    sleep(Duration::from_secs(1));
    assert_eq!([0, 1].map(|i| copy_slice(&place, &copiers[i])), [Some(1024); 2], "the driver's own slices are back");

    let _next = place.up(&[]);
    for held in &copiers {
        place.wait_for_tenant(held.id(), "the tenant with the new arbiter", |tenant| tenant["class"].is_string());
    }
    wait_until_contended(&place, &[&copiers[0], &copiers[1]]);
    assert_no_long_copy(copiers);
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
    let copiers = [copier(&place, "be", "8"), copier(&place, "be", "8"), sensitive(&place, "8")];
    wait_until_contended(&place, &[&copiers[0], &copiers[1]]);
    arbiter.signal(libc::SIGSTOP);
    sleep(Duration::from_secs(1));
    arbiter.signal(libc::SIGCONT);
    wait_until_contended(&place, &[&copiers[0], &copiers[1]]);
    assert_no_long_copy(copiers);
}

#[test]
fn a_latency_sensitive_tenant_does_not_notice_that_the_arbiter_dies() {
    let place = Place::with_table();
    let arbiter = place.up(&[]);
    let best_effort = copier(&place, "be", "3");
    let mut command = place.tenant(&["--class", "ls"], "copier", &["ls", "256K", "5000", "--seconds", "3"]);
    let sensitive = Held::start(&mut command);
    place.wait_for_tenant(sensitive.id(), "copies", |tenant| tenant["h2d_bytes"].as_u64() > Some(1 << 20));
    arbiter.kill();
    assert_no_long_copy([sensitive, best_effort]);
}

/// How much VRAM a newcomer finds free.
fn free_bytes(place: &Place) -> u64 {
    said(&mut place.bare("roundtrip", &["4K"])).json()["free_bytes_before"].as_u64().unwrap()
}

#[test]
fn what_a_killed_tenant_held_is_given_back_and_the_other_goes_on() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let mut survivor = copier(&place, "be", "4");
    place.wait_for_tenant(survivor.id(), "copies", |tenant| tenant["h2d_bytes"].as_u64() > Some(0));
    let top = place.top().unwrap();
    let (maps, free) = (top["maps"]["used"].as_u64().unwrap(), free_bytes(&place));

    let (victim, third) = (copier(&place, "be", "20"), sensitive(&place, "20"));
    wait_until_contended(&place, &[&survivor, &victim]);
    assert!(place.top().unwrap()["maps"]["used"].as_u64().unwrap() > maps, "the victim holds maps");
    assert!(free_bytes(&place) < free, "the victim holds memory");
    victim.kill();
    third.kill();
    place.wait_for("the slot freed", |top| top["tenants"].as_array().unwrap().len() == 1);
    assert!(survivor.runs());
    assert_eq!(place.top().unwrap()["maps"]["used"], maps);
    assert_eq!(free_bytes(&place), free);

    assert_no_long_copy([survivor]);
    let top = place.wait_for("the last slot freed", |top| top["tenants"].as_array().unwrap().is_empty());
    assert_eq!(top["maps"]["used"], 0);
}

#[test]
fn twenty_killed_tenants_leave_nothing_behind() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let free = free_bytes(&place);
    for round in 0..20u64 {
        let victims = [copier(&place, "be", "20"), copier(&place, "ls", "20")];
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
