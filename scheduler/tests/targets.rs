//! Targets over a virtual clock: tenants that change beside best-effort (BE) work that changes.
//!
//! Every figure here is of a made-up GPU ([`plant`]) and says nothing of a card.

mod plant;

use plant::{BERT, COPIES, GEMM_4096, GEMM_16384, Means, Plant, RESNET, Random, Server, TIGHT, Work};
use proptest::prelude::*;
use scheduler::{Freedom, Kind, Reached, Request, Target, Targets};
use units::Nanos;

const TARGETS: [f64; 4] = [1.05, 1.10, 1.25, 1.50];
/// The part by which a p99 may be beyond its target.
const TOLERANCE: f64 = 1.05;
/// The time in which a tenant is known and BE is as free as it may be, in seconds.
const SETTLED: f64 = 20.0;

/// A plant with one server, and its slot.
fn one(means: Means, work: Option<Work>, server: Server, target: f64, seed: u64) -> (Plant, usize) {
    let mut plant = Plant::new(means, work, seed);
    let slot = plant.add(server, Some(target));
    (plant, slot)
}

#[test]
fn targets_are_kept_and_work_is_the_freer_the_wider_they_are() {
    for (server, work) in
        [BERT, RESNET].into_iter().flat_map(|server| [COPIES, GEMM_4096, GEMM_16384].map(|w| (server, w)))
    {
        for seed in 1..=2 {
            let (mut freer, mut further) = (0.0, 0.0);
            for target in TARGETS {
                let (mut plant, slot) = one(Means::Launches, Some(work), server, target, seed);
                plant.run(60.0);
                let (reached, freedom, progress) =
                    (plant.reached(slot, 0.0), plant.freedom(SETTLED), plant.progress(SETTLED));
                let said = format!("{target} of {} at {}: {reached} with {freedom}", server.kind, work.kernel);
                assert!(reached <= target * TOLERANCE, "{said}");
                assert!(reached >= target * 0.97 || freedom > 0.99, "BE could be freer: {said}");
                assert!(freedom > freer && progress > further, "{said}, and {freer} with the closer target");
                assert_eq!(plant.report(slot).reached, Reached::Steered, "{said}");
                (freer, further) = (freedom, progress);
            }
        }
    }
}

#[test]
fn targets_are_kept_by_slices_alone() {
    for work in [COPIES, GEMM_4096, GEMM_16384] {
        let mut freer = 0.0;
        for target in [1.10, 1.25, 1.50] {
            let (mut plant, slot) = one(Means::Slices, Some(work), BERT, target, 3);
            plant.run(60.0);
            let (reached, freedom) = (plant.reached(slot, 0.0), plant.freedom(SETTLED));
            assert!(reached <= target * TOLERANCE && freedom >= freer - 0.01, "{target}: {reached} with {freedom}");
            freer = freedom;
        }
        assert!(freer > 0.99, "what slices cost is within 1.5: {freer}");
    }
}

#[test]
fn work_that_changes_its_kind_is_met_within_two_seconds() {
    for (before, after) in [(COPIES, GEMM_16384), (GEMM_16384, COPIES), (GEMM_4096, GEMM_16384), (COPIES, GEMM_4096)] {
        for (target, server) in TARGETS.into_iter().flat_map(|target| [(target, BERT), (target, RESNET)]) {
            let (mut plant, slot) = one(Means::Launches, Some(before), server, target, 4);
            plant.run(30.0);
            plant.work = Some(after);
            plant.run(2.0);
            let met = plant.now();
            plant.run(10.0);
            let reached = plant.reached(slot, met);
            assert!(reached <= target * TOLERANCE, "{target} of {} at {}: {reached}", server.kind, after.kernel);
        }
    }
}

#[test]
fn a_server_whose_model_changes_is_learned_anew() {
    for factor in [0.5, 0.8, 1.3, 2.0] {
        let (mut plant, slot) = one(Means::Launches, Some(GEMM_4096), BERT, 1.25, 5);
        plant.run(120.0);
        plant.change(slot, Server { median: BERT.median * factor, ..BERT });
        plant.run(40.0);
        let learned = plant.now();
        plant.run(40.0);
        let (reached, freedom) = (plant.reached(slot, learned), plant.freedom(learned));
        assert!((1.25 * 0.95..=1.25 * TOLERANCE).contains(&reached), "{factor}: {reached} with {freedom}");
    }
}

#[test]
fn a_server_whose_load_changes_keeps_its_target() {
    let (mut plant, slot) = one(Means::Launches, Some(GEMM_4096), BERT, 1.10, 6);
    for rate in [200.0, 800.0, 30.0, 300.0] {
        let from = plant.now();
        plant.change(slot, Server { rate, ..BERT });
        plant.run(60.0);
        let reached = plant.reached(slot, from);
        assert!(reached <= 1.10 * TOLERANCE, "{rate}/s: {reached}");
    }
    assert!(plant.freedom(SETTLED) > 0.3, "and BE its freedom: {}", plant.freedom(SETTLED));
}

