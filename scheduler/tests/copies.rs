//! Copies through a running arbiter: who is let go, and when.

mod common;

use common::{Running, stays, until, within};
use region::{Class, Direction, Lane, LaneView, Regime, Waited};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use units::Bytes;

/// Gives a wrong grant the time to show.
const A_WHILE: Duration = Duration::from_millis(30);

#[test]
fn a_waiting_copy_is_let_go_piece_by_piece() {
    let arbiter = Running::start();
    let tenant = arbiter.join(Class::Be, 1024);
    let lane = arbiter.lane(tenant, 0);
    let first = arbiter.ask(lane, 50);
    for ticket in first..first + 50 {
        assert_eq!(lane.wait(ticket, Duration::from_secs(2)), Waited::Granted, "piece {ticket}");
        assert!(lane.view().flying <= 2, "{:?}", lane.view());
        lane.finish(ticket);
    }
    assert_eq!(lane.view(), LaneView { waiting: 0, flying: 0, pending: 0 });
}

#[test]
fn as_long_as_nobody_knows_when_a_piece_will_be_done_one_flies_on_a_bus_whoever_asks() {
    let arbiter = Running::start();
    let lanes: Vec<_> = (0..3).map(|i| arbiter.lane(arbiter.join(Class::Be, 1024), i)).collect();
    for lane in &lanes {
        arbiter.ask(lane, 10);
    }
    let flying = || lanes.iter().map(|lane| lane.view().flying).sum::<u32>();
    until("a piece flies", || flying() == 1);
    stays(A_WHILE, "one piece flies", || flying() == 1);
}

#[test]
fn copies_go_past_the_engine_beside_latency_sensitive_tenants_that_would_not_feel_it() {
    let arbiter = Running::start();
    let (ls, be) = (arbiter.join(Class::Ls, 1024), arbiter.join(Class::Be, 1024));
    let [to_device, to_host] = Direction::ALL.map(|way| arbiter.layout().header.gpus[arbiter.gpu()].bus(way));
    let counts = |counter: &AtomicU64| {
        for moved in ls.tenant.moved[arbiter.gpu()].iter().chain([counter]) {
            moved.fetch_add(1, Ordering::Relaxed);
        }
        arbiter.layout().header.doorbell.ring();
    };
    counts(&be.tenant.launches);
    until("the copy is seen", || to_device.regime() == Regime::Yield);
    assert!(to_device.lets_past_the_engine(), "a best-effort tenant's kernels are its own affair");
    assert!(!to_host.lets_past_the_engine());
    for felt in [&ls.tenant.launches, &ls.tenant.graph_launches, &ls.tenant.large[arbiter.gpu()]] {
        counts(felt);
        until("it is seen", || !to_device.lets_past_the_engine());
        until("it is forgotten", || to_device.lets_past_the_engine());
    }
    counts(&ls.tenant.large[arbiter.gpu() + 1]);
    stays(A_WHILE, "what goes to another GPU is nothing to this one", || to_device.lets_past_the_engine());
}

/// Plays the bus for pieces of a lane, from this ticket on, each of which takes [`ONE_PIECE`].
fn move_pieces(lane: &Lane, tickets: std::ops::Range<u32>) {
    for ticket in tickets {
        assert_eq!(lane.wait(ticket, Duration::from_secs(2)), Waited::Granted, "piece {ticket}");
        std::thread::sleep(ONE_PIECE);
        lane.finish(ticket);
    }
}

/// Long beside what a busy machine is late by, and short beside what makes a lane count as stalled.
const ONE_PIECE: Duration = Duration::from_millis(20);

#[test]
fn among_best_effort_tenants_one_piece_is_on_the_bus_and_one_behind_it() {
    let arbiter = Running::start();
    let lanes: Vec<_> = (0..3).map(|i| arbiter.lane(arbiter.join(Class::Be, 1024), i)).collect();
    let first = arbiter.ask(lanes[0], 10);
    move_pieces(lanes[0], first..first + 1);
    for lane in &lanes[1..] {
        arbiter.ask(lane, 10);
    }
    let flying = || lanes.iter().map(|lane| lane.view().flying).sum::<u32>();
    within(ONE_PIECE * 2, "two pieces fly", || flying() == 2);
    stays(A_WHILE, "two pieces fly", || flying() == 2);
}

