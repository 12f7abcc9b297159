//! Tenants' memory lies on their colour: seen by how long the pages take, and held to what programs may expect.

mod harness;

use harness::Place;
use harness::c::{DRIVER, Program};
use harness::files::{masks_of, sm_sides_of};
use harness::programs::{Held, said};
use serde_json::Value;

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;
/// Between what the simulated H200 takes to the near side and to the far one.
const FAR_CYCLES: u64 = 380;

/// The side of each page of a buffer, by how long the SM that looked had to wait.
fn sides(buffer: &Value) -> Vec<u32> {
    let sm = buffer["sides"]["sm"].as_u64().unwrap() as usize;
    let own = sm_sides_of("h200")[sm];
    let cycles = buffer["sides"]["cycles"].as_array().unwrap();
    assert_eq!(cycles.len() as u64, buffer["bytes"].as_u64().unwrap() / PAGE, "every page is measured");
    cycles.iter().map(|cycles| if cycles.as_u64().unwrap() < FAR_CYCLES { own } else { 1 - own }).collect()
}

/// The side of each page of a buffer, by its physical address.
fn sides_by_address(buffer: &Value) -> Vec<u32> {
    let mask = masks_of("h200")[0];
    let pages = |extent: &Value| {
        let [bytes, phys] = ["bytes", "phys"].map(|key| extent[key].as_u64().unwrap());
        (0..bytes).step_by(PAGE as usize).map(move |offset| ((phys + offset) & mask).count_ones() % 2)
    };
    buffer["extents"].as_array().unwrap().iter().flat_map(pages).collect()
}

fn round_trip(place: &Place, flags: &[&str], arguments: &[&str]) -> Value {
    let said = said(&mut place.tenant(flags, "roundtrip", arguments));
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    said.json()
}

#[test]
fn by_default_nobody_is_colored_where_colors_are_sides_of_the_cache() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    for (color, colored) in [("auto", 0), ("on", 4 * MIB)] {
        let mut command = place.tenant(&["--color", color], "roundtrip", &["--hold", "4M"]);
        let mut tenant = Held::start_listening(&mut command);
        tenant.says();
        let shown = place.wait_for_tenant(tenant.id(), "the tenant", |tenant| tenant["class"] == "be");
        assert_eq!(shown["colored_bytes"], colored, "{color}: {shown}");
        let said_why = shown["state"].as_str().unwrap().contains("--color on");
        assert_eq!(said_why, color == "auto", "{shown}");
        tenant.go_on();
        tenant.says();
        let said = tenant.finish();
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "the default is nothing to complain of");
    }
}

#[test]
fn every_page_of_a_tenant_is_on_its_class_side_and_classes_are_apart() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let mut side_of_class = Vec::new();
    for class in ["ls", "be"] {
        let report = round_trip(&place, &["--class", class], &["--sides", "2M", "6M", "2M", "32M"]);
        let mut all = Vec::new();
        for buffer in report["buffers"].as_array().unwrap() {
            let measured = sides(buffer);
            assert_eq!(measured, sides_by_address(buffer), "the clock and the addresses agree");
            all.extend(measured);
        }
        let strays = all.iter().filter(|&&side| side != all[0]).count();
        assert_eq!(strays, 0, "of {} pages of {class} lie on the other side", all.len());
        side_of_class.push(all[0]);
    }
    assert_ne!(side_of_class[0], side_of_class[1]);
}

#[test]
fn uncolored_memory_lies_on_both_sides() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let report = round_trip(&place, &["--color", "off"], &["--sides", "4M"]);
    let sides = sides(&report["buffers"][0]);
    assert!(sides.contains(&0) && sides.contains(&1), "the measurement tells sides apart");
}

#[test]
fn what_is_written_to_colored_memory_is_read_back() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let sizes = ["2M", "3M", "64K", "17M", "2M"];
    let bare = said(&mut place.bare("roundtrip", &sizes)).json();
    for class in ["ls", "be"] {
        let colored = round_trip(&place, &["--class", class], &sizes);
        assert_eq!(colored["buffers"], bare["buffers"]);
        assert_eq!(colored["codes"], bare["codes"]);
        assert!(colored["buffers"].as_array().unwrap().iter().all(|buffer| buffer["right"] == true));
    }
}

