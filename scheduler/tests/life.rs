//! An arbiter's life: it starts, takes over, idles and ends.

mod harness;

use harness::{GPU, Running, SharedTables, be_a_tenant, folder, tenant_process, until};
use region::{Class, Engine, HashTable, Region, Shares, Tpcs, monotonic_nanos};
use scheduler::{ArbiterError, Options, Stop, run};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The region of the arbiter of [`an_arbiter_in_a_process_of_its_own`].
const PATH_VARIABLE: &str = "SCHEDULER_TEST_REGION";

/// Not a test by itself: the tenants that the tests kill.
#[test]
fn a_tenant_in_a_process_of_its_own() {
    be_a_tenant();
}

#[test]
fn an_arbiter_says_who_it_is_and_what_it_allows() {
    let before = monotonic_nanos();
    let arbiter = Running::start();
    let header = &arbiter.layout().header;
    assert_eq!(header.arbiter_pid.load(Ordering::Relaxed), std::process::id());
    assert_eq!(arbiter.layout().map_shares(), Shares { budget: 384 * 1024, tenants: 4 });
    let started = header.started.load(Ordering::Relaxed);
    assert!((before..=monotonic_nanos()).contains(&started), "{started}");
}

#[test]
fn a_stopped_arbiter_is_gone_with_its_file_though_it_slept() {
    // Without tenants it sleeps for a minute at a time.
    const HALF_A_SLEEP: Duration = Duration::from_secs(30);

    for tenants in [0, 1] {
        let mut arbiter = Running::start();
        for _ in 0..tenants {
            arbiter.join(Class::Be, 1024);
        }
        // Long enough for it to sleep.
        std::thread::sleep(Duration::from_millis(300));
        let (ended, took) = arbiter.stop();
        ended.expect("it ends well");
        assert!(took < HALF_A_SLEEP, "{took:?}");
        assert!(!arbiter.path.exists());
        assert!(!arbiter.region.arbiter_is_alive(), "tenants see that it is gone");
    }
}

#[test]
fn a_second_arbiter_is_refused_and_harms_nothing() {
    let arbiter = Running::start();
    let options = Options::new(arbiter.path.clone(), Box::new(SharedTables::default()));
    let refused = run(options, &Stop::new().expect("an eventfd")).expect_err("the region is held");
    assert!(refused.to_string().contains("missile down"), "{refused}");
    assert!(arbiter.path.exists() && arbiter.is_running());
}

#[test]
fn shares_of_the_maps_that_cannot_be_are_refused_before_anything_is_made() {
    let folder = folder();
    let path = folder.path().join("region");
    for (map_budget, map_tenants) in [(1000, 0), (1000, 65), (1000, u64::MAX), (7, 4), (0, 1), (127, 64)] {
        let said = take_over(&path, map_budget, map_tenants).expect_err("no shares").to_string();
        assert!(said.contains("from 1 to 64") || said.contains(&format!("{} or more", 2 * map_tenants)), "{said}");
        assert!(!path.exists());
    }
}

/// Is the arbiter of the region for a moment, if it may be.
fn take_over(path: &Path, map_budget: u64, map_tenants: u64) -> Result<(), ArbiterError> {
    let stop = Stop::new().expect("an eventfd");
    stop.request();
    let usual = Options::new(path.to_owned(), Box::new(SharedTables::default()));
    run(Options { map_budget, map_tenants, ..usual }, &stop)
}

#[test]
fn a_region_is_not_taken_over_with_shares_of_what_its_tenants_hold() {
    let folder = folder();
    let path = folder.path().join("region");
    let former = Region::create(&path).expect("made");
    former.layout().share_maps(Shares { budget: 800, tenants: 1 });
    let hold = former.join().expect("a slot");
    let slot = hold.slot();
    former.layout().charge_maps(slot, 700).expect("alone it may have all");
    drop(former);
    for (budget, tenants) in [(800, 4), (600, 1)] {
        let refused = take_over(&path, budget, tenants).expect_err("700 leave too little").to_string();
        assert!(refused.contains("`--map-budget 800 --map-tenants 1`"), "{refused}");
        let left = Region::open(&path).expect("it is left where it was");
        assert_eq!(left.layout().map_shares(), Shares { budget: 800, tenants: 1 });
        assert_eq!((left.layout().maps_used(), left.arbiter_is_alive()), (700, false));
        // A lie about it must not keep a new arbiter from taking over as it was.
        left.layout().slots[slot].tenant.maps.store(if tenants == 4 { 700 } else { u64::MAX }, Ordering::Relaxed);
    }
    take_over(&path, 800, 1).expect("as before");
}

#[test]
fn what_the_dead_held_is_free_to_be_shared_anew() {
    let folder = folder();
    let path = folder.path().join("region");
    let former = Region::create(&path).expect("made");
    former.layout().share_maps(Shares { budget: 800, tenants: 1 });
    // Of the two, one is no process any more, and the other is one that nobody waited for yet.
    let [mut waited_for, mut zombie] = [(); 2].map(|()| tenant_process(&path, Class::Be));
    for child in [&mut waited_for, &mut zombie] {
        let slot_of = || former.layout().slots.iter().find(|slot| slot.pid() == Some(child.id()));
        until("it joins", || slot_of().is_some_and(|slot| slot.tenant.class().is_some()));
        slot_of().expect("it joined").tenant.maps.store(700, Ordering::Relaxed);
        child.kill().expect("it is killed");
    }
    waited_for.wait().expect("it is reaped");
    until("the other has died", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", zombie.id())).expect("a zombie");
        stat.contains(") Z ")
    });
    drop(former);
    // The process shows as dead before the last of its threads has let its files go.
    until("what it held is free", || take_over(&path, 800, 4).is_ok());
    zombie.wait().expect("it is reaped");
}

