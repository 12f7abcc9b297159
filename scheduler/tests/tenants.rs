//! Tenants that come and die under a running arbiter.

mod harness;

use harness::{Running, be_a_tenant, join, stays, until};
use region::{Class, Engine, JoinError, Means, SLOTS, monotonic_nanos};
use std::process::Child;
use std::sync::atomic::Ordering;
use std::time::Duration;
use units::Nanos;

/// Not a test by itself: the tenants that the tests kill.
#[test]
fn a_tenant_in_a_process_of_its_own() {
    be_a_tenant();
}

fn kill(mut child: Child) {
    child.kill().expect("the child is killed");
    child.wait().expect("the child is reaped");
}

#[test]
fn what_a_dead_tenant_held_is_free_before_a_sleeping_arbiter_would_have_looked_by_itself() {
    /// Less than is left of the second after which an arbiter with idle tenants looks by itself.
    const BY_ITSELF: Nanos = Nanos::from_millis(600);
    let arbiter = Running::start();
    let freed_at_once = || {
        let (child, slot) = arbiter.join_elsewhere(Class::Be);
        arbiter.layout().charge_maps(0, 500).expect("the budget has room");
        // Long enough for the arbiter to have gone to sleep, and not to have woken by itself.
        std::thread::sleep(Duration::from_millis(300));
        let killed = Nanos::new(monotonic_nanos());
        kill(child);
        until("the slot is free", || slot.pid().is_none());
        assert_eq!(arbiter.layout().maps_used(), 0);
        Nanos::new(monotonic_nanos()).saturating_sub(killed) < BY_ITSELF
    };
    // A busy machine may wake the arbiter as late as it would have woken by itself.
    assert!((0..10).any(|_| freed_at_once()));
}

#[test]
fn nobody_stands_still_for_a_dead_tenant() {
    let arbiter = Running::start();
    arbiter.join_with_groups(Class::Ls, 1024);
    let (child, dead) = arbiter.join_elsewhere(Class::Be);
    arbiter.describe(dead, Means::SlicesAndStops);
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
fn a_slot_that_nobody_holds_is_freed_though_the_process_that_it_names_lives() {
    let arbiter = Running::start();
    let hold = join(&arbiter.region, Class::Be, 1024);
    let slot = &arbiter.layout().slots[hold.slot()];
    until("it is taken in", || slot.orders.has_noticed(hold.tenure()));
    drop(hold);
    until("the slot is free", || slot.pid().is_none());
}

#[test]
fn a_tenant_that_lives_keeps_its_slot_though_it_never_says_what_it_is() {
    let arbiter = Running::start();
    let slot = arbiter.keep(arbiter.region.join().expect("a free slot"));
    arbiter.layout().header.doorbell.ring_loudly();
    stays(Duration::from_millis(1300), "the slot is held", || slot.pid().is_some());
}

#[test]
fn a_newcomer_is_told_that_it_was_taken_in_with_nothing_of_what_the_one_before_was_told() {
    let arbiter = Running::start();
    arbiter.join_with_groups(Class::Ls, 1024);
    let first = join(&arbiter.region, Class::Be, 1024);
    let slot = &arbiter.layout().slots[first.slot()];
    arbiter.describe(slot, Means::SlicesAndStops);
    until("the first has orders", || arbiter.slice(slot, Engine::Copy) == Some(1));
    drop(first);
    let second = arbiter.region.join().expect("the same slot, whoever clears it");
    assert!(std::ptr::eq(slot, &arbiter.layout().slots[second.slot()]));
    arbiter.layout().header.doorbell.ring_loudly();
    until("it is taken in", || slot.orders.has_noticed(second.tenure()));
    assert_eq!(arbiter.slice(slot, Engine::Copy), None);
}

#[test]
fn as_many_come_as_there_are_slots_though_the_arbiter_never_gets_to_clear_those_of_the_dead() {
    let folder = harness::folder();
    let arbiter = region::Region::create(&folder.path().join("region")).expect("an arbiter that does nothing");
    for _ in 0..3 {
        let joined = || join(&arbiter, Class::Be, 1024);
        let holds: Vec<_> = (0..SLOTS).map(|_| joined()).collect();
        holds.iter().for_each(|hold| arbiter.layout().slots[hold.slot()].tenant.maps.store(9, Ordering::Relaxed));
        assert!(matches!(arbiter.join(), Err(JoinError::Full)), "those live");
    }
    let last = arbiter.join().expect("a slot");
    assert_eq!(arbiter.layout().slots[last.slot()].tenant.maps.load(Ordering::Relaxed), 0, "it starts anew");
}

#[test]
fn a_freed_slot_serves_its_next_holder() {
    let arbiter = Running::start();
    let (child, slot) = arbiter.join_elsewhere(Class::Be);
    kill(child);
    until("the slot is free", || slot.pid().is_none());
    let next = arbiter.join_with_groups(Class::Be, 1024);
    arbiter.join_with_groups(Class::Ls, 1024);
    until("it has orders of its own", || arbiter.slice(next, Engine::Copy) == Some(1));
}
