//! A snapshot, as JSON and as a table, of a region that tenants write to.

use observe::snapshot;
use region::{
    Class, ColorState, Direction, Engine, GpuKey, Hold, Layout, Means, Reached, Region, Shares, Slot, Why,
    monotonic_nanos,
};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::sync::atomic::Ordering;
use tempfile::TempDir;
use units::Nanos;

fn now() -> Nanos {
    Nanos::new(monotonic_nanos())
}

/// A region that this process holds as an arbiter does, and an onlooker's view of it.
struct Machine {
    held: Option<Region>,
    region: Region,
    holds: RefCell<Vec<Hold>>,
    _folder: TempDir,
}

impl Machine {
    fn new() -> Machine {
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder on a tmpfs");
        let path = folder.path().join("region");
        let held = Region::create(&path).expect("a region");
        let header = &held.layout().header;
        header.started.store(monotonic_nanos(), Ordering::Relaxed);
        header.arbiter_pid.store(std::process::id(), Ordering::Release);
        held.layout().share_maps(Shares { budget: 384 * 1024, tenants: 4 });
        let region = Region::open(&path).expect("a region to look at");
        Machine { held: Some(held), region, holds: RefCell::default(), _folder: folder }
    }

    fn layout(&self) -> &Layout {
        self.region.layout()
    }

    fn join(&self, class: Class, weight: u32) -> &Slot {
        let hold = self.region.join().expect("a free slot");
        let slot = &self.layout().slots[hold.slot()];
        self.holds.borrow_mut().push(hold);
        slot.tenant.weight.store(weight, Ordering::Relaxed);
        slot.tenant.class.store(class.code(), Ordering::Release);
        slot
    }

    fn gpu(&self) -> usize {
        self.layout().gpu_index(GpuKey::from_uuid([7; 16])).expect("an entry")
    }
}

fn see(arbiter: &Machine) -> Value {
    serde_json::to_value(snapshot(&arbiter.region, now())).expect("a snapshot is JSON")
}

#[test]
fn a_tenant_is_shown_as_it_describes_itself() {
    let arbiter = Machine::new();
    let gpu = arbiter.gpu();
    let slot = arbiter.join(Class::Ls, 77);
    slot.activity.begin();
    slot.orders.aim.publish(Reached::Steered, Some(1.25), Some(Nanos::from_millis(2)), 0.5);
    let tenant = &slot.tenant;
    tenant.target.store(1500, Ordering::Relaxed);
    tenant.holds.store(4, Ordering::Relaxed);
    tenant.held.store(6_000_000, Ordering::Relaxed);
    tenant.let_go.store(1, Ordering::Relaxed);
    tenant.set_name(b"python3");
    tenant.color.store(2, Ordering::Relaxed);
    tenant.color_state.store(ColorState::On.code(), Ordering::Relaxed);
    tenant.copies.store(1, Ordering::Relaxed);
    tenant.colored_bytes.store(1 << 20, Ordering::Relaxed);
    tenant.moved[gpu][Direction::D2h as usize].store(5000, Ordering::Relaxed);
    let groups = tenant.groups(gpu, Engine::Copy);
    groups.describe(3, Means::SlicesAndStops);
    groups.note_slice(1);
    groups.add_held(Nanos::from_millis(250));
    tenant.launches.store(9, Ordering::Relaxed);
    tenant.bypassed(b"cuInit");
    tenant.bypassed(b"cuMemAlloc_v2");
    tenant.passed.count(Why::OffTheBus);
    arbiter.layout().charge_maps(0, 3).expect("room");
    let seen = see(&arbiter);
    assert_eq!(seen["arbiter"]["pid"], json!(std::process::id()));
    assert!(seen["arbiter"]["uptime_s"].as_f64().is_some_and(|uptime| (0.0..60.0).contains(&uptime)));
    assert_eq!(seen["maps"], json!({"used": 3, "budget": 384 * 1024, "guaranteed": 48 * 1024}));
    assert_eq!(
        seen["tenants"],
        json!([{
            "pid": std::process::id(), "name": "python3", "class": "ls", "weight": 77, "color": 2,
            "colored_bytes": 1 << 20, "uncolored_bytes": 0, "h2d_bytes": 0, "d2h_bytes": 5000,
            "d2d_bytes": 0, "launches": 9, "graph_launches": 0, "sms": null, "state": "coloured",
            "maps": 3, "bypassed": 2, "bypassed_by": "cuMemAlloc_v2", "passed": { "off_the_bus": 1 },
            "slice_us": { "gr": null, "copy": 1 }, "slice_calls": 1, "held_ms": { "gr": 0.0, "copy": 250.0 },
            "launch_holds": 4, "launch_held_ms": 6.0, "launches_let_go": 1, "busy_streams": 1,
            "target": 1.5, "target_reached": "steered", "reached_ratio": 1.25, "alone_ms": 2.0, "freedom": 0.5,
            "means": { "gr": "unknown", "copy": "slices_and_stops" },
        }])
    );
    let dirs: Vec<_> = seen["bus"].as_array().expect("buses").iter().map(|bus| (&bus["gpu"], &bus["dir"])).collect();
    assert_eq!(dirs, [(&json!(0), &json!("h2d")), (&json!(0), &json!("d2h"))]);
    assert!(seen["bus"][0]["bytes"].is_u64() && seen["bus"][0]["busy_ratio"].is_f64());
}

#[test]
fn what_a_tenant_has_not_said_is_null_and_what_it_garbles_is_harmless() {
    let arbiter = Machine::new();
    let tenant = &arbiter.join(Class::Be, 1024).tenant;
    tenant.class.store(99, Ordering::Relaxed);
    tenant.color_state.store(99, Ordering::Relaxed);
    tenant.set_name(b"\x1b[2Jevil");
    tenant.moved.iter().flatten().for_each(|counter| counter.store(u64::MAX, Ordering::Relaxed));
    let seen = see(&arbiter);
    let tenant = &seen["tenants"][0];
    assert_eq!([&tenant["class"], &tenant["color"], &tenant["sms"]], [&Value::Null; 3]);
    assert_eq!(tenant["state"], "joining");
    assert_eq!(tenant["name"], "?[2Jevil");
    assert_eq!(tenant["h2d_bytes"], json!(u64::MAX));
}

#[test]
fn without_an_arbiter_there_is_none_in_the_snapshot() {
    let mut arbiter = Machine::new();
    drop(arbiter.held.take());
    assert_eq!(see(&arbiter)["arbiter"], Value::Null);
    assert!(snapshot(&arbiter.region, now()).to_string().contains("missile up"));
}

#[test]
fn the_table_for_people_has_a_line_for_each_tenant_and_bus() {
    let arbiter = Machine::new();
    arbiter.gpu();
    for name in ["serve", "train"] {
        arbiter.join(Class::Be, 1024).tenant.set_name(name.as_bytes());
    }
    let text = snapshot(&arbiter.region, now()).to_string();
    for word in ["serve", "train", "gpu 0 h2d", "gpu 0 d2h", "maps"] {
        assert_eq!(text.matches(word).count(), 1, "{word} in\n{text}");
    }
}
