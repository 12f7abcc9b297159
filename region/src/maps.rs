//! The machine's budget of UVM maps, and each tenant's share of it.
//!
//! The kernel has 524,288 handles for the maps of all processes together, and a process that takes the last one breaks
//! every other. Each tenant counts its own maps in its own slot; there is no common counter to repair, and the dead
//! tenant's count goes with its slot.
//!
//! [`Shares`] says what a tenant may hold beside others. A charge is added first and checked afterwards, so two tenants
//! that charge at once may both be refused but never both go over: each fences between its addition and its look, so of
//! any charges that were admitted the last one has seen all others. What it may have seen as well is the charge of
//! somebody who is about to be refused. That holds up tenants that want more than the guaranteed share, and nobody else: where
//! no more tenants are there than shares, a charge within the share is not measured by what others hold.
//!
//! Every process that maps the region can write any count. With as many tenants as shares at most, a count that is too
//! high keeps others from growing past their shares until its slot is freed, and takes nothing of the shares. A process
//! that takes slots it does not need, holds maps it does not count or writes into the header is not defended against.

use crate::claim::Claim;
use crate::layout::Layout;
use crate::shares::Shares;
use crate::slot::Slot;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};
use crate::terms::ColorState;

/// The most times that a charge is looked at again because somebody joined meanwhile.
const LOOKS: usize = 8;

/// The budget, or what the others' shares leave of it, has no room for the maps asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapBudgetExceeded;

/// The part of a slot that charges look at.
#[derive(Clone, Copy)]
struct Account<'a> {
    claim: &'a Claim,
    maps: &'a AtomicU64,
    /// The tenant's [`ColorState`].
    state: &'a AtomicU32,
}

impl Account<'_> {
    /// Whether a tenant holds it that may want maps: one whose colours are switched off, or that the driver does not
    /// know as governed, needs no share.
    fn counts(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        let never = state == ColorState::Off.code() || state == ColorState::Bypassed.code();
        self.claim.tenure().is_some() && !(never && self.maps.load(Ordering::SeqCst) == 0)
    }
}

