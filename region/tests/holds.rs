//! A process image has its slot for as long as it lives, whatever it does to its descriptors and children, and no longer.
#![cfg(not(loom))]

use region::{Region, Slot};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// The region of [`a_tenant_in_a_process_of_its_own`], and what it does once it has joined.
const PATH: &str = "REGION_TEST_PATH";
const DEED: &str = "REGION_TEST_DEED";

/// Not a test by itself: a tenant that joins, does something, says so and lives until its input ends.
#[test]
fn a_tenant_in_a_process_of_its_own() {
    let (Some(path), Ok(deed)) = (std::env::var_os(PATH), std::env::var(DEED)) else { return };
    let region = Region::open(Path::new(&path)).expect("the region");
    let hold = region.join().expect("a slot");
    match deed.as_str() {
        "stay" => {}
        "close all" => {
            // SAFETY: takes no pointers; what this process has open from here on is standard input and output.
            unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
            assert!(region.arbiter_is_alive(), "it can still be asked about");
        }
        // SAFETY: the child does nothing but wait to be killed with its group.
        "leave a child" => match unsafe { libc::fork() } {
            0 => loop {
                // SAFETY: no preconditions.
                unsafe { libc::pause() };
            },
            child => assert!(child > 0),
        },
        "execute" => panic!("{}", Command::new("sh").args(["-c", "echo done; read line"]).exec()),
        "execute itself" => {
            // So that there is another free slot before its own.
            until("the slot before it is free", || region.layout().slots[0].pid().is_none());
            let mut again = Command::new(std::env::current_exe().expect("this test's path"));
            again.args(["--exact", "a_tenant_in_a_process_of_its_own", "--nocapture"]).env(DEED, "stay");
            panic!("{}", again.exec());
        }
        other => panic!("no such deed: {other}"),
    }
    println!("done");
    let _ = std::io::stdin().read_line(&mut String::new());
    drop(hold);
    std::process::exit(0);
}

/// A region with its arbiter, which is this process.
struct Place {
    region: Region,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

/// A tenant. Killed when dropped, with its children.
struct Tenant {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder on a tmpfs");
        let path = folder.path().join("region");
        Place { region: Region::create(&path).expect("made"), path, _folder: folder }
    }

    /// A tenant that has done its deed.
    fn tenant(&self, deed: &str) -> Tenant {
        let mut tenant = self.start(deed);
        tenant.does_its_deed();
        tenant
    }

    fn start(&self, deed: &str) -> Tenant {
        let mut command = Command::new(std::env::current_exe().expect("this test's path"));
        command.args(["--exact", "a_tenant_in_a_process_of_its_own", "--nocapture"]);
        command.env(PATH, &self.path).env(DEED, deed).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().expect("it starts");
        let stdin = child.stdin.take();
        Tenant { child, stdin }
    }

    fn slots_of(&self, tenant: &Tenant) -> Vec<usize> {
        let holds = |slot: &Slot| slot.pid() == Some(tenant.child.id());
        (0..region::SLOTS).filter(|&slot| holds(&self.region.layout().slots[slot])).collect()
    }
}

impl Tenant {
    fn does_its_deed(&mut self) {
        let mut lines = BufReader::new(self.child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.ends_with("done")), "it does its deed");
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        // SAFETY: the group of a child that nobody has waited for.
        unsafe { libc::kill(-self.child.id().cast_signed(), libc::SIGKILL) };
        let _ = self.child.wait();
    }
}

/// The kernel may take a moment to give up what a process had that is gone.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_tenant_that_lives_keeps_its_slot_and_a_killed_one_loses_it() {
    let place = Place::new();
    let tenant = place.tenant("stay");
    let slots = place.slots_of(&tenant);
    assert_eq!(slots.len(), 1);
    assert!(!place.region.end_if_gone(slots[0]));
    drop(tenant);
    until("the slot of a killed tenant is free", || place.region.end_if_gone(slots[0]));
    assert_eq!(place.region.layout().slots[slots[0]].pid(), None);
}

#[test]
fn a_tenant_that_closes_all_descriptors_keeps_its_slot() {
    let place = Place::new();
    let tenant = place.tenant("close all");
    let slots = place.slots_of(&tenant);
    assert_eq!(slots.len(), 1);
    assert!(!place.region.end_if_gone(slots[0]));
}

#[test]
fn a_child_does_not_keep_the_slot_of_its_parent() {
    let place = Place::new();
    let mut tenant = place.tenant("leave a child");
    let slots = place.slots_of(&tenant);
    assert!(!place.region.end_if_gone(slots[0]), "its parent lives");
    tenant.stdin = None;
    until("the slot is free though the child lives", || place.region.end_if_gone(slots[0]));
    // SAFETY: the group of a child that nobody has waited for; signal 0 only asks whether somebody is there.
    assert_eq!(unsafe { libc::kill(-tenant.child.id().cast_signed(), 0) }, 0, "somebody of its group lives");
}

#[test]
fn a_program_that_is_executed_has_nothing_of_the_slot_of_the_one_before() {
    let place = Place::new();
    let tenant = place.tenant("execute");
    let slots = place.slots_of(&tenant);
    assert_eq!(slots.len(), 1, "nobody cleared it yet");
    until("the slot is free though the process lives", || place.region.end_if_gone(slots[0]));
}

#[test]
fn a_program_that_is_executed_and_joins_takes_the_slot_of_the_one_before_over() {
    let place = Place::new();
    let first = place.region.join().expect("a slot before it");
    let mut tenant = place.start("execute itself");
    until("it joins", || !place.slots_of(&tenant).is_empty());
    drop(first);
    assert!(place.region.end_if_gone(0));
    tenant.does_its_deed();
    assert_eq!(place.slots_of(&tenant), [1], "one slot, and the same");
    assert!(!place.region.end_if_gone(1));
}
