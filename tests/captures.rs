//! Captures of a program's streams are left alone, whatever else the program does meanwhile.

mod harness;

use harness::Place;
use harness::c::{DRIVER, Program};
use harness::programs::{Held, said};

static CAPTURE: Program = Program::plain("capture", "captures/capture.c").with(&[DRIVER]);

/// Things that a program does during a capture, none of which ends it.
const WAYS: [&str; 5] = ["nothing", "retain", "context", "stream", "per-thread"];

#[test]
fn a_capture_goes_on_whatever_else_the_program_does() {
    for way in WAYS {
        let place = Place::with_table();
        let _arbiter = place.up(&[]);
        let bare = said(place.simulated(CAPTURE.built()).arg(way)).json();
        assert_eq!(bare["end"], 0, "{way}: the driver alone lets it end well");
        let mut command = place.missile(&["run", "--sim", "h200", "--color", "on", "--"]);
        let tenant = Held::start_listening(command.arg(CAPTURE.built()).arg(way));
        assert_eq!(tenant.says()["end"], 0, "{way}");
        let shown = place.wait_for_tenant(tenant.id(), "the tenant", |_| true);
        assert_eq!(shown["passed"]["unproven"], 1, "{way}: what was taken meanwhile stays uncoloured: {shown}");
        assert!(shown["colored_bytes"].as_u64() >= Some(4 << 20), "{way}: what was taken later is coloured: {shown}");
    }
}
