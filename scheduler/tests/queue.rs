//! The fair queue: who gets the next piece.

use proptest::prelude::*;
use region::Class;
use scheduler::{FairQueue, Want};
use std::collections::VecDeque;
use units::Bytes;

const PIECE: Bytes = Bytes::kib(256);

fn wants(tenant: usize, class: Class, weight: u32) -> Want {
    Want { tenant, class, weight, waiting: 10, flying: 0, pending: 10, expected: false }
}

fn be(tenant: usize, weight: u32) -> Want {
    wants(tenant, Class::Be, weight)
}

fn idle(want: Want) -> Want {
    Want { waiting: 0, flying: 0, pending: 0, ..want }
}

/// Gives out `pieces`, each done at once, and counts them by tenant.
fn serve(queue: &mut FairQueue, wanted: &[Want], pieces: u32) -> Vec<u32> {
    let mut served = vec![0; 8];
    for _ in 0..pieces {
        let tenant = queue.next(wanted, 2).expect("somebody waits and nothing flies");
        queue.charge(tenant, PIECE);
        served[tenant] += 1;
    }
    served
}

/// A bus whose tenants, given by weight and KiB a piece, always want something.
struct Bus<'a> {
    queue: FairQueue,
    tenants: &'a [(u32, u64)],
    /// Whose pieces were let go and are not done.
    line: VecDeque<usize>,
}

impl<'a> Bus<'a> {
    fn of(tenants: &'a [(u32, u64)]) -> Self {
        Bus { queue: FairQueue::new(8), tenants, line: VecDeque::new() }
    }

    fn let_one_go(&mut self, limit: u32) {
        let want = |(i, &(weight, _)): (usize, &(u32, u64))| {
            let flying = self.line.iter().filter(|&&tenant| tenant == i).count() as u32;
            Want { waiting: 1, flying, pending: 1 + flying, ..be(i, weight) }
        };
        let wanted: Vec<Want> = self.tenants.iter().enumerate().map(want).collect();
        let tenant = self.queue.next(&wanted, limit).expect("all wait, and there is room");
        self.queue.charge(tenant, Bytes::kib(self.tenants[tenant].1));
        self.line.push_back(tenant);
    }

    /// Whose piece is done next; another one leaves before that, if `early`.
    fn piece(&mut self, early: bool) -> usize {
        if self.line.is_empty() {
            self.let_one_go(1);
        }
        if early {
            self.let_one_go(2);
        }
        self.line.pop_front().expect("one has the bus")
    }
}

