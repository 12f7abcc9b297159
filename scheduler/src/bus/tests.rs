//! Turns of one direction of a bus at times that the test says.

use super::*;
use region::{Lane, Region};
use std::rc::Rc;
use tempfile::TempDir;

fn at(micros: u64) -> Nanos {
    Nanos::from_micros(1_000_000 + micros)
}

/// Has the tenant take a piece that ends at this time, and come back so much later.
fn away(tenant: &mut TenantLanes, end: u64, micros: u64) {
    tenant.back(true, at(end - 1));
    tenant.back(false, at(end));
    tenant.back(true, at(end + micros));
}

#[test]
fn who_was_usually_back_at_once_is_expected_for_a_while() {
    let mut tenant = NEW;
    (0..20).for_each(|i| away(&mut tenant, 1000 * (i + 1), 30));
    tenant.back(true, at(50_000));
    assert_eq!(
        [0, 79, 80].map(|since| tenant.back(false, at(50_010 + since))),
        [Back::Expected, Back::Expected, Back::No]
    );
    assert_eq!(tenant.back(true, at(50_100)), Back::No);
}

/// Else the arbiter may sleep for as long as the other's piece takes, take that for how long the tenant was away, and
/// never find out.
#[test]
fn who_left_a_moment_ago_is_looked_for_whatever_it_did_before() {
    let mut tenant = NEW;
    (0..20).for_each(|i| away(&mut tenant, 1000 * (i + 1), 500));
    tenant.back(true, at(50_000));
    assert_eq!(
        [0, 79, 80].map(|since| tenant.back(false, at(50_010 + since))),
        [Back::Possible, Back::Possible, Back::No]
    );
}

/// A bus on which a best-effort tenant always has pieces waiting, each of which takes [`TAKES`], beside a latency-sensitive
/// tenant that copied something of late.
struct Played {
    region: Rc<Region>,
    gate: BusGate,
    micros: u64,
    /// When the piece on the bus is done, and when the last one was.
    end: Option<u64>,
    ended: u64,
    _folder: TempDir,
}

const TAKES: u64 = 40;
const LS_SLOT: usize = 0;
const BE_SLOT: usize = 1;
const LIVE: [Live; 2] = [
    Live { slot: LS_SLOT, class: Some(Class::Ls), weight: 1024 },
    Live { slot: BE_SLOT, class: Some(Class::Be), weight: 1024 },
];

impl Played {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let region = Rc::new(Region::create(&folder.path().join("region")).expect("a region"));
        let gate = BusGate::new(region.layout(), 0, Direction::H2d, None);
        region.layout().slots[LS_SLOT].tenant.moved[0][0].store(1, Ordering::Relaxed);
        let be = lane(&region, BE_SLOT);
        be.ask(be.take(1 << 20, Bytes::mib(2)) + (1 << 20) - 1);
        let mut played = Played { region: region.clone(), gate, micros: 0, end: None, ended: 0, _folder: folder };
        // Until it is known what a piece takes.
        played.after(5000);
        played
    }

    /// For so many microseconds: how long the bus was idle before each piece that was let go, or before its end if it was
    /// let go early (less than 0).
    fn after(&mut self, micros: u64) -> Vec<i64> {
        let region = self.region.clone();
        let be = lane(&region, BE_SLOT);
        let mut idle = Vec::new();
        for _ in 0..micros {
            self.micros += 1;
            if self.end.is_some_and(|end| end <= self.micros) {
                be.finish(be.progress() + 1);
                self.ended = self.micros;
                self.end = (be.view().flying > 0).then_some(self.micros + TAKES);
            }
            let before = be.view().flying;
            self.gate.turn(region.layout(), &LIVE, at(self.micros));
            if be.view().flying > before {
                idle.push(self.micros as i64 - self.end.unwrap_or(self.ended) as i64);
                self.end.get_or_insert(self.micros + TAKES);
            }
        }
        idle
    }
}

fn lane(region: &Region, slot: usize) -> &Lane {
    region.layout().slots[slot].lane(0, Direction::H2d, 0)
}

fn all(idle: &[i64], are: std::ops::RangeInclusive<i64>) -> bool {
    !idle.is_empty() && idle.iter().all(|idle| are.contains(idle))
}

#[test]
fn while_a_latency_sensitive_copy_is_submitted_the_engine_is_left_gaps() {
    let mut played = Played::start();
    let idle = played.after(1000);
    assert!(all(&idle, -10..=-1), "each leaves early: {idle:?}");
    let region = played.region.clone();
    let ls = lane(&region, LS_SLOT);
    let copy = ls.take(1, Bytes::kib(256));
    played.after(2 * TAKES);
    let idle = played.after(1000);
    assert!(all(&idle, 6..=8), "its stream has not come to it: {idle:?}");
    ls.ask(copy);
    played.after(2 * TAKES);
    let idle = played.after(1000);
    assert!(idle.is_empty(), "it has: {idle:?}");
}

#[test]
fn gaps_go_on_for_a_while_after_a_latency_sensitive_copy() {
    let mut played = Played::start();
    let region = played.region.clone();
    let ls = lane(&region, LS_SLOT);
    let copy = ls.take(1, Bytes::kib(256));
    ls.ask(copy);
    played.after(1000);
    ls.finish(copy);
    let idle = played.after(280);
    assert!(all(&idle[1..], 6..=8), "an event may come behind it: {idle:?}");
    played.after(2 * TAKES);
    let idle = played.after(1000);
    assert!(all(&idle, -10..=-1), "now nothing comes any more: {idle:?}");
}
