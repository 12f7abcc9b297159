//! The arbiter's orders, as tenants find them in the region.

mod harness;

use harness::{Running, stays, until};
use region::{Class, Engine, Means};
use std::time::Duration;

#[test]
fn a_best_effort_tenant_has_the_least_slice_for_as_long_as_a_latency_sensitive_one_is_there() {
    let arbiter = Running::start();
    let best_effort = arbiter.join_with_groups(Class::Be, 1024);
    stays(Duration::from_millis(50), "alone it has none", || arbiter.slice(best_effort, Engine::Copy).is_none());
    let sensitive = arbiter.join_with_groups(Class::Ls, 1024);
    for engine in Engine::ALL {
        until("the least slice", || arbiter.slice(best_effort, engine) == Some(1));
    }
    assert!(arbiter.slice(sensitive, Engine::Graphics) > Some(2048), "its requests are not interrupted");
    arbiter.describe(sensitive, Means::Unknown);
    sensitive.tenant.groups(arbiter.gpu(), Engine::Copy).describe(0, Means::Unknown);
    arbiter.layout().header.doorbell.ring_loudly();
    until("the driver's own again", || arbiter.slice(best_effort, Engine::Copy).is_none());
}

#[test]
fn one_whose_copies_are_not_governed_has_no_part_in_the_bus() {
    let arbiter = Running::start();
    arbiter.join_with_groups(Class::Ls, 1024);
    let aside = arbiter.join_with_groups(Class::Be, 1024);
    aside.tenant.copies.store(0, std::sync::atomic::Ordering::Relaxed);
    let other = arbiter.join_with_groups(Class::Be, 1024);
    until("the other has orders", || arbiter.slice(other, Engine::Copy) == Some(1));
    assert_eq!(arbiter.slice(aside, Engine::Copy), None);
}

#[test]
fn exactly_one_of_several_busy_best_effort_tenants_runs_at_a_time_and_each_gets_its_turns() {
    let arbiter = Running::start();
    arbiter.join_with_groups(Class::Ls, 1024);
    let tenants = [(); 3].map(|()| arbiter.join_with_groups(Class::Be, 1024));
    let mut ran = [0; 3];
    let mut looks = 0;
    until("each had turns", || {
        for engine in Engine::ALL {
            tenants.iter().for_each(|tenant| arbiter.submit(tenant, engine));
        }
        let running: Vec<_> = (0..3).filter(|&i| !arbiter.stands_still(tenants[i], Engine::Copy)).collect();
        if let [one] = running[..] {
            ran[one] += 1;
            looks += 1;
        }
        ran.iter().all(|&turns| turns >= 20)
    });
    assert!(looks >= 60);
    // Whoever has nothing to do is not waited for, and does not stand still either.
    let [one, two, idle] = tenants;
    until("the two go on without the third", || {
        [one, two].into_iter().for_each(|tenant| arbiter.submit(tenant, Engine::Copy));
        !arbiter.stands_still(idle, Engine::Copy)
            && arbiter.stands_still(one, Engine::Copy) != arbiter.stands_still(two, Engine::Copy)
    });
}

#[test]
fn who_cannot_be_stopped_shares_by_slices_instead() {
    let arbiter = Running::start();
    arbiter.join_with_groups(Class::Ls, 1024);
    let tenants = [Means::SlicesAndStops, Means::Slices].map(|means| {
        let slot = arbiter.join_with_groups(Class::Be, 1024);
        arbiter.describe(slot, means);
        slot
    });
    until("slices longer than the least", || tenants.iter().all(|slot| arbiter.slice(slot, Engine::Copy) > Some(1)));
    stays(Duration::from_millis(100), "nobody stands still", || {
        tenants.iter().for_each(|slot| arbiter.submit(slot, Engine::Copy));
        !tenants.iter().any(|slot| arbiter.stands_still(slot, Engine::Copy))
    });
}

#[test]
fn an_arbiter_that_ends_leaves_nobody_with_orders() {
    let mut arbiter = Running::start();
    arbiter.join_with_groups(Class::Ls, 1024);
    arbiter.join_with_groups(Class::Be, 1024);
    until("it has orders", || arbiter.slice(&arbiter.layout().slots[1], Engine::Copy) == Some(1));
    arbiter.stop().0.expect("it ends well");
    assert_eq!(arbiter.slice(&arbiter.layout().slots[1], Engine::Copy), None);
}
