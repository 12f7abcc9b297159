//! Tenants that come and die under a running arbiter.

mod common;

use common::{Running, stays, until, within};
use region::{Class, Engine};
use std::process::{Child, Command};
use std::time::Duration;

fn child() -> Child {
    Command::new("sleep").arg("60").spawn().expect("sleep starts")
}

fn kill(mut child: Child) {
    child.kill().expect("the child is killed");
    child.wait().expect("the child is reaped");
}

#[test]
fn what_a_dead_tenant_held_is_free_at_once_though_the_arbiter_slept() {
    let arbiter = Running::start();
    let child = child();
    let slot = arbiter.join_as(child.id(), Class::Be, 1024);
    arbiter.layout().charge_maps(0, 500).expect("the budget has room");
    // Long enough for the arbiter to have gone to sleep.
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(slot.pid(), Some(child.id()));
    kill(child);
    within(Duration::from_millis(300), "the slot is free", || slot.pid().is_none());
    assert_eq!(arbiter.layout().maps_used(), 0);
}

#[test]
fn nobody_stands_still_for_a_dead_tenant() {
    let arbiter = Running::start();
    let child = child();
    arbiter.join_with_groups(Class::Ls, 1024);
    let dead = arbiter.join_as(child.id(), Class::Be, 1024);
    arbiter.describe(dead, region::Means::SlicesAndStops);
    let living = arbiter.join_with_groups(Class::Be, 1024);
    until("they take turns", || {
        [dead, living].into_iter().for_each(|slot| arbiter.submit(slot, Engine::Copy));
        arbiter.stands_still(living, Engine::Copy)
    });
    kill(child);
    until("the other one runs", || !arbiter.stands_still(living, Engine::Copy));
    stays(Duration::from_millis(200), "it runs on", || {
        arbiter.submit(living, Engine::Copy);
        !arbiter.stands_still(living, Engine::Copy)
    });
}

#[test]
fn a_claim_by_nobody_is_freed() {
    let arbiter = Running::start();
    let gone = child();
    let pid = gone.id();
    kill(gone);
    for pid in [pid, u32::MAX] {
        let slot = arbiter.join_as(pid, Class::Be, 1024);
        until("the slot is free", || slot.pid().is_none());
    }
}

#[test]
fn a_tenant_that_lives_keeps_its_slot_though_it_never_says_what_it_is() {
    let arbiter = Running::start();
    let slot = &arbiter.layout().slots[arbiter.layout().join(std::process::id()).expect("a free slot")];
    arbiter.layout().header.doorbell.ring_loudly();
    stays(Duration::from_millis(1300), "the slot is held", || slot.pid().is_some());
}

#[test]
fn a_freed_slot_serves_its_next_holder() {
    let arbiter = Running::start();
    let child = child();
    let slot = arbiter.join_as(child.id(), Class::Be, 1024);
    kill(child);
    until("the slot is free", || slot.pid().is_none());
    let next = arbiter.join_with_groups(Class::Be, 1024);
    arbiter.join_with_groups(Class::Ls, 1024);
    until("it has orders of its own", || arbiter.slice(next, Engine::Copy) == Some(1));
}