#[test]
fn beside_a_latency_sensitive_tenant_the_next_piece_leaves_when_the_one_on_the_bus_is_about_to_be_done() {
    let arbiter = Running::start();
    let (ls, be) = (arbiter.join(Class::Ls, 1024), arbiter.join(Class::Be, 1024));
    let (ls, be) = (arbiter.lane(ls, 0), arbiter.lane(be, 0));
    let copy = arbiter.ask(ls, 1);
    let first = arbiter.ask(be, 100);
    until("it is seen", || arbiter.layout().header.gpus[arbiter.gpu()].bus(Direction::H2d).regime() == Regime::Yield);
    ls.finish(copy);
    // A busy machine may keep the arbiter from looking in the short time in which a piece may leave early.
    let follows = |ticket: u32| {
        move_pieces(be, ticket..ticket + 1);
        until("the next has the bus", || be.view().flying > 0);
        let start = Instant::now();
        while be.view().flying < 2 && start.elapsed() < ONE_PIECE * 3 {
            std::thread::sleep(Duration::from_micros(100));
        }
        let took = start.elapsed();
        assert!(be.view().flying < 2 || took > ONE_PIECE / 2, "it left after {took:?} already");
        be.view().flying == 2
    };
    move_pieces(be, first..first + 4);
    let on_the_bus = 1 + (first + 4..first + 40).find(|&ticket| follows(ticket)).expect("a piece leaves early");
    stays(A_WHILE, "only one leaves early", || be.view().flying == 2);
    be.finish(on_the_bus);
    until("the next has the bus", || be.view().flying == 1);
    // Its stream has not come to it, as far as the arbiter sees.
    let copy = ls.take(1, Bytes::ZERO);
    stays(ONE_PIECE * 3 / 2, "nothing leaves early beside a latency-sensitive copy", || be.view().flying == 1);
    ls.finish(copy);
    stays(ONE_PIECE / 4, "nobody knows any more when the piece will be done", || be.view().flying == 1);
}

#[test]
fn the_directions_of_a_bus_do_not_wait_for_each_other() {
    let arbiter = Running::start();
    let tenant = arbiter.join(Class::Be, 1024);
    let lanes = Direction::ALL.map(|direction| tenant.lane(arbiter.gpu(), direction, 0));
    for lane in lanes {
        arbiter.ask(lane, 10);
    }
    until("a piece flies each way", || lanes.iter().all(|lane| lane.view().flying == 1));
}

#[test]
fn two_best_effort_tenants_share_by_weight() {
    let arbiter = Running::start();
    let lanes = [3000, 1000].map(|weight| arbiter.lane(arbiter.join(Class::Be, weight), 0));
    let mut next = lanes.map(|lane| arbiter.ask(lane, 100_000));
    let mut served = [0u32; 2];
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        for (i, lane) in lanes.iter().enumerate() {
            if lane.view().flying > 0 {
                std::thread::sleep(Duration::from_micros(100));
                lane.finish(next[i]);
                next[i] += 1;
                served[i] += 1;
            }
        }
    }
    let ratio = f64::from(served[0]) / f64::from(served[1]);
    assert!(served[1] > 20, "work goes on: {served:?}");
    assert!((2.0..4.0).contains(&ratio), "3 to 1 was asked for: {served:?}");
}

#[test]
fn a_tenant_with_small_copies_gets_as_many_bytes_as_one_with_large_ones() {
    let arbiter = Running::start();
    let lanes = [0, 1].map(|_| arbiter.lane(arbiter.join(Class::Be, 1024), 0));
    let sizes = [Bytes::mib(1), Bytes::kib(128)];
    let mut moved = [0; 2];
    let mut tickets = [0, 1].map(|i| lanes[i].take(1, sizes[i]));
    let ask = |i: usize, ticket: u32| {
        lanes[i].ask(ticket);
        arbiter.layout().header.doorbell.ring_for_leave();
    };
    ask(0, tickets[0]);
    ask(1, tickets[1]);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        for i in 0..2 {
            if lanes[i].view().flying > 0 {
                // A copy takes as long as its bytes, and the next comes a moment after it.
                std::thread::sleep(Duration::from_micros(sizes[i].get() >> 10));
                lanes[i].finish(tickets[i]);
                moved[i] += sizes[i].get();
                tickets[i] = lanes[i].take(1, sizes[i]);
                ask(i, tickets[i]);
            }
        }
    }
    let ratio = moved[0] as f64 / moved[1] as f64;
    assert!((0.7..1.5).contains(&ratio), "the same bytes were asked for: {moved:?}");
}

#[test]
fn the_arbiter_tells_how_long_pieces_waited_and_took() {
    let arbiter = Running::start();
    let tenant = arbiter.join(Class::Be, 1024);
    let lane = arbiter.lane(tenant, 0);
    for _ in 0..10 {
        let piece = arbiter.ask(lane, 1);
        assert_eq!(lane.wait(piece, Duration::from_secs(2)), Waited::Granted);
        std::thread::sleep(Duration::from_millis(2));
        lane.finish(piece);
        until("it is seen", || lane.view().pending == 0);
        std::thread::sleep(Duration::from_millis(2));
    }
    let [h2d, d2h] = &tenant.served;
    assert!(h2d.waits.quantile_us(0.5) > 0, "waits were counted");
    assert!((2048..100_000).contains(&h2d.services.quantile_us(0.5)), "{}", h2d.services.quantile_us(0.5));
    assert_eq!((d2h.waits.quantile_us(1.0), d2h.services.quantile_us(1.0)), (0, 0));
}

#[test]
fn a_latency_sensitive_copy_holds_best_effort_back_until_it_is_done() {
    let arbiter = Running::start();
    let (ls, be) = (arbiter.join(Class::Ls, 1024), arbiter.join(Class::Be, 1024));
    let (ls, be) = (arbiter.lane(ls, 0), arbiter.lane(be, 0));
    let copy = arbiter.ask(ls, 1);
    arbiter.ask(be, 10);
    stays(A_WHILE, "nothing best-effort is let go", || be.view().flying == 0);
    ls.finish(copy);
    until("best-effort goes on", || be.view().flying > 0);
    stays(A_WHILE, "one piece at a time beside a latency-sensitive tenant", || be.view().flying == 1);
}

