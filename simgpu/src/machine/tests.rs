//! Machines in directories of their own, and a process that is killed.

use super::*;
use std::io::Read;
use std::process::{Command, Stdio};

/// A directory that goes with its owner.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("simgpu-test-{}-{number}", std::process::id()));
        Scratch(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An H200 with little memory and few handles.
pub(crate) fn small(vram: Bytes, uvm_handles: u32) -> GpuSpec {
    let mut spec = GpuSpec::builtin("h200").expect("built in").expect("sound");
    spec.vram = vram;
    spec.limits.uvm_handles = uvm_handles;
    spec
}

const CHILD: &str = "SIMGPU_TEST_CHILD";

#[test]
fn what_a_killed_process_held_is_free_again() {
    let spec = || small(Bytes::mib(16), 4);
    if let Some(directory) = std::env::var_os(CHILD) {
        let machine = Machine::attach(spec(), Path::new(&directory)).expect("attaches");
        let at = machine.claim(Bytes::mib(10), GRANULE).expect("room");
        machine.write(at, &[7; 64]);
        assert!((0..4).all(|_| machine.take_handle()));
        println!("\nready");
        loop {
            std::thread::park();
        }
    }
    let scratch = Scratch::new();
    let machine = Machine::attach(spec(), scratch.path()).expect("attaches");
    let mut child = Command::new(std::env::current_exe().expect("a test binary"))
        .args(["--exact", "--nocapture", "machine::tests::what_a_killed_process_held_is_free_again"])
        .env(CHILD, scratch.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut said = Vec::new();
    let mut pipe = child.stdout.take().expect("piped");
    while !said.ends_with(b"\nready\n") {
        let mut byte = [0];
        pipe.read_exact(&mut byte).expect("the child speaks before it ends");
        said.push(byte[0]);
    }
    assert_eq!(machine.free_vram(), Bytes::mib(6));
    assert!(machine.claim(Bytes::mib(8), GRANULE).is_none(), "the child is alive");
    assert!(!machine.take_handle());
    child.kill().expect("killed");
    child.wait().expect("gone");
    assert_eq!(machine.free_vram(), Bytes::mib(16));
    let at = machine.claim(Bytes::mib(16), GRANULE).expect("the dead leave their VRAM");
    assert!(machine.take_handle(), "the dead leave their handles");
    let mut all = vec![1; Bytes::mib(16).as_usize()];
    machine.read(at, &mut all);
    assert!(all.iter().all(|&byte| byte == 0), "what was freed is scrubbed");
}

#[test]
fn processes_take_slots_and_share_vram() {
    let scratch = Scratch::new();
    let first = Machine::attach(small(Bytes::mib(8), 4), scratch.path()).expect("attaches");
    let second = Machine::attach(small(Bytes::mib(8), 4), scratch.path()).expect("attaches");
    assert_ne!(first.slot(), second.slot());
    assert!(first.slot_is_live(second.slot()) && !first.slot_is_live(63) && !first.slot_is_live(64));
    let a = first.claim(Bytes::mib(4), GRANULE).expect("room");
    let b = second.claim(Bytes::mib(4), GRANULE).expect("room");
    assert_ne!(a, b);
    assert!(first.claim(Bytes::new(1), GRANULE).is_none(), "nothing is left");
    first.write(a, b"seen");
    let mut seen = [0; 4];
    second.read(a, &mut seen);
    assert_eq!(&seen, b"seen");
    first.release(a, Bytes::mib(4));
    assert_eq!(second.free_vram(), Bytes::mib(4));
    second.read(a, &mut seen);
    assert_eq!(seen, [0; 4]);
}

#[test]
fn alignment_is_that_of_the_physical_address() {
    let scratch = Scratch::new();
    let machine = Machine::attach(small(Bytes::mib(64), 4), scratch.path()).expect("attaches");
    let at = machine.claim(Bytes::mib(2), Bytes::mib(16)).expect("room");
    assert!(at.is_aligned(Bytes::mib(16)));
    assert!(machine.claim(Bytes::mib(66), GRANULE).is_none());
}

#[test]
fn another_gpu_is_refused_while_somebody_is_present_and_begins_afresh_later() {
    let scratch = Scratch::new();
    let first = Machine::attach(small(Bytes::mib(8), 4), scratch.path()).expect("attaches");
    let refused = Machine::attach(small(Bytes::mib(16), 4), scratch.path()).expect_err("another GPU");
    assert!(matches!(refused, MachineError::Mismatch { .. }), "{refused}");
    first.claim(Bytes::mib(8), GRANULE).expect("room");
    drop(first);
    let next = Machine::attach(small(Bytes::mib(16), 4), scratch.path()).expect("attaches");
    assert_eq!(next.free_vram(), Bytes::mib(16));
}

#[test]
fn a_directory_that_others_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path()).expect("made");
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o777)).expect("set");
    let refused = Machine::attach(small(Bytes::mib(8), 4), scratch.path()).expect_err("others may write");
    assert!(refused.to_string().contains("SIMGPU_STATE"), "{refused}");
}