#[test]
fn kinds_of_requests_are_compared_with_their_own() {
    let mut plant = Plant::new(Means::Launches, Some(GEMM_4096), 7);
    let slot = plant.add(BERT, Some(1.25));
    plant.run(30.0);
    plant.change(slot, Server { kind: 77, median: 5.0 * BERT.median, ..BERT });
    plant.run(30.0);
    let from = plant.now();
    plant.change(slot, BERT);
    plant.run(10.0);
    let reached = plant.reached(slot, from);
    assert!(reached <= 1.25 * TOLERANCE && reached > 1.15, "what it was is known still: {reached}");
}

#[test]
fn the_strictest_of_several_decides_and_the_others_are_no_worse_when_it_leaves() {
    let mut plant = Plant::new(Means::Launches, Some(GEMM_4096), 8);
    let (strict, wide, free) = (plant.add(RESNET, Some(1.05)), plant.add(BERT, Some(1.25)), plant.add(BERT, None));
    plant.run(60.0);
    assert!(plant.reached(strict, 0.0) <= 1.05 * TOLERANCE);
    assert!(plant.freedom(SETTLED) < 0.45, "{}", plant.freedom(SETTLED));
    let gone = plant.now();
    plant.targets.aim(strict, None);
    plant.run(3.0);
    assert!(plant.reached(wide, gone) <= 1.25 * TOLERANCE, "it was wound up: {}", plant.reached(wide, gone));
    plant.run(27.0);
    assert!(plant.reached(wide, gone) <= 1.25 * TOLERANCE, "{}", plant.reached(wide, gone));
    assert!(plant.freedom(gone + 10.0) > 0.6, "{}", plant.freedom(gone + 10.0));
    assert!(plant.targets.report(free, Nanos::ZERO).is_none());
}

#[test]
fn a_target_out_of_reach_is_said_so_and_work_stays_at_the_strictest() {
    let wild = Work { always: 0.3, ..GEMM_4096 };
    let (mut plant, slot) = one(Means::Launches, Some(wild), BERT, 1.10, 9);
    plant.run(30.0);
    let report = plant.report(slot);
    assert_eq!(report.reached, Reached::NotReachable, "{report:?}");
    assert!(plant.freedom(10.0) < 0.02 && report.reached_p99.is_some_and(|reached| reached > 1.25), "{report:?}");
    plant.work = Some(GEMM_4096);
    plant.run(60.0);
    assert_eq!(plant.report(slot).reached, Reached::Steered);
    assert!(plant.freedom(plant.now() - 10.0) > 0.4, "it was not wound up: {}", plant.freedom(plant.now() - 10.0));
}

#[test]
fn freedom_stays_as_it_was_while_there_is_no_work() {
    let (mut plant, slot) = one(Means::Launches, Some(GEMM_16384), BERT, 1.10, 10);
    plant.run(40.0);
    let before = plant.report(slot).freedom;
    plant.work = None;
    plant.run(60.0);
    assert_eq!(plant.report(slot).freedom, before);
    plant.work = Some(GEMM_16384);
    let back = plant.now();
    plant.run(20.0);
    assert!(plant.reached(slot, back) <= 1.10 * TOLERANCE, "{}", plant.reached(slot, back));
}

#[test]
fn a_tenant_that_was_alone_before_is_known_without_holding_work() {
    let (mut plant, slot) = one(Means::Launches, None, BERT, 1.10, 11);
    plant.run(10.0);
    assert_eq!(plant.report(slot).reached, Reached::Steered);
    plant.work = Some(COPIES);
    plant.run(5.0);
    assert_eq!(plant.held, 0.0);
}

#[test]
fn requests_alone_cost_work_a_hundredth_of_the_time() {
    for rate in [1.0, 20.0, 200.0] {
        let (mut plant, _) = one(Means::Launches, Some(COPIES), Server { rate, ..BERT }, 1.10, 12);
        plant.run(600.0);
        assert!(plant.held <= 2.0 + 0.011 * 600.0, "{rate}/s: {} s", plant.held);
    }
}