#[test]
fn freeing_returns_maps_and_memory() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let mut tenant = Held::start_listening(&mut place.tenant(&["--class", "ls"], "roundtrip", &["--hold", "4M", "8M"]));
    let before = tenant.says();
    let [free_at_first, free_in_use] = ["free_bytes_before", "free_bytes"].map(|key| before[key].as_u64().unwrap());
    assert!(free_at_first - free_in_use >= 12 * MIB, "{before}");
    let top = place.wait_for("the tenant's maps", |top| top["maps"]["used"].as_u64() > Some(0));
    assert_eq!(top["tenants"][0]["colored_bytes"], 12 * MIB);
    assert_eq!(top["tenants"][0]["maps"], top["maps"]["used"]);

    tenant.go_on();
    assert_eq!(tenant.says()["free_bytes"], free_at_first);
    let top = place.top().unwrap();
    assert_eq!(top["maps"]["used"], 0);
    assert_eq!(top["tenants"][0]["colored_bytes"], 0);
    assert_eq!(tenant.finish().code, Some(0));
}

/// The answers of a tenant, and of `top` about it, while it holds its buffers.
fn held(place: &Place, variables: &[(&str, &str)], sizes: &[&str]) -> (Value, Value) {
    let mut command = place.tenant(&["--class", "ls"], "roundtrip", &["--hold"]);
    let tenant = Held::start_listening(command.args(sizes).envs(variables.iter().copied()));
    let report = tenant.says();
    let shown = place.wait_for_tenant(tenant.id(), "the tenant", |_| true);
    (report, shown)
}

fn all_right(report: &Value) -> bool {
    report["buffers"].as_array().unwrap().iter().all(|buffer| buffer["right"] == true)
        && report["codes"].as_object().unwrap().values().all(|code| code == 0)
}

#[test]
fn an_allocation_over_the_map_budget_stays_uncolored_and_works() {
    let place = Place::with_table();
    let _arbiter = place.up(&["--map-budget", "100"]);
    let (report, shown) = held(&place, &[], &["2M", "4M"]);
    assert!(all_right(&report), "{report}");
    assert_eq!((&shown["colored_bytes"], &shown["uncolored_bytes"]), (&0.into(), &(6 * MIB).into()), "{shown}");
    assert_eq!(place.top().unwrap()["maps"], serde_json::json!({ "used": 0, "budget": 100, "guaranteed": 12 }));
}

#[test]
fn allocations_outside_the_sizes_asked_for_stay_uncolored() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let sizes = ["2M", "4M", "8M"];
    let cases: [(&[(&str, &str)], u64); 4] = [
        (&[], 14),
        (&[("MISSILE_COLOR_MIN", "4M")], 12),
        (&[("MISSILE_COLOR_MAX", "4M")], 6),
        (&[("MISSILE_COLOR_MIN", "3M"), ("MISSILE_COLOR_MAX", "7M")], 4),
    ];
    for (variables, colored) in cases {
        let (report, shown) = held(&place, variables, &sizes);
        assert!(all_right(&report), "{variables:?}: {report}");
        assert_eq!(shown["colored_bytes"], colored * MIB, "{variables:?}");
        assert_eq!(shown["uncolored_bytes"], (14 - colored) * MIB, "{variables:?}");
    }
}

static LEAVING: Program = Program::plain("leaving", "coloring/leaving.c").with(&[DRIVER]);

/// The row of `top` for a tenant that took a step with its 4 MiB, whose content must be the same after it.
fn after_step(step: &str) -> Value {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let mut command = place.missile(&["run", "--sim", "h200", "--"]);
    let mut tenant = Held::start_listening(command.arg(LEAVING.built()).arg(step));
    let says = tenant.says();
    assert_eq!(says["sum"], says["again"], "{step}: the content is what it was");
    let shown = place.wait_for_tenant(tenant.id(), "the tenant", |_| true);
    tenant.go_on();
    tenant.says();
    let freed = place.wait_for_tenant(tenant.id(), "the tenant", |_| true);
    assert_eq!([&freed["maps"], &freed["colored_bytes"], &freed["uncolored_bytes"]], [0, 0, 0], "{step}: {freed}");
    assert_eq!(tenant.finish().code, Some(0));
    shown
}

#[test]
fn memory_that_leaves_the_process_is_on_the_drivers_own_pages_again() {
    for step in ["ipc", "range", "tokens", "memops"] {
        let shown = after_step(step);
        let found = [&shown["colored_bytes"], &shown["uncolored_bytes"], &shown["maps"]];
        assert_eq!(found, [0, 4 * MIB, 0], "{step}: {shown}");
        assert_eq!(shown["passed"]["exported"], 1, "{step}: {shown}");
    }
}

#[test]
fn memory_that_is_only_asked_about_or_handed_to_nowhere_stays_colored() {
    for step in ["none", "type", "ipc-nowhere"] {
        assert_eq!(after_step(step)["colored_bytes"], 4 * MIB, "{step}");
    }
}

static CONTEXTS: Program = Program::plain("contexts", "coloring/contexts.c").with(&[DRIVER]);