#[test]
fn a_latency_sensitive_copy_that_never_ends_starves_nobody() {
    let arbiter = Running::start();
    let (ls, be) = (arbiter.join(Class::Ls, 1024), arbiter.join(Class::Be, 1024));
    let (ls, be) = (arbiter.lane(ls, 0), arbiter.lane(be, 0));
    arbiter.ask(ls, 1);
    arbiter.ask(be, 10);
    until("best-effort goes on beside a stuck copy", || be.view().flying == 1);
}

#[test]
fn pieces_that_do_not_move_hold_nobody_back_for_long() {
    let arbiter = Running::start();
    let lanes = [0, 1].map(|_| arbiter.lane(arbiter.join(Class::Be, 1024), 0));
    let first = arbiter.ask(lanes[0], 10);
    until("its piece flies", || lanes[0].view().flying == 1);
    let copy = arbiter.ask(lanes[1], 1);
    assert_eq!(lanes[1].wait(copy, Duration::from_secs(2)), Waited::Granted);
    lanes[1].finish(copy);
    stays(A_WHILE, "a stalled lane is given nothing more", || lanes[0].view().flying == 1);
    lanes[0].finish(first);
    // Two pieces where the machine was late with the other lane's: the arbiter then knows a piece's time, and one follows.
    until("it is served again once it moves", || lanes[0].view().pending == 9 && lanes[0].view().flying > 0);
}

#[test]
fn a_copy_that_a_stream_comes_to_later_is_noticed_without_a_ring() {
    let arbiter = Running::start();
    let lane = arbiter.lane(arbiter.join(Class::Be, 1024), 0);
    let first = lane.take(1, Bytes::kib(256));
    arbiter.layout().header.doorbell.ring();
    std::thread::sleep(Duration::from_millis(400));
    lane.ask(first);
    assert_eq!(lane.wait(first, Duration::from_millis(500)), Waited::Granted);
}

#[test]
fn a_bus_is_contended_while_two_tenants_copy_and_counts_what_they_move() {
    let arbiter = Running::start();
    let gpu = arbiter.gpu();
    let tenants = [arbiter.join(Class::Be, 1024), arbiter.join(Class::Ls, 1024)];
    let bus = arbiter.layout().header.gpus[gpu].bus(Direction::H2d);
    let copy = |tenant: usize, bytes| {
        tenants[tenant].tenant.moved[gpu][Direction::H2d as usize].fetch_add(bytes, Ordering::Relaxed);
        arbiter.layout().header.doorbell.ring();
    };
    copy(0, 1000);
    until("the bytes are counted", || bus.bytes.load(Ordering::Relaxed) == 1000);
    assert_eq!(bus.regime(), Regime::Free, "one tenant alone");
    until("the bus is contended", || {
        copy(0, 1000);
        copy(1, 1000);
        bus.regime() == Regime::Yield
    });
    assert!(bus.piece() >= Bytes::kib(64), "{}", bus.piece());
    assert!(bus.busy_permille.load(Ordering::Relaxed) > 0);
    until("the bus is free again", || bus.regime() == Regime::Free);
    until("the busy ratio fades", || bus.busy_permille.load(Ordering::Relaxed) == 0);
}

#[test]
fn garbage_in_a_tenants_slot_neither_stops_the_arbiter_nor_the_others() {
    let arbiter = Running::start();
    let (wild, good) = (arbiter.join(Class::Be, u32::MAX), arbiter.join(Class::Be, 1024));
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let lane = arbiter.lane(good, 0);
    let start = Instant::now();
    let mut served = 0;
    while start.elapsed() < Duration::from_secs(1) {
        for gpu in 0..region::GPUS {
            for direction in Direction::ALL {
                for wild_lane in wild.lanes(gpu, direction) {
                    noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    wild_lane.take((noise >> 32) as u32, Bytes::new(noise));
                    wild_lane.ask((noise >> 16) as u32);
                    wild_lane.finish(noise as u32);
                    wild.tenant.moved[gpu][direction as usize].store(noise, Ordering::Relaxed);
                }
            }
        }
        for word in [&wild.tenant.class, &wild.tenant.weight, &wild.tenant.color, &wild.tenant.color_state] {
            word.store((noise >> 40) as u32 % 7, Ordering::Relaxed);
        }
        let piece = arbiter.ask(lane, 1);
        served += u32::from(lane.wait(piece, Duration::from_millis(1)) == Waited::Granted);
        lane.finish(piece);
    }
    assert!(arbiter.is_running(), "the arbiter is in its loop");
    assert!(served > 0, "the other tenant was served");
    // The wild one comes to rest; the other is served as if nothing had been.
    std::thread::sleep(Duration::from_millis(300));
    let piece = arbiter.ask(lane, 1);
    assert_eq!(lane.wait(piece, Duration::from_secs(1)), Waited::Granted);
}
