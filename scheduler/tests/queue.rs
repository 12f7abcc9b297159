//! The fair queue: who gets the next piece.

use proptest::prelude::*;
use region::Class;
use scheduler::{FairQueue, Want};
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

/// What two tenants are given in so many pieces, of which the second is away for a moment after each of its own.
fn serve_beside_one_with_gaps(weights: [u32; 2], pieces: u32, comes_back: bool) -> [u32; 2] {
    let mut queue = FairQueue::new(8);
    let mut served = [0; 2];
    let (first, second) = (be(0, weights[0]), be(1, weights[1]));
    let mut away = false;
    while served[0] + served[1] < pieces {
        let second = if away { Want { expected: comes_back, ..idle(second) } } else { second };
        away = false;
        if let Some(tenant) = queue.next(&[first, second], 2) {
            queue.charge(tenant, PIECE);
            served[tenant] += 1;
            away = tenant == 1;
        }
    }
    served
}

#[test]
fn who_is_away_between_two_copies_still_gets_its_share() {
    for (weights, share) in [([1, 1], 0.5), ([1, 4], 0.8), ([4, 1], 0.2)] {
        let served = serve_beside_one_with_gaps(weights, 10_000, true);
        let found = f64::from(served[1]) / 10_000.0;
        assert!((found - share).abs() < 0.001, "{weights:?}: {served:?}");
    }
    let unexpected = serve_beside_one_with_gaps([1, 4], 10_000, false);
    assert!(unexpected[1] < 6000, "else the other fills every gap: {unexpected:?}");
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