#[test]
fn a_few_requests_a_minute_leave_work_at_the_strictest_until_they_are_known() {
    let slow = Server { rate: 1.0, ..BERT };
    let (mut plant, slot) = one(Means::Launches, Some(COPIES), slow, 1.25, 13);
    plant.run(120.0);
    assert_eq!((plant.report(slot).reached, plant.report(slot).freedom), (Reached::Learning, Freedom::STRICTEST));
    plant.work = None;
    plant.run(60.0);
    plant.work = Some(COPIES);
    let known = plant.now();
    plant.run(1_800.0);
    assert!(plant.reached(slot, known) <= 1.25 * TOLERANCE, "{}", plant.reached(slot, known));
    assert!(plant.freedom(plant.now() - 600.0) > 0.4, "{}", plant.freedom(plant.now() - 600.0));
}

fn at(ms: u64) -> Nanos {
    Nanos::from_millis(1_000_000 + ms)
}

fn request(took: Nanos, alone: bool, ended: Nanos) -> Request {
    Request { kind: Kind(0), took, alone, ended }
}

#[test]
fn tenants_without_a_target_or_long_without_a_request_bind_nobody() {
    let mut targets = Targets::new();
    targets.read(3, &[request(Nanos::from_millis(1), false, at(0))], at(0));
    assert_eq!(targets.decide(true, at(0)).allowance, None, "there is no target");
    targets.aim(3, Target::new(1.1));
    assert_eq!(targets.decide(true, at(0)).allowance, None, "there is no request");
    targets.read(3, &[request(Nanos::from_millis(1), false, at(10))], at(50));
    let bound = targets.decide(true, at(50)).allowance.expect("it binds");
    assert_eq!(bound.freedom, Freedom::STRICTEST, "nothing is known of it");
    targets.read(3, &[], at(40_000));
    assert_eq!(targets.decide(true, at(40_000)).allowance, None);
    targets.read(3, &[request(Nanos::from_millis(1), false, at(40_040))], at(40_050));
    assert!(targets.decide(true, at(40_050)).allowance.is_some());
}

#[test]
fn what_is_said_of_a_slot_that_does_not_exist_changes_nothing() {
    let mut targets = Targets::new();
    targets.aim(usize::MAX, Target::new(1.1));
    targets.read(usize::MAX, &[request(Nanos::from_millis(1), true, at(0))], at(0));
    assert_eq!(targets.report(usize::MAX, at(0)), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_tenant_that_writes_anything_spoils_nothing_for_another(seed in any::<u64>()) {
        let mut random = Random(seed);
        let (mut both, mut without) = (Targets::new(), Targets::new());
        for targets in [&mut both, &mut without] {
            targets.aim(0, Target::new(1.25));
        }
        both.aim(1, Target::new(1.01));
        let word = |random: &mut Random| (random.uniform() * 2f64.powf(random.uniform() * 65.0)) as u64;
        for look in 0..100 {
            let now = at(look * 50);
            let honest: Vec<_> = (0..10)
                .map(|_| request(Nanos::new(1_000_000 + (random.uniform() * 5e4) as u64), look < 50, now))
                .collect();
            let wild: Vec<_> = (0..50)
                .map(|_| Request {
                    kind: Kind(word(&mut random)),
                    took: Nanos::new(word(&mut random)),
                    alone: random.uniform() < 0.5,
                    ended: Nanos::new(word(&mut random)),
                })
                .collect();
            both.read(1, &wild, now);
            for targets in [&mut both, &mut without] {
                targets.read(0, &honest, now);
                let freedom = targets.decide(true, now).allowance.map_or(0.5, |allowance| allowance.freedom.get());
                prop_assert!((0.0..=1.0).contains(&freedom));
            }
        }
        both.aim(1, None);
        let now = at(5_000);
        prop_assert_eq!(both.report(0, now).map(|r| r.alone_p99), without.report(0, now).map(|r| r.alone_p99));
        prop_assert_eq!(both.report(0, now).map(|r| r.reached_p99), without.report(0, now).map(|r| r.reached_p99));
        let honest: Vec<_> = (0..10).map(|_| request(Nanos::from_millis(1), false, now)).collect();
        for look in 100..300 {
            both.read(0, &honest.iter().map(|r| Request { ended: at(look * 50), ..*r }).collect::<Vec<_>>(), at(look * 50));
            both.decide(true, at(look * 50));
        }
        prop_assert!(both.report(0, at(15_000)).is_some_and(|report| report.freedom > Freedom::new(0.9)));
    }
}

#[test]
fn spreads_of_other_servers_are_kept_too() {
    for (spread, rate) in [(TIGHT / 4.0, 200.0), (0.1, 200.0), (TIGHT, 20.0), (TIGHT, 1000.0)] {
        let (mut plant, slot) = one(Means::Launches, Some(GEMM_4096), Server { spread, rate, ..BERT }, 1.25, 14);
        plant.run(90.0);
        let reached = plant.reached(slot, 0.0);
        assert!(reached <= 1.25 * TOLERANCE, "{spread} at {rate}/s: {reached}");
    }
}
