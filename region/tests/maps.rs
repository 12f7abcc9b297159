//! The map budget as tenants meet it: nobody gets past it, and everybody gets the share.
#![cfg(not(loom))]

use proptest::prelude::*;
use region::{ColorState, Hold, Layout, MapBudgetExceeded, Region, SLOTS, Shares};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// A region with its tenants, all of this process.
struct Machine {
    region: Region,
    holds: RefCell<BTreeMap<usize, Hold>>,
    _folder: tempfile::TempDir,
}

impl Machine {
    fn layout(&self) -> &Layout {
        self.region.layout()
    }

    /// A tenant joins; its slot.
    fn join(&self) -> usize {
        let hold = self.region.join().expect("a slot");
        let slot = hold.slot();
        self.holds.borrow_mut().insert(slot, hold);
        slot
    }

    /// A tenant is gone, and the arbiter frees its slot.
    fn leave(&self, slot: usize) {
        self.holds.borrow_mut().remove(&slot);
        assert!(self.region.end_if_gone(slot));
    }
}

/// A region with so many tenants in its first slots.
fn region(budget: u64, shares: u64, tenants: usize) -> Machine {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder on a tmpfs");
    let region = Region::create(&folder.path().join("region")).expect("made");
    region.layout().share_maps(Shares { budget, tenants: shares });
    let machine = Machine { region, holds: RefCell::default(), _folder: folder };
    (0..tenants).for_each(|slot| assert_eq!(machine.join(), slot));
    machine
}

/// Charges one map at a time until one is refused. Returns how many were not.
fn take_all(layout: &Layout, slot: usize) -> u64 {
    (0..).take_while(|_| layout.charge_maps(slot, 1).is_ok()).count() as u64
}

#[test]
fn half_the_budget_is_guaranteed_in_equal_shares() {
    let guaranteed = |budget, tenants| Shares { budget, tenants }.guaranteed();
    assert_eq!([guaranteed(800, 4), guaranteed(800, 1), guaranteed(7, 4), guaranteed(0, 4)], [100, 400, 0, 0]);
    assert_eq!(guaranteed(u64::MAX, u64::MAX), u64::MAX / 128, "no more tenants than slots");
    assert_eq!(guaranteed(800, 0), 400, "no fewer than one");
}

#[test]
fn a_greedy_tenant_leaves_the_shares_of_those_who_come_later() {
    let region = region(800, 4, 4);
    let layout = region.layout();
    assert_eq!(take_all(layout, 0), 500, "its share and all that is nobody's");
    assert_eq!([1, 2, 3].map(|slot| take_all(layout, slot)), [100; 3]);
    assert_eq!(layout.maps_used(), 800);
}

#[test]
fn who_comes_first_gets_what_is_nobodys() {
    let region = region(800, 4, 2);
    let layout = region.layout();
    layout.charge_maps(0, 300).expect("its share of 100 and 200 more");
    assert_eq!(layout.charge_maps(1, 301), Err(MapBudgetExceeded));
    layout.charge_maps(1, 300).expect("the other 200");
    assert_eq!([0, 1].map(|slot| layout.charge_maps(slot, 1)), [Err(MapBudgetExceeded); 2]);
    layout.return_maps(0, 1);
    layout.charge_maps(1, 1).expect("what was given back");
}

#[test]
fn the_share_of_a_tenant_that_is_gone_stays_free_for_another() {
    let region = region(800, 4, 4);
    let layout = region.layout();
    assert_eq!([1, 0].map(|slot| take_all(layout, slot)), [500, 100]);
    region.leave(1);
    assert_eq!(take_all(layout, 0), 400, "but not the share of who is gone");
    assert_eq!(region.join(), 1);
    assert_eq!(take_all(layout, 1), 100);
}

