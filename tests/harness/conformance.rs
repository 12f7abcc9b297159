//! Checks of each way in: the program does what it does without Missile, and Missile governs it, or says that it does
//! not.
//!
//! The same checks are made of the library as it is and of one that is broken on purpose, which must not pass them.

use super::c::{self, filled_in};
use super::programs::{Held, Said, said};
use super::ways::{self, Way};
use super::{Place, libraries, tenant_of};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const MIB: u64 = 1 << 20;

/// A library to check: that of the build, or another.
#[derive(Default)]
pub struct Subject {
    /// The folder with the library, in the layout of the build's.
    pub folder: Option<PathBuf>,
    /// The fault that it has on purpose.
    pub fault: Option<&'static str>,
}

impl Subject {
    fn folder(&self) -> &Path {
        self.folder.as_deref().unwrap_or(libraries())
    }

    /// The library.
    pub fn library(&self) -> PathBuf {
        self.folder().join("libmissile.so")
    }

    /// Has a command use it.
    fn choose(&self, command: &mut Command) {
        command.env("MISSILE_LIB_DIR", self.folder());
        command.envs(self.fault.map(|fault| ("MISSILE_BREAK", fault)));
    }
}

/// A program's output, and the row of `top` for it when it had done its work.
#[derive(Debug)]
pub struct Shown {
    pub said: Said,
    pub tenant: Option<Value>,
    /// How many tenants there were.
    pub tenants: usize,
}

/// Runs a program that says a sum when it has done its work, and then waits for a line.
#[track_caller]
pub fn shown(place: &Place, command: &mut Command) -> Shown {
    let held = Held::start_listening(command);
    let mut stdout = held.says_up_to("\"sum\"");
    let top = place.top().expect("the arbiter runs");
    let tenant = tenant_of(&top, held.id()).cloned();
    let mut said = held.finish();
    stdout += &said.stdout;
    said.stdout = stdout;
    Shown { said, tenant, tenants: top["tenants"].as_array().unwrap().len() }
}

/// A program as it is without Missile.
pub fn bare(place: &Place, way: &Way) -> Command {
    let mut command = place.simulated(way.program.built());
    command.args(way.arguments.iter().map(|argument| filled_in(argument)));
    command
}

/// A program as a tenant.
pub fn tenant(place: &Place, subject: &Subject, way: &Way) -> Command {
    let mut command = place.missile(&["run", "--sim", "h200", "--class", "ls"]);
    command.args(way.flags).arg("--").arg(way.program.built());
    command.args(way.arguments.iter().map(|argument| filled_in(argument)));
    subject.choose(&mut command);
    command
}

/// A program with libraries that are preloaded by hand, the one to check being one of them.
pub fn preloaded(place: &Place, subject: &Subject, libraries: &[&Path], way: &Way) -> Command {
    let mut command = bare(place, way);
    subject.choose(&mut command);
    command.env("LD_PRELOAD", place.preload(libraries)).env("MISSILE_CLASS", "ls");
    command
}

/// The program ended well, and said what it says without Missile and nothing else.
#[track_caller]
fn assert_same(bare: &Said, with: &Said) {
    assert_eq!((bare.code, bare.stderr.as_str()), (Some(0), ""), "without Missile: {bare:?}");
    assert_eq!(with.code, Some(0), "{with:?}");
    assert_eq!(with.stdout, bare.stdout);
}

/// The tenant did the work so often, keeps one buffer of each that are `kept`, and nothing of it escaped Missile.
#[track_caller]
pub fn assert_tenant(tenant: &Option<Value>, times: u64, kept: u64) {
    let tenant = tenant.as_ref().expect("the program is a tenant");
    let says = |key: &str| tenant[key].as_u64().unwrap();
    let seen = ["launches", "h2d_bytes", "d2h_bytes", "colored_bytes", "uncolored_bytes", "bypassed"].map(says);
    assert_eq!(seen, [times, times * 2 * MIB, times * 4 * MIB, kept * 4 * MIB, 0, 0], "{tenant}");
    assert_eq!(tenant["state"], "coloured");
}

/// A place with an arbiter, and what the program says there without Missile and with it.
#[track_caller]
fn both(subject: &Subject, way: &Way) -> (Said, Shown) {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    (said(&mut bare(&place, way)), shown(&place, &mut tenant(&place, subject, way)))
}