#[test]
fn what_another_context_writes_while_memory_leaves_is_not_lost() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let mut command = place.missile(&["run", "--sim", "h200", "--color", "on", "--"]);
    let tenant = Held::start_listening(command.arg(CONTEXTS.built()));
    assert_eq!(tenant.says()["lost"], 0, "bytes that the other context wrote");
    let shown = place.wait_for_tenant(tenant.id(), "the tenant", |_| true);
    assert_eq!(shown["passed"]["exported"], 1, "{shown}");
}

static WAYS: Program = Program::plain("ways", "coloring/ways.c").with(&[DRIVER]);

/// The row of `top` for a tenant that took 4 MiB in some way and found them to be as it wrote them. Once it gave them
/// back, nothing is left of them.
fn taken(way: &str) -> Value {
    taken_beside(way, None)
}

/// The same beside so many GiB that stay uncoloured.
fn taken_beside(way: &str, gib: Option<u64>) -> Value {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let mut command = place.missile(&["run", "--sim", "h200", "--"]);
    command.arg(WAYS.built()).arg(way).env("MISSILE_COLOR_MAX", "1G").args(gib.map(|gib| gib.to_string()));
    let mut tenant = Held::start_listening(&mut command);
    assert_eq!(tenant.says()["right"], true, "{way}");
    let shown = place.wait_for_tenant(tenant.id(), "the tenant", |_| true);
    tenant.go_on();
    tenant.says();
    let freed = place.wait_for_tenant(tenant.id(), "the tenant", |_| true);
    assert_eq!([&freed["maps"], &freed["colored_bytes"], &freed["uncolored_bytes"]], [0, 0, 0], "{way}: {freed}");
    assert_eq!(tenant.finish().code, Some(0), "{way}");
    shown
}

#[test]
fn memory_is_colored_whatever_way_it_is_taken() {
    for way in ["linear", "pitched", "stream-ordered", "pool", "mapped", "again", "twice", "exportable"] {
        let shown = taken(way);
        assert!(shown["colored_bytes"].as_u64() >= Some(4 * MIB), "{way}: {shown}");
        assert_eq!(shown["uncolored_bytes"], 0, "{way}: {shown}");
        let maps = shown["maps"].as_u64().unwrap() * 4 * MIB / shown["colored_bytes"].as_u64().unwrap();
        let most = if way == "twice" { 640 } else { 320 };
        assert!((256..=most).contains(&maps), "{way}: {maps} map calls for 4 MiB");
    }
}

#[test]
fn no_memory_is_colored_that_would_leave_less_than_an_eighth_free() {
    // Of 141 GiB.
    for (gib, colored) in [(122, 4 * MIB), (124, 0)] {
        let shown = taken_beside("linear", Some(gib));
        assert_eq!(shown["colored_bytes"], colored, "{gib} GiB taken: {shown}");
        assert_eq!(shown["passed"]["no_donor"].as_u64(), (colored == 0).then_some(1), "{gib} GiB taken: {shown}");
    }
}

#[test]
fn memory_of_exportable_pools_and_compressed_memory_is_never_colored() {
    for way in ["compressed", "exported-pool", "current-exported-pool"] {
        let shown = taken(way);
        assert_eq!([&shown["colored_bytes"], &shown["maps"]], [0, 0], "{way}: {shown}");
        assert!(shown["uncolored_bytes"].as_u64() >= Some(4 * MIB), "{way}: {shown}");
        assert!(shown["passed"]["exportable"].as_u64() >= Some(1), "{way}: {shown}");
    }
}

#[test]
fn memory_whose_handle_is_exported_is_on_the_drivers_own_pages_again() {
    let shown = taken("exported");
    let found = [&shown["colored_bytes"], &shown["uncolored_bytes"], &shown["maps"]];
    assert_eq!(found, [0, 4 * MIB, 0], "{shown}");
    assert_eq!(shown["passed"]["exported"], 1, "{shown}");
}

static CHURN: Program = Program::plain("churn", "coloring/churn.c").with(&[DRIVER]);

#[test]
fn threads_that_take_and_give_back_at_random_find_what_they_wrote_and_leave_nothing() {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let mut command = place.missile(&["run", "--sim", "h200", "--"]);
    let tenant = Held::start_listening(command.arg(CHURN.built()).args(["240", "3", "8"]));
    let says = tenant.says();
    assert_eq!([&says["wrong"], &says["lost"]], [0, 0], "{says}");
    let shown = place.wait_for_tenant(tenant.id(), "the tenant", |_| true);
    assert_eq!([&shown["maps"], &shown["colored_bytes"], &shown["uncolored_bytes"]], [0, 0, 0], "{shown}");
    assert_eq!([&shown["passed"]["map_failed"], &shown["passed"]["no_donor"]], [&Value::Null, &Value::Null], "{shown}");
}