#[test]
fn with_more_tenants_than_shares_the_budget_still_holds() {
    let region = region(800, 4, 6);
    let layout = region.layout();
    let held = [0, 1, 2, 3, 4, 5].map(|slot| take_all(layout, slot));
    assert_eq!(held, [300, 100, 100, 100, 100, 100], "who is there is left a share, even past the fourth");
    assert_eq!(region.join(), 6);
    assert_eq!(layout.charge_maps(6, 1), Err(MapBudgetExceeded), "who comes later is not");
}

#[test]
fn tenants_whose_colors_are_off_need_no_share() {
    let region = region(800, 2, 6);
    let layout = region.layout();
    for slot in 2..6 {
        layout.slots[slot].tenant.color_state.store(ColorState::Off.code(), Ordering::Relaxed);
    }
    assert_eq!([0, 1].map(|slot| take_all(layout, slot)), [600, 200]);
    layout.slots[2].tenant.maps.store(50, Ordering::Relaxed);
    layout.return_maps(0, 300);
    assert_eq!(take_all(layout, 0), 100, "one that has maps all the same counts like the others");
}

#[test]
fn a_lying_count_takes_nothing_of_the_others_shares() {
    let region = region(800, 4, 4);
    let layout = region.layout();
    layout.charge_maps(1, 150).expect("room");
    layout.slots[0].tenant.maps.store(u64::MAX, Ordering::Relaxed);
    assert_eq!([1, 2, 3].map(|slot| take_all(layout, slot)), [0, 100, 100], "who has more than the share stays at it");
    assert_eq!(layout.maps_used(), u64::MAX);
    region.leave(0);
    assert_eq!(layout.charge_maps(1, 1), Ok(()), "until the slot is freed");
}

#[test]
fn numbers_that_make_no_sense_are_no_panic() {
    for number in [0, 1, u64::MAX / 2, u64::MAX] {
        let region = region(number, number, 3);
        let layout = region.layout();
        for count in [0, 1, u64::MAX / 2, u64::MAX] {
            layout.slots[1].tenant.maps.store(count, Ordering::Relaxed);
            for maps in [0, 1, u64::MAX] {
                let _ = layout.charge_maps(0, maps);
                let _ = layout.charge_maps(1, maps);
            }
        }
    }
    let region = region(100, 1, 1);
    assert_eq!(region.layout().charge_maps(0, u64::MAX), Err(MapBudgetExceeded));
    assert_eq!(region.layout().maps_used(), 0);
}

#[test]
fn shares_are_covered_until_they_are_made_of_what_somebody_holds() {
    let shares = Shares { budget: 800, tenants: 4 };
    assert!(shares.cover([]) && shares.cover([500, 100, 7]) && shares.cover([300, 300]));
    assert!(!shares.cover([501]) && !shares.cover([300, 301]) && !shares.cover([u64::MAX; 3]));
}

#[test]
fn the_map_budget_is_never_exceeded_however_many_charge_at_once() {
    let region = region(1000, 4, 8);
    let layout = region.layout();
    let granted: u64 = std::thread::scope(|scope| {
        let charge = |slot| (0..1000).filter(|_| layout.charge_maps(slot, 3).is_ok()).count() as u64 * 3;
        let tenants: Vec<_> = (0..8).map(|slot| scope.spawn(move || charge(slot))).collect();
        tenants.into_iter().map(|tenant| tenant.join().expect("no panic")).sum()
    });
    assert!(granted <= 1000, "{granted} maps were granted of 1000");
    assert_eq!(layout.maps_used(), granted, "a refused charge leaves nothing behind");
}

#[test]
fn three_greedy_tenants_never_have_the_fourth_refused_within_its_share() {
    let region = region(800, 4, 4);
    let layout = region.layout();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for slot in 0..3 {
            let done = &done;
            scope.spawn(move || {
                for maps in (1..=800).cycle().take_while(|_| !done.load(Ordering::Relaxed)) {
                    if layout.charge_maps(slot, maps).is_ok() && maps % 7 == 0 {
                        layout.return_maps(slot, maps);
                    }
                }
            });
        }
        let refused = (0..500)
            .filter(|_| {
                let refused = (0..100).filter(|_| layout.charge_maps(3, 1).is_err()).count();
                layout.return_maps(3, 100 - refused as u64);
                refused > 0
            })
            .count();
        done.store(true, Ordering::Relaxed);
        assert_eq!(refused, 0);
    });
}