/// All that the program does is governed, and it is none the wiser.
#[track_caller]
pub fn governed(subject: &Subject, way: &Way) {
    governed_times(subject, way, 1, 1);
}

/// As [`governed`], of a program that does the work so often and then has so many buffers.
#[track_caller]
pub fn governed_times(subject: &Subject, way: &Way, times: u64, kept: u64) {
    let (bare, with) = both(subject, way);
    assert_same(&bare, &with.said);
    assert_eq!(with.said.stderr, "");
    assert_tenant(&with.tenant, times, kept);
    assert_eq!(with.tenants, 1);
}

/// The program reaches the driver past Missile: it does what it does without, and `top` and one line say so.
#[track_caller]
pub fn bypassed(subject: &Subject, way: &Way, caller: &str) {
    let (bare, with) = both(subject, way);
    assert_same(&bare, &with.said);
    let tenant = with.tenant.expect("the program is a tenant, if not a governed one");
    assert!(tenant["bypassed"].as_u64() > Some(0), "{tenant}");
    assert!(tenant["bypassed_by"].as_str().is_some_and(|name| name.starts_with("cu")), "{tenant}");
    assert_eq!((&tenant["launches"], &tenant["colored_bytes"]), (&0.into(), &0.into()), "{tenant}");
    let line = with.said.one_line();
    assert!(line.starts_with("missile: cu") && line.contains(caller), "{line}");
}

/// The program says the same as without Missile, and is no tenant.
#[track_caller]
pub fn left_alone(subject: &Subject, way: &Way) {
    let (bare, with) = both(subject, way);
    assert_same(&bare, &with.said);
    assert_eq!((with.said.stderr.as_str(), with.tenants), ("", 0));
}

/// The library fails in the middle of the program's work, while others copy: the program does what it does without, and
/// one line says so.
#[track_caller]
pub fn survives(subject: &Subject, way: &Way) {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let copier = || Held::start(&mut place.tenant(&["--class", "be"], "copier", &["bulk", "8M", "--seconds", "3600"]));
    let _copiers = [copier(), copier()];
    place.wait_for("copies", |top| {
        let tenants = top["tenants"].as_array().unwrap();
        tenants.len() == 2 && tenants.iter().all(|tenant| tenant["h2d_bytes"].as_u64() > Some(0))
    });
    let with = shown(&place, &mut tenant(&place, subject, way));
    assert_same(&said(&mut bare(&place, way)), &with.said);
    let line = with.said.one_line();
    assert!(line.starts_with("missile: a fault in Missile at "), "{line}");
    let tenant = with.tenant.expect("the program is a tenant");
    assert!(tenant["passed"]["fault"].as_u64() > Some(0), "{tenant}");
}

/// A driver that calls its own functions on the way: only the program's calls count.
#[track_caller]
pub fn governed_once(subject: &Subject) {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let driver = filled_in(c::DRIVER);
    let libraries = [&*subject.library(), &*ways::TALKING_DRIVER.built(), &*driver];
    let mut command = preloaded(&place, subject, &libraries, &ways::OPENED);
    let with = shown(&place, command.env("BEHIND", &driver));
    assert_same(&said(&mut bare(&place, &ways::OPENED)), &with.said);
    assert_tenant(&with.tenant, 1, 1);
}

/// Functions of a driver that is not loaded are not found, and those of one that is loaded later are governed.
#[track_caller]
pub fn found_once_loaded(subject: &Subject) {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let with = shown(&place, &mut preloaded(&place, subject, &[&subject.library()], &ways::NOT_LOADED));
    assert_same(&said(&mut bare(&place, &ways::NOT_LOADED)), &with.said);
    let tenant = with.tenant.expect("the program is a tenant");
    // The simulated driver's requests are seen where it is preloaded as well, so nothing is coloured here.
    assert_eq!((&tenant["launches"], &tenant["h2d_bytes"]), (&1.into(), &(2 * MIB).into()), "{tenant}");
}

/// Calls leave errno as they found it.
#[track_caller]
pub fn keeps_errno(subject: &Subject) {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let with = shown(&place, &mut tenant(&place, subject, &ways::ERRORS));
    assert_eq!((with.said.code, with.said.stderr.as_str()), (Some(0), ""), "{with:?}");
    assert!(with.said.stdout.contains("\"kept\"") && !with.said.stdout.contains("\"changed\""), "{}", with.said.stdout);
}
