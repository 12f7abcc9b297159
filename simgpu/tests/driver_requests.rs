//! Requests that are to go wrong, as the environment says: an interposer's do, the driver's do not.

#[macro_use]
#[path = "driver_support/client.rs"]
mod client;

use abi::RmEscape;
use abi::cuda::CUcontext;
use abi::rm::*;
use client::*;
use cuda::os::{self, Device};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

const CHILD: &str = "SIMGPU_TEST_CHILD";

/// The work of a process with these faults, see [`child`].
fn run(faults: &str, log: &str) -> Output {
    let program = std::env::current_exe().expect("a path");
    let mut command = Command::new(program);
    command.args(["--exact", "child", "--nocapture"]).env(CHILD, "1").env("SIMGPU_STATE", gpu());
    command.env("SIMGPU_FAULT", faults).env("SIMGPU_FAULT_LOG", log).output().expect("a process")
}

/// Makes a client and frees it, as whoever interposes `ioctl` might; returns both outcomes.
fn ask(control: std::ffi::c_int) -> [Result<u32, i32>; 2] {
    fn ask<T>(control: std::ffi::c_int, escape: RmEscape, parameter: &mut T) -> Result<(), i32> {
        // SAFETY: the parameter is the request's own.
        let done = unsafe { os::handle(control, escape.request(size_of::<T>()), (&raw mut *parameter).cast()) };
        let failed = || std::io::Error::last_os_error().raw_os_error().expect("an errno");
        if done == Some(0) { Ok(()) } else { Err(failed()) }
    }
    let mut alloc = Nvos21 { class: CLASS_ROOT_CLIENT, ..Default::default() };
    let made = ask(control, RmEscape::Alloc, &mut alloc).map(|()| alloc.status);
    let mut free = Nvos00 { client: alloc.object, object: alloc.object, ..Default::default() };
    [made, ask(control, RmEscape::Free, &mut free).map(|()| free.status)]
}

#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    println!("\ncuInit {}", code!(cuInit(0)));
    let Ok(control) = os::open(Device::Control) else { return };
    let mut context = CUcontext::NULL;
    ok!(cuDevicePrimaryCtxRetain(&mut context, 0));
    ok!(cuCtxSetCurrent(context));
    ok!(cuMemFree_v2(alloc(4 << 20)));
    for _ in 0..2 {
        println!("{:?}", ask(control));
    }
    ok!(cuMemFree_v2(alloc(4 << 20)));
    println!("done");
}

/// The lines of a child's own, without those of the test harness.
fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .skip_while(|line| !line.starts_with("cuInit"))
        .take_while(|line| !line.is_empty())
        .map(Into::into)
        .collect()
}

#[test]
fn only_an_interposers_requests_go_wrong_and_are_logged() {
    let log = gpu().join("requests").display().to_string();
    let output = run("free:1:status=0x1F,any:3+:errno=12", &log);
    let expected = ["cuInit 0", "[Ok(0), Ok(31)]", "[Err(12), Err(12)]", "done"];
    assert_eq!(lines(&output)[..4], expected, "{output:?}");
    let log = std::fs::read_to_string(log).expect("a log");
    assert_eq!(log, "1 other\n2 free\n3 other\n4 free\n");
}

#[test]
fn a_process_dies_before_or_after_a_request() {
    for (faults, last) in [("free:2:death", "[Ok(0), Ok(0)]"), ("any:1:death-after", "cuInit 0")] {
        let output = run(faults, "");
        assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{output:?}");
        assert_eq!(lines(&output).last().map(String::as_str), Some(last));
    }
}

#[test]
fn a_rule_that_makes_no_sense_is_told_and_no_device_is_there() {
    let output = run("map:soon:death", "");
    assert_eq!(lines(&output)[0], "cuInit 100");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("simgpu: SIMGPU_FAULT holds a rule"), "{told}");
    let output = run("", "/nowhere/at/all");
    assert_eq!(lines(&output)[0], "cuInit 100");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("SIMGPU_FAULT_LOG names /nowhere/at/all"), "{told}");
}