#[test]
fn an_idle_arbiter_uses_no_processor() {
    let arbiter = Running::start();
    arbiter.gpu();
    for class in [Class::Ls, Class::Be] {
        arbiter.join(class, 1024);
    }
    std::thread::sleep(Duration::from_millis(300));
    let (before, started) = (arbiter.cpu_time(), Instant::now());
    std::thread::sleep(Duration::from_secs(1));
    let (used, time) = (arbiter.cpu_time() - before, started.elapsed());
    assert!(used < time / 100, "{used:?} in {time:?}");
}

#[test]
fn an_arbiter_whose_tenants_take_turns_leaves_the_processor_to_them() {
    let arbiter = Running::start();
    arbiter.join_with_groups(Class::Ls, 1024);
    let tenants = [(); 2].map(|()| arbiter.join_with_groups(Class::Be, 1024));
    let (before, started) = (arbiter.cpu_time(), Instant::now());
    for _ in 0..200 {
        std::thread::sleep(Duration::from_millis(5));
        for engine in Engine::ALL {
            tenants.iter().for_each(|tenant| arbiter.submit(tenant, engine));
        }
    }
    let (used, time) = (arbiter.cpu_time() - before, started.elapsed());
    assert!(used < time / 10, "{used:?} in {time:?}");
}

#[test]
fn hashes_are_published_to_whoever_joins_and_withdrawn_when_they_vanish() {
    let arbiter = Running::start();
    let table = HashTable::new(4096, &[0x1000, 0x6000]).expect("a table");
    let entry = || &arbiter.layout().header.gpus[arbiter.gpu()];
    assert_eq!(entry().hash(), None);
    arbiter.tables.0.lock().push((GPU, table));
    arbiter.join(Class::Be, 1024);
    until("the hash is published", || entry().hash() == Some(table));
    let other = HashTable::new(65536, &[0x10000]).expect("a table");
    arbiter.tables.0.lock()[0].1 = other;
    until("the changed hash is published", || entry().hash() == Some(other));
    arbiter.tables.0.lock().clear();
    until("the hash is withdrawn", || entry().hash().is_none());
}

#[test]
fn tpcs_are_published_without_a_hash_put_right_and_withdrawn_when_they_vanish() {
    let arbiter = Running::start();
    let [tpcs, other] = [[0xFF, 0xFF00], [0xF, 0]].map(|sides| Tpcs::new(sides, 2).expect("TPCs"));
    let entry = || &arbiter.layout().header.gpus[arbiter.gpu()];
    assert_eq!(entry().tpcs(), None);
    arbiter.tables.1.lock().push((GPU, tpcs));
    arbiter.join(Class::Be, 1024);
    until("the TPCs are published", || entry().tpcs() == Some(tpcs));
    assert_eq!(entry().hash(), None);
    entry().publish_tpcs(Some(&other));
    until("what is not the arbiter's is put right", || entry().tpcs() == Some(tpcs));
    arbiter.tables.1.lock().clear();
    until("the TPCs are withdrawn", || entry().tpcs().is_none());
}

#[test]
fn the_region_of_a_killed_arbiter_is_taken_over_with_the_living_and_without_the_dead() {
    let folder = folder();
    let path = folder.path().join("region");
    let mut first = Command::new(std::env::current_exe().expect("this test's path"))
        .args(["--exact", "an_arbiter_in_a_process_of_its_own", "--nocapture"])
        .env(PATH_VARIABLE, &path)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the first arbiter starts");
    let mut old = None;
    until("the first arbiter runs", || {
        old = old.take().or_else(|| Region::open(&path).ok());
        let pid = old.as_ref().map(|region: &Region| region.layout().header.arbiter_pid.load(Ordering::Acquire));
        pid == Some(first.id())
    });
    let old = old.expect("the region");
    let hold = old.join().expect("a slot");
    let living = hold.slot();
    let mut dying = tenant_process(&path, Class::Be);
    let slot_of = |pid| old.layout().slots.iter().position(|slot| slot.pid() == Some(pid));
    until("it joins", || slot_of(dying.id()).is_some_and(|slot| old.layout().slots[slot].tenant.class().is_some()));
    let dead = slot_of(dying.id()).expect("it joined");
    old.layout().charge_maps(living, 10).expect("room");
    old.layout().charge_maps(dead, 20).expect("room");
    first.kill().expect("the first arbiter is killed");
    first.wait().expect("it is reaped");
    dying.kill().expect("a tenant is killed");
    dying.wait().expect("it is reaped");
    assert!(path.exists() && !old.arbiter_is_alive());

    let second = Running::start_in(folder);
    until("the dead tenant's slot is free", || second.layout().slots[dead].pid().is_none());
    assert_eq!(second.layout().slots[living].pid(), Some(std::process::id()));
    assert_eq!(old.layout().maps_used(), 10, "the old mapping shows the new arbiter's doing");
    let slot = &old.layout().slots[living];
    slot.tenant.class.store(Class::Be.code(), Ordering::Release);
    slot.tenant.copies.store(1, Ordering::Relaxed);
    second.describe(slot, region::Means::SlicesAndStops);
    second.join_with_groups(Class::Ls, 1024);
    until("it has orders of the new arbiter's", || second.slice(slot, Engine::Copy) == Some(1));
}

/// Not a test by itself: the arbiter that the test above kills.
#[test]
fn an_arbiter_in_a_process_of_its_own() {
    if let Some(path) = std::env::var_os(PATH_VARIABLE) {
        let options = Options::new(path.into(), Box::new(SharedTables::default()));
        run(options, &Stop::new().expect("an eventfd")).expect("it runs until it is killed");
    }
}