proptest! {
    #[test]
    fn who_always_waits_is_served_by_weight(weights in prop::collection::vec(1u32..=100, 2..=3), pieces in 1u32..2000) {
        let wanted: Vec<Want> = weights.iter().enumerate().map(|(i, &weight)| be(i, weight)).collect();
        let served = serve(&mut FairQueue::new(8), &wanted, pieces);
        // The lag between two tenants is never more than one piece of each.
        for (i, &a) in weights.iter().enumerate() {
            for (j, &b) in weights.iter().enumerate() {
                let (per_a, per_b) = (f64::from(served[i]) / f64::from(a), f64::from(served[j]) / f64::from(b));
                prop_assert!((per_a - per_b).abs() <= 1.0 / f64::from(a) + 1.0 / f64::from(b) + 1e-6, "{served:?}");
            }
        }
    }

    #[test]
    fn nobody_starves_whatever_the_weights(weights in prop::collection::vec(1u32..=10_000, 2..=8)) {
        let wanted: Vec<Want> = weights.iter().enumerate().map(|(i, &weight)| be(i, weight)).collect();
        let least = weights.iter().min().copied().unwrap_or(1);
        // The others have had one piece more than their part when the weightless one's first is due.
        let enough: u32 = weights.iter().map(|weight| weight.div_ceil(least) + 1).sum();
        let served = serve(&mut FairQueue::new(8), &wanted, enough);
        prop_assert!(served[..weights.len()].iter().all(|&pieces| pieces > 0), "{served:?}");
    }

    #[test]
    fn virtual_time_never_goes_back(steps in prop::collection::vec((prop::array::uniform4((0u32..4, 0u32..3, 0u32..3, any::<bool>(), 0u32..20_000)), 0u32..4), 1..200)) {
        let mut queue = FairQueue::new(3);
        for (tenants, limit) in steps {
            // The fourth tenant is one more than the queue has room for.
            let wanted: Vec<Want> = tenants.iter().enumerate().map(|(tenant, &(waiting, flying, pending, ls, weight))| {
                Want { tenant, class: if ls { Class::Ls } else { Class::Be }, weight, waiting, flying, pending, expected: weight % 3 == 0 }
            }).collect();
            let before = [Class::Ls, Class::Be].map(|class| queue.virtual_time(class));
            if let Some(tenant) = queue.next(&wanted, limit) {
                prop_assert!(wanted[tenant].waiting > 0, "only who waits is chosen");
                queue.charge(tenant, PIECE);
            }
            let after = [Class::Ls, Class::Be].map(|class| queue.virtual_time(class));
            prop_assert!(before[0] <= after[0] && before[1] <= after[1]);
        }
    }

    #[test]
    fn who_leaves_early_is_who_would_have_left_anyway(
        tenants in prop::collection::vec((1u32..=10_000, 1u64..=64), 1..=5),
        early in prop::collection::vec(any::<bool>(), 200),
    ) {
        let (mut in_turn, mut with_early) = (Bus::of(&tenants), Bus::of(&tenants));
        let as_ever: Vec<usize> = early.iter().map(|_| in_turn.piece(false)).collect();
        let found: Vec<usize> = early.iter().map(|&early| with_early.piece(early)).collect();
        prop_assert_eq!(as_ever, found);
    }

    #[test]
    fn no_two_lag_behind_each_other_by_more_than_a_piece_of_each_where_pieces_leave_early(
        tenants in prop::collection::vec((1u32..=100, 1u64..=64), 2..=5),
        early in prop::collection::vec(any::<bool>(), 1..400),
    ) {
        let mut bus = Bus::of(&tenants);
        let mut moved = vec![0; tenants.len()];
        for early in early {
            // What still flies was charged for already, and counts.
            let tenant = bus.piece(early);
            moved[tenant] += tenants[tenant].1;
            let had = |i: usize| {
                let flying = bus.line.iter().filter(|&&tenant| tenant == i).count() as u64;
                (moved[i] + flying * tenants[i].1) as f64 / f64::from(tenants[i].0)
            };
            let piece_of = |i: usize| tenants[i].1 as f64 / f64::from(tenants[i].0);
            for (i, j) in (0..tenants.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
                let lag = (had(i) - had(j)).abs();
                prop_assert!(lag <= piece_of(i) + piece_of(j) + 1e-6, "{i} and {j}: {lag}");
            }
        }
    }

    #[test]
    fn where_pieces_leave_early_nobody_starves_and_the_bus_is_never_without_one(
        tenants in prop::collection::vec((1u32..=1000, 1u64..=16), 2..=5),
        early in any::<bool>(),
    ) {
        // Who has the largest pieces for its weight waits for so many of the others'.
        let cost = |&(weight, kib): &(u32, u64)| kib as f64 / f64::from(weight);
        let longest = tenants.iter().map(cost).fold(0.0, f64::max);
        let enough: f64 = tenants.iter().map(|tenant| (longest / cost(tenant)).ceil() + 1.0).sum();
        let mut bus = Bus::of(&tenants);
        let mut served = vec![0; tenants.len()];
        for _ in 0..enough as usize {
            served[bus.piece(early)] += 1;
            prop_assert!(!early || bus.line.len() == 1, "one left early, and has the bus at once");
        }
        prop_assert!(served.iter().all(|&pieces| pieces > 0), "{served:?}");
    }

    #[test]
    fn a_sleeper_has_no_credit_for_sleeping(asleep in 1u32..5000, weight in 1u32..=100) {
        let mut queue = FairQueue::new(8);
        let both = [be(0, weight), be(1, weight)];
        serve(&mut queue, &both, 10);
        serve(&mut queue, &[be(0, weight), idle(be(1, weight))], asleep);
        let served = serve(&mut queue, &both, 100);
        prop_assert!(served[0].abs_diff(served[1]) <= 2, "{served:?}");
    }

    #[test]
    fn somebody_always_goes_where_somebody_may(flying in 0u32..4, waiting in prop::collection::vec(0u32..2, 8)) {
        let wanted: Vec<Want> = waiting.iter().enumerate().map(|(i, &waiting)| {
            Want { waiting, pending: waiting, flying: if i == 0 { flying } else { 0 }, ..be(i, 1) }
        }).collect();
        let may = flying < 2 && waiting.iter().any(|&waiting| waiting > 0);
        prop_assert_eq!(FairQueue::new(8).next(&wanted, 2).is_some(), may);
    }
}

#[test]
fn latency_sensitive_tenants_go_first_even_when_they_had_more() {
    let mut queue = FairQueue::new(8);
    let wanted = [wants(0, Class::Be, 10_000), wants(1, Class::Ls, 1)];
    assert_eq!(serve(&mut queue, &wanted, 50)[..2], [0, 50]);
}

#[test]
fn a_latency_sensitive_copy_in_service_stops_best_effort_until_it_is_done() {
    let mut queue = FairQueue::new(8);
    let in_service = Want { waiting: 0, flying: 0, pending: 1, ..wants(1, Class::Ls, 1) };
    assert_eq!(queue.next(&[be(0, 1), in_service], 2), None);
    assert_eq!(queue.next(&[be(0, 1), idle(in_service)], 2), Some(0));
}

