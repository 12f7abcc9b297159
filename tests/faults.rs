//! Whatever goes wrong at a request that the pager makes of the kernel: the program goes on, its memory is right, and
//! nothing is lost.

mod harness;

use harness::Place;
use harness::c::{DRIVER, Program};
use harness::programs::Held;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

static WAYS: Program = Program::plain("ways_with_faults", "coloring/ways.c").with(&[DRIVER]);

/// A place with an arbiter, in which tenants take 4 MiB while requests go wrong.
struct Ground {
    place: Place,
    _arbiter: harness::Arbiter,
}

/// How a tenant fared.
#[derive(Debug)]
struct Fared {
    /// Whether it read back what it wrote; `None` where the driver gave it no memory.
    right: Option<bool>,
    lost: Value,
    /// The rows of `top` for it while it had the memory, and after it gave it back.
    held: Value,
    freed: Value,
    code: Option<i32>,
    stderr: String,
}

impl Ground {
    fn new() -> Ground {
        let place = Place::with_table();
        let arbiter = place.up(&[]);
        Ground { place, _arbiter: arbiter }
    }

    fn log(&self) -> PathBuf {
        self.place.path("requests")
    }

    fn start(&self, way: &str, fault: &str) -> Held {
        let mut command = self.place.missile(&["run", "--sim", "h200", "--"]);
        command.arg(WAYS.built()).arg(way).env("SIMGPU_FAULT", fault).env("SIMGPU_FAULT_LOG", self.log());
        let _ = fs::remove_file(self.log());
        Held::start_listening(&mut command)
    }

    fn fares(&self, way: &str, fault: &str) -> Fared {
        let mut tenant = self.start(way, fault);
        let id = tenant.id();
        let Some(first) = tenant.may_say() else {
            let said = tenant.finish();
            let nothing = || Value::Null;
            return Fared {
                right: None,
                lost: nothing(),
                held: nothing(),
                freed: nothing(),
                code: said.code,
                stderr: said.stderr,
            };
        };
        let held = self.place.wait_for_tenant(id, "the tenant", |_| true);
        tenant.go_on();
        let lost = tenant.says()["lost"].clone();
        let freed = self.place.wait_for_tenant(id, "the tenant", |_| true);
        let said = tenant.finish();
        Fared { right: first["right"].as_bool(), lost, held, freed, code: said.code, stderr: said.stderr }
    }

    /// The requests of the pager's in a run in which nothing goes wrong, by kind.
    fn requests(&self, way: &str) -> Vec<String> {
        let fared = self.fares(way, "memory:1000000:delay=0");
        assert_eq!((fared.right, fared.code), (Some(true), Some(0)), "{fared:?}");
        assert!(fared.held["colored_bytes"].as_u64() > Some(0), "{fared:?}");
        let log = fs::read_to_string(self.log()).unwrap();
        let kinds = log.lines().map(|line| line.split_whitespace().nth(1).unwrap().to_owned());
        // Those about channel groups come from a thread of their own, at any time.
        kinds.filter(|kind| ["map", "unmap", "alloc", "free"].contains(&&**kind)).collect()
    }
}

/// The first and the last requests, and some between.
fn some_of(requests: usize) -> impl Iterator<Item = usize> {
    (1..=requests).filter(move |&at| at <= 18 || at + 9 > requests || at % 29 == 0)
}

#[test]
fn a_request_that_fails_leaves_memory_right_and_nothing_behind() {
    let ground = Ground::new();
    for way in ["linear", "twice"] {
        let requests = ground.requests(way);
        assert!(requests.len() > 250, "{}", requests.len());
        for (fault, step) in [("status=0x1A", 1), ("status=0x1E", 2), ("errno=5", 3)] {
            for at in some_of(requests.len()).step_by(step) {
                let fared = ground.fares(way, &format!("memory:{at}:{fault}"));
                let what = format!("{way}, request {at} ({}) {fault}: {fared:?}", requests[at - 1]);
                // A second mapping of what has content already may be refused, as if there were no memory.
                match fared.right {
                    Some(right) => {
                        assert!(right, "{what}");
                        assert_eq!(fared.code, Some(0), "{what}");
                        assert_eq!([&fared.freed["maps"], &fared.freed["colored_bytes"]], [0, 0], "{what}");
                        // A donor that the kernel does not free goes with the process.
                        assert!(fared.lost == 0 || requests[at - 1] == "free", "{what}");
                    }
                    None => {
                        assert_eq!((way, fared.code), ("twice", Some(1)), "{what}");
                        assert!(fared.stderr.contains(": 2\n"), "out of memory: {what}");
                    }
                }
            }
        }
    }
}

#[test]
fn requests_that_all_fail_from_some_point_on_never_give_wrong_memory() {
    let ground = Ground::new();
    let requests = ground.requests("linear");
    for at in some_of(requests.len()).step_by(2) {
        let fared = ground.fares("linear", &format!("map:{at}+:status=0x1A"));
        match fared.right {
            Some(right) => assert!(right && fared.lost == 0 && fared.freed["maps"] == 0, "from map {at}: {fared:?}"),
            // Where even the driver's own pages cannot be put back, it is told that it got none.
            None => assert!(fared.code == Some(1) && fared.stderr.contains(": 2\n"), "from map {at}: {fared:?}"),
        }
    }
}

#[test]
fn a_tenant_that_dies_at_any_request_leaves_its_maps_and_its_memory_to_others() {
    let ground = Ground::new();
    let free = |ground: &Ground| {
        let said = harness::programs::said(&mut ground.place.bare("roundtrip", &["2M"]));
        said.json()["free_bytes_before"].as_u64().unwrap()
    };
    let at_first = free(&ground);
    let requests = ground.requests("linear");
    for death in ["death", "death-after"] {
        for at in some_of(requests.len()).step_by(2) {
            let tenant = ground.start("linear", &format!("memory:{at}:{death}"));
            let killed = tenant.may_say();
            let said = tenant.finish();
            assert!(killed.is_none() || at > requests.len() / 2, "request {at}: {said:?}");
            assert_eq!(said.code, None, "request {at} kills: {said:?}");
            ground.place.wait_for("the dead tenant's maps", |top| top["maps"]["used"] == 0);
        }
    }
    assert_eq!(free(&ground), at_first);
}

#[test]
fn a_request_that_takes_long_delays_the_program_and_no_more() {
    let ground = Ground::new();
    let requests = ground.requests("linear");
    for at in [1, 5, requests.len() / 2, requests.len()] {
        let fared = ground.fares("linear", &format!("memory:{at}:delay=300"));
        assert_eq!((fared.right, fared.code, &fared.lost), (Some(true), Some(0), &0.into()), "request {at}: {fared:?}");
        assert!(fared.held["colored_bytes"].as_u64() > Some(0), "request {at}: {fared:?}");
    }
}

#[test]
fn a_self_test_that_fails_switches_colors_off_and_says_so_once() {
    let ground = Ground::new();
    for fault in ["unmap:1:status=0x1E", "map:1:status=0x1E", "map:2:errno=12", "map:3:status=0x1A"] {
        let fared = ground.fares("linear", fault);
        assert_eq!((fared.right, fared.code, &fared.lost), (Some(true), Some(0), &0.into()), "{fault}: {fared:?}");
        assert_eq!([&fared.held["colored_bytes"], &fared.held["maps"]], [0, 0], "{fault}: {fared:?}");
        assert_eq!(fared.stderr.lines().count(), 1, "{fault}: {fared:?}");
        assert!(fared.stderr.contains("self-test failed"), "{fault}: {fared:?}");
    }
}
