//! The region as its users see it: a file that is made, joined, left, damaged and taken over.
#![cfg(not(loom))]

use region::{Class, Engine, GpuKey, HashTable, JoinError, Layout, Means, OpenError, Region, SLOTS, monotonic_nanos};
use std::sync::atomic::Ordering;
use units::Nanos;

fn folder() -> tempfile::TempDir {
    // A tmpfs, as that of a region in use: an overlay, which a container may have for /tmp, keeps no locks.
    tempfile::tempdir_in("/dev/shm").expect("a temporary folder")
}

#[test]
fn a_region_is_joined_by_those_who_open_it() {
    let folder = folder();
    let path = folder.path().join("region");
    let made = Region::create(&path).expect("made");
    let opened = Region::open(&path).expect("opened");
    let hold = opened.join().expect("a free slot");
    assert_eq!(made.layout().slots[hold.slot()].pid(), Some(std::process::id()));
    assert!(opened.arbiter_is_alive());
    drop(made);
    assert!(!opened.arbiter_is_alive(), "the lock ends with its holder");
}

#[test]
fn nobody_else_may_read_the_region() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = folder.path().join("region");
    let _made = Region::create(&path).expect("made");
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_second_arbiter_is_refused() {
    let folder = folder();
    let path = folder.path().join("region");
    let _first = Region::create(&path).expect("made");
    assert!(matches!(Region::create(&path), Err(OpenError::Held(_))));
}

#[test]
fn a_dead_arbiters_region_is_taken_over_with_its_tenants() {
    let folder = folder();
    let path = folder.path().join("region");
    let first = Region::create(&path).expect("made");
    let hold = Region::open(&path).expect("opened").join().expect("a slot");
    drop(first);
    let second = Region::create(&path).expect("taken over");
    assert!(!second.end_if_gone(hold.slot()), "its holder lives");
    assert_eq!(second.layout().slots[hold.slot()].tenure(), Some(hold.tenure()));
}

#[test]
fn what_is_no_region_is_not_mapped() {
    let folder = folder();
    let path = folder.path().join("region");
    assert!(matches!(Region::open(&path), Err(OpenError::Missing(_))));
    for content in [&b""[..], b"MISSILE", &vec![7; Layout::SIZE][..], &vec![0; Layout::SIZE - 1][..]] {
        std::fs::write(&path, content).expect("written");
        assert!(matches!(Region::open(&path), Err(OpenError::Foreign(_))), "{} bytes", content.len());
    }
}

#[test]
fn a_region_of_another_version_is_refused_and_replaced() {
    let folder = folder();
    let path = folder.path().join("region");
    let made = Region::create(&path).expect("made");
    made.layout().header.version.store(99, Ordering::Relaxed);
    assert!(matches!(Region::open(&path), Err(OpenError::Foreign(_))));
    assert!(matches!(Region::create(&path), Err(OpenError::Held(_))), "its arbiter lives");
    drop(made);
    Region::create(&path).expect("replaced once nobody holds it");
}

#[test]
fn a_full_region_says_so_and_a_slot_that_was_given_up_is_used_again_before_it_is_cleared() {
    let folder = folder();
    let region = Region::create(&folder.path().join("region")).expect("made");
    let holds: Vec<_> = (0..SLOTS).map(|_| region.join().expect("a slot")).collect();
    assert!(matches!(region.join(), Err(JoinError::Full)));
    region.layout().slots[17].tenant.maps.store(5, Ordering::Relaxed);
    holds[17].give_up();
    let next = region.join().expect("the slot that was given up");
    assert_eq!((next.slot(), region.layout().maps_used()), (17, 0));
    assert_ne!(next.tenure(), holds[17].tenure());
}

#[test]
fn nothing_of_a_dead_tenant_stays_behind() {
    let folder = folder();
    let region = Region::create(&folder.path().join("region")).expect("made");
    let layout = region.layout();
    layout.header.map_budget.store(100, Ordering::Relaxed);
    let hold = region.join().expect("a slot");
    let slot = hold.slot();
    let tenant = &layout.slots[slot].tenant;
    tenant.set_name(b"python3");
    tenant.class.store(Class::Ls.code(), Ordering::Release);
    tenant.moved[3][1].store(5, Ordering::Relaxed);
    tenant.groups(3, Engine::Copy).describe(2, Means::Slices);
    layout.charge_maps(slot, 100).expect("within the budget");
    let orders = &layout.slots[slot].orders;
    orders.give(3, Engine::Copy, Some(1), Some(Nanos::new(monotonic_nanos()) + Nanos::from_millis(500)));
    orders.notice(hold.tenure());
    assert!(!region.end_if_gone(slot), "it is held");
    drop(hold);
    assert!(region.end_if_gone(slot));
    assert_eq!((tenant.name(), tenant.class(), layout.maps_used()), (String::new(), None, 0));
    assert_eq!(tenant.moved[3][1].load(Ordering::Relaxed), 0);
    let groups = tenant.groups(3, Engine::Copy);
    assert_eq!((groups.count(), groups.means()), (0, Means::Unknown));
    let order = orders.of(3, Engine::Copy);
    assert_eq!((order.slice_us(), order.stop_until(Nanos::ZERO)), (None, None));
}

#[test]
fn a_published_hash_is_read_as_it_was_written() {
    let folder = folder();
    let region = Region::create(&folder.path().join("region")).expect("made");
    let layout = region.layout();
    let index = layout.gpu_index(GpuKey::from_uuid([7; 16])).expect("an entry");
    assert_eq!(layout.gpu_index(GpuKey::from_uuid([7; 16])), Some(index), "the same GPU, the same entry");
    let gpu = &layout.header.gpus[index];
    assert_eq!(gpu.hash(), None);
    let table = HashTable::new(4096, &[0x1c_bd6a_b000]).expect("a table").of_sides(true);
    gpu.publish(Some(&table));
    assert_eq!(gpu.hash(), Some(table));
    gpu.publish(None);
    assert_eq!(gpu.hash(), None);
}