/// Something that happens; slots are counted among those that it can happen to.
#[derive(Clone, Debug)]
enum Event {
    Join,
    /// The arbiter frees the slot.
    Leave(usize),
    Charge(usize, u64),
    Return(usize, u64),
    /// A charge that will be refused, between its addition and its end.
    Overreach(usize, u64),
    Refused(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let (slot, maps) = (0..SLOTS, prop_oneof![0..20u64, 0..200u64]);
    prop_oneof![
        2 => Just(Event::Join),
        1 => slot.clone().prop_map(Event::Leave),
        8 => (slot.clone(), maps.clone()).prop_map(|(slot, maps)| Event::Charge(slot, maps)),
        3 => (slot.clone(), maps.clone()).prop_map(|(slot, maps)| Event::Return(slot, maps)),
        2 => (slot.clone(), 0..2000u64).prop_map(|(slot, maps)| Event::Overreach(slot, maps)),
        2 => slot.prop_map(Event::Refused),
    ]
}

/// A tenant that is there: what it was granted, and what it has added for a charge that is about to be refused.
#[derive(Clone, Copy, Default)]
struct Held {
    granted: u64,
    reached: u64,
}

proptest! {
    #[test]
    fn the_budget_holds_and_the_shares_are_kept_whatever_happens(
        budget in 0..400u64,
        shares in 1..6u64,
        most in 1..9usize,
        events in prop::collection::vec(event(), 1..120),
    ) {
        let region = region(budget, shares, 0);
        let layout = region.layout();
        let guaranteed = layout.map_shares().guaranteed();
        let mut held = BTreeMap::<usize, Held>::new();
        for event in events {
            let tenants = held.len();
            let place = |n: usize| held.keys().copied().nth(n.checked_rem(tenants)?);
            match event {
                Event::Join if tenants < most => {
                    held.insert(region.join(), Held::default());
                }
                Event::Join => {}
                Event::Leave(n) => if let Some(slot) = place(n) {
                    region.leave(slot);
                    held.remove(&slot);
                },
                Event::Charge(n, maps) => if let Some(slot) = place(n) {
                    let charged = layout.charge_maps(slot, maps);
                    let tenant = held.get_mut(&slot).expect("it is there");
                    let within = tenant.granted + tenant.reached + maps <= guaranteed;
                    prop_assert!(charged.is_ok() || !within || tenants as u64 > shares, "{maps} more refused to {slot}");
                    tenant.granted += if charged.is_ok() { maps } else { 0 };
                },
                Event::Return(n, maps) => if let Some(slot) = place(n) {
                    let tenant = held.get_mut(&slot).expect("it is there");
                    let returned = maps.min(tenant.granted);
                    layout.return_maps(slot, returned);
                    tenant.granted -= returned;
                },
                Event::Overreach(n, maps) => if let Some(slot) = place(n) {
                    layout.slots[slot].tenant.maps.fetch_add(maps, Ordering::SeqCst);
                    held.get_mut(&slot).expect("it is there").reached += maps;
                },
                Event::Refused(n) => if let Some(slot) = place(n) {
                    let reached = std::mem::take(&mut held.get_mut(&slot).expect("it is there").reached);
                    layout.return_maps(slot, reached);
                },
            }
            let granted: u64 = held.values().map(|tenant| tenant.granted).sum();
            prop_assert!(granted <= budget, "{granted} maps were granted of {budget}");
            prop_assert_eq!(layout.maps_used(), granted + held.values().map(|tenant| tenant.reached).sum::<u64>());
        }
    }
}