#[test]
fn a_successor_does_not_inherit_what_the_forgotten_had() {
    let mut queue = FairQueue::new(8);
    serve(&mut queue, &[wants(0, Class::Ls, 1)], 1000);
    queue.forget(0);
    let served = serve(&mut queue, &[be(0, 1), be(1, 1)], 100);
    assert!(served[0].abs_diff(served[1]) <= 2, "{served:?}");
}

#[test]
fn a_newcomer_does_not_make_the_others_wait_for_what_they_had() {
    let mut queue = FairQueue::new(8);
    serve(&mut queue, &[be(0, 1)], 1000);
    let served = serve(&mut queue, &[be(0, 1), be(1, 1)], 100);
    assert!(served[0].abs_diff(served[1]) <= 2, "{served:?}");
}

/// What two tenants are given in so many pieces, of which the second is away for a moment after each of its own, so that
/// it waits for nothing while that is on the bus. Where there is `early` leave, the next is asked for before one is done.
fn serve_beside_one_with_gaps(weights: [u32; 2], pieces: u32, comes_back: bool, early: bool) -> [u32; 2] {
    let mut queue = FairQueue::new(8);
    let mut served = [0; 2];
    let mut line = VecDeque::new();
    let mut away = false;
    while served[0] + served[1] < pieces {
        let next = |queue: &mut FairQueue, line: &VecDeque<usize>, away, limit| {
            let flying = [0, 1].map(|i| line.iter().filter(|&&tenant| tenant == i).count() as u32);
            let first = Want { flying: flying[0], ..be(0, weights[0]) };
            let second = match (flying[1], away) {
                (0, false) => be(1, weights[1]),
                (0, true) => Want { expected: comes_back, ..idle(be(1, weights[1])) },
                (flying, _) => Want { flying, pending: flying, ..idle(be(1, weights[1])) },
            };
            queue.next(&[first, second], limit).inspect(|&tenant| queue.charge(tenant, PIECE))
        };
        if line.is_empty() {
            line.extend(next(&mut queue, &line, away, 1));
        }
        if early && line.len() == 1 {
            line.extend(next(&mut queue, &line, away, 2));
        }
        let done = line.pop_front();
        away = done == Some(1);
        done.into_iter().for_each(|tenant| served[tenant] += 1);
    }
    served
}

#[test]
fn who_is_away_between_two_copies_still_gets_its_share() {
    for (weights, share) in [([1, 1], 0.5), ([1, 4], 0.8), ([4, 1], 0.2)] {
        for early in [false, true] {
            let served = serve_beside_one_with_gaps(weights, 10_000, true, early);
            let found = f64::from(served[1]) / 10_000.0;
            assert!((found - share).abs() < 0.001, "{weights:?}, early: {early}: {served:?}");
        }
    }
    let unexpected = serve_beside_one_with_gaps([1, 4], 10_000, false, false);
    assert!(unexpected[1] < 6000, "else the other fills every gap: {unexpected:?}");
}

#[test]
fn the_next_piece_of_the_tenant_on_the_bus_may_follow_it_if_that_is_owed_most() {
    let mut queue = FairQueue::new(8);
    serve(&mut queue, &[be(0, 4), be(1, 1)], 2);
    assert_eq!(queue.next(&[be(0, 4), be(1, 1)], 1), Some(0));
    queue.charge(0, PIECE);
    let on_the_bus = Want { flying: 1, ..be(0, 4) };
    let its_last = Want { waiting: 0, ..on_the_bus };
    assert_eq!(queue.next(&[on_the_bus, be(1, 1)], 1), None, "the bus is taken");
    assert_eq!(queue.next(&[on_the_bus, be(1, 1)], 2), Some(0));
    assert_eq!(queue.next(&[its_last, be(1, 1)], 2), None, "it will want the next one too");
    queue.charge(0, PIECE);
    queue.charge(0, PIECE);
    assert_eq!(queue.next(&[its_last, be(1, 1)], 2), Some(1), "as much is owed to the other");
}

#[test]
fn nothing_leaves_early_beside_a_latency_sensitive_copy() {
    let mut queue = FairQueue::new(8);
    let (on_the_bus, copy) = (Want { flying: 1, ..be(0, 1) }, Want { waiting: 0, ..wants(1, Class::Ls, 1) });
    assert_eq!(queue.next(&[on_the_bus, copy], 2), None);
    assert_eq!(queue.next(&[on_the_bus, idle(copy)], 2), Some(0));
}

#[test]
fn nobody_is_held_back_for_one_who_is_expected_but_owed_nothing() {
    let mut queue = FairQueue::new(8);
    serve(&mut queue, &[be(0, 1), be(1, 1)], 10);
    queue.charge(1, PIECE);
    queue.charge(1, PIECE);
    let gone = Want { expected: true, ..idle(be(1, 1)) };
    assert_eq!(queue.next(&[be(0, 1), gone], 2), Some(0));
}