/// Charges `maps` to the account with the index `own`.
fn charge<'a>(
    shares: impl Fn() -> Shares,
    accounts: impl Iterator<Item = Account<'a>> + Clone,
    own: usize,
    maps: u64,
) -> Result<(), MapBudgetExceeded> {
    let mine = accounts.clone().nth(own).ok_or(MapBudgetExceeded)?.maps;
    // More than there can ever be is not even tried, so no addition overflows.
    if maps > shares().budget {
        return Err(MapBudgetExceeded);
    }
    mine.fetch_add(maps, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    let joins = || accounts.clone().map(|account| account.claim.times()).fold(0, u32::wrapping_add);
    for _ in 0..LOOKS {
        let before = joins();
        let others = accounts.clone().enumerate().filter(|&(index, other)| index != own && other.counts());
        // The own count is read anew, for what other threads of this process charge meanwhile.
        if shares().admit(mine.load(Ordering::SeqCst), others.map(|(_, other)| other.maps.load(Ordering::SeqCst))) {
            return Ok(());
        }
        // Somebody who left and somebody who came after that were perhaps both counted, as if there were more tenants
        // than there ever were at once.
        if joins() == before {
            break;
        }
    }
    mine.fetch_sub(maps, Ordering::SeqCst);
    Err(MapBudgetExceeded)
}

impl Layout {
    /// The way in which the budget is shared now.
    pub fn map_shares(&self) -> Shares {
        let (budget, tenants) = (&self.header.map_budget, &self.header.map_tenants);
        Shares { budget: budget.load(Ordering::Relaxed), tenants: tenants.load(Ordering::Relaxed) }
    }

    /// Arbiter: shares the budget from now on like this.
    pub fn share_maps(&self, shares: Shares) {
        self.header.map_budget.store(shares.budget, Ordering::Relaxed);
        self.header.map_tenants.store(shares.tenants, Ordering::Relaxed);
        // A charge that was admitted by the former shares is seen after this by every tenant that looks.
        fence(Ordering::SeqCst);
    }

    /// Maps that all tenants hold.
    pub fn maps_used(&self) -> u64 {
        self.slots.iter().map(|slot| slot.tenant.maps.load(Ordering::SeqCst)).fold(0, u64::saturating_add)
    }

    /// Tenant: charges `maps` to the tenant of `slot`. Within the guaranteed share of the tenant ([`Shares`]) it is
    /// refused for nothing that others do.
    pub fn charge_maps(&self, slot: usize, maps: u64) -> Result<(), MapBudgetExceeded> {
        let accounts = self.slots.iter().map(|Slot { claim, tenant, .. }| Account {
            claim,
            maps: &tenant.maps,
            state: &tenant.color_state,
        });
        charge(|| self.map_shares(), accounts, slot, maps)
    }

    /// Tenant: gives `maps` of its own back.
    pub fn return_maps(&self, slot: usize, maps: u64) {
        self.slots[slot].tenant.maps.fetch_sub(maps, Ordering::SeqCst);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread::{self, JoinHandle};

    struct Machine<const N: usize> {
        shares: Shares,
        places: [(Claim, AtomicU64); N],
        /// All tenants want colours.
        state: AtomicU32,
    }

    impl<const N: usize> Machine<N> {
        /// Shares for so many tenants, and so many tenants that are there already.
        fn new(budget: u64, tenants: u64, joined: usize) -> Arc<Self> {
            let machine = Machine {
                shares: Shares { budget, tenants },
                places: std::array::from_fn(|_| (Claim::new(), AtomicU64::new(0))),
                state: AtomicU32::new(ColorState::On.code()),
            };
            assert!((0..joined).all(|place| machine.join() == place));
            Arc::new(machine)
        }

        /// Nobody else joins meanwhile: joins are kept apart by the locks of the slots.
        fn join(&self) -> usize {
            let place = self.places.iter().position(|(claim, _)| claim.tenure().is_none()).expect("a free place");
            self.places[place].0.take(1);
            place
        }

        fn leave(&self, place: usize) {
            self.places[place].1.store(0, Ordering::Relaxed);
            self.places[place].0.free();
        }

        fn charge(&self, place: usize, maps: u64) -> bool {
            let accounts = self.places.iter().map(|(claim, maps)| Account { claim, maps, state: &self.state });
            charge(|| self.shares, accounts, place, maps).is_ok()
        }

        /// Charges as much, and returns how much is held then.
        fn take(&self, place: usize, maps: u64) -> u64 {
            if self.charge(place, maps) { maps } else { 0 }
        }

        fn give(&self, place: usize, maps: u64) {
            self.places[place].1.fetch_sub(maps, Ordering::SeqCst);
        }
    }

    fn aside<const N: usize, T: 'static>(
        machine: &Arc<Machine<N>>,
        tenant: impl FnOnce(&Machine<N>) -> T + 'static,
    ) -> JoinHandle<T> {
        let machine = Arc::clone(machine);
        thread::spawn(move || tenant(&machine))
    }

    #[test]
    fn of_tenants_that_grow_at_once_not_all_go_over() {
        loom::model(|| {
            // Both may not have 6: that would be 2 more than the budget.
            let machine = Machine::<2>::new(10, 2, 2);
            let other = aside(&machine, |machine| machine.take(1, 6));
            let held = machine.take(0, 6);
            assert!(held + other.join().expect("it ends") <= 10);
        });
    }

    #[test]
    fn a_tenant_within_its_share_is_not_refused_for_a_charge_that_is_about_to_be() {
        loom::model(|| {
            let machine = Machine::<2>::new(8, 2, 2);
            let greedy = aside(&machine, |machine| {
                // All that there is, then all that the other's share leaves.
                assert!(!machine.charge(1, 8));
                machine.take(1, 6)
            });
            assert!(machine.charge(0, 1) && machine.charge(0, 1), "a share is 2");
            assert_eq!(greedy.join().expect("it ends"), 6);
        });
    }

    #[test]
    fn what_is_given_back_can_be_taken_and_not_twice() {
        loom::model(|| {
            let machine = Machine::<2>::new(8, 2, 2);
            assert!(machine.charge(1, 6));
            let greedy = aside(&machine, |machine| {
                machine.give(1, 5);
                1 + machine.take(1, 3)
            });
            let mut held = machine.take(0, 2);
            assert_eq!(held, 2, "within the share");
            held += machine.take(0, 4);
            assert!(held + greedy.join().expect("it ends") <= 8);
        });
    }

    #[test]
    fn two_threads_of_a_tenant_do_not_go_over_by_each_looking_at_its_own_charge() {
        loom::model(|| {
            let machine = Machine::<2>::new(8, 2, 1);
            let other = aside(&machine, |machine| machine.take(0, 4));
            let held = machine.take(0, 4);
            assert!(held + other.join().expect("it ends") <= 6, "the share of a tenant that did not come yet is free");
        });
    }

    #[test]
    fn who_comes_while_another_grows_does_not_go_over() {
        loom::model(|| {
            // The first may have all while it is alone; the second is one more than there are shares.
            let machine = Machine::<2>::new(4, 1, 1);
            let second = aside(&machine, |machine| machine.take(machine.join(), 2));
            let held = machine.take(0, 4);
            assert!(held + second.join().expect("it ends") <= 4);
        });
    }

    #[test]
    fn who_comes_past_the_last_share_does_not_go_over_with_who_takes_up_a_share() {
        loom::model(|| {
            let machine = Machine::<3>::new(8, 2, 2);
            assert!(machine.charge(1, 6));
            let third = aside(&machine, |machine| machine.take(machine.join(), 2));
            let held = machine.take(0, 2);
            assert!(6 + held + third.join().expect("it ends") <= 8);
        });
    }

    #[test]
    fn three_tenants_take_and_give_back_within_their_shares_whatever_the_greedy_one_does() {
        let mut model = loom::model::Builder::new();
        // Every order of three threads takes too long; faults of such protocols need few switches.
        model.preemption_bound = Some(2);
        model.check(|| {
            let machine = Machine::<3>::new(12, 3, 3);
            let greedy = aside(&machine, |machine| machine.take(2, 9) + machine.take(2, 8));
            let modest = aside(&machine, |machine| {
                assert!(machine.charge(1, 2), "a share is 2");
                machine.give(1, 1);
                assert!(machine.charge(1, 1));
            });
            assert!(machine.charge(0, 2));
            let growing = machine.take(0, 1);
            modest.join().expect("it ends");
            assert!(2 + growing + 2 + greedy.join().expect("it ends") <= 12);
        });
    }

    #[test]
    fn one_who_left_and_one_who_came_after_are_not_two() {
        loom::model(|| {
            let machine = Machine::<3>::new(8, 2, 2);
            assert!(machine.charge(1, 6));
            let others = aside(&machine, |machine| {
                machine.leave(1);
                // The first free place may lie before or behind the one that was left.
                machine.places[2].0.take(1);
                machine.take(2, 6)
            });
            assert!(machine.charge(0, 2), "there are two tenants at any time, and two shares");
            assert_eq!(others.join().expect("it ends"), 6);
        });
    }
}
