//! Tenants that come and die under a running arbiter.

mod common;

use common::{Running, stays, until};
use region::{Class, Engine};
use std::process::{Child, Command};
use std::sync::atomic::Ordering;
use std::time::Duration;
use units::Nanos;

fn child() -> Child {
    Command::new("sleep").arg("60").spawn().expect("sleep starts")
}

fn kill(mut child: Child) {
    child.kill().expect("the child is killed");
    child.wait().expect("the child is reaped");
}

#[test]
fn what_a_dead_tenant_held_is_free_before_a_sleeping_arbiter_would_have_looked_by_itself() {
    /// Less than the second that an arbiter with idle tenants sleeps, by its own clock.
    const A_SLEEP: Nanos = Nanos::from_millis(900);
    let arbiter = Running::start();
    let beat = || Nanos::new(arbiter.layout().header.heartbeat.load(Ordering::Relaxed));
    let wait_for_a_sleep = || {
        let mut last = beat();
        until("it sleeps for a second", || {
            let now = beat();
            now.saturating_sub(std::mem::replace(&mut last, now)) > A_SLEEP
        });
    };
    let freed_at_once = || {
        let child = child();
        let slot = arbiter.join_as(child.id(), Class::Be, 1024);
        arbiter.layout().charge_maps(0, 500).expect("the budget has room");
        wait_for_a_sleep();
        let before = beat();
        assert_eq!(slot.pid(), Some(child.id()));
        kill(child);
        until("the slot is free", || slot.pid().is_none());
        assert_eq!(arbiter.layout().maps_used(), 0);
        beat().saturating_sub(before) < A_SLEEP
    };
    // A busy machine may wake the arbiter as late as it would have woken by itself.
    assert!((0..10).any(|_| freed_at_once()));
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
