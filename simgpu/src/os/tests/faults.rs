//! Requests that are to go wrong: what they leave behind, and whose they are.

use super::*;
use crate::os::origin::Waiting;
use std::time::{Duration, Instant};

fn process(rules: &str) -> Process {
    let mut process = Process::new(Bytes::mib(16), 16);
    process.modules.faults = Some(Faults::parse(rules).expect("rules"));
    process
}

#[test]
fn a_map_that_is_to_fail_leaves_nothing_mapped() {
    let p = process("map:2:status=0x1A");
    let (memory, at) = p.memory(2 * M2, KIND_GENERIC).expect("memory");
    assert_eq!(p.map(VA, 2 * M2, 0, memory), NV_OK);
    assert_eq!(p.map(VA, K4, 0, memory), NV_ERR_INSUFFICIENT_RESOURCES);
    assert_eq!(p.runs(VA, 2 * M2), Ok(vec![(VA, at, 2 * M2)]), "a page is not cut");
    let p = process("map:2:status=0x1A");
    let (memory, at) = p.memory(2 * M2, KIND_GENERIC).expect("memory");
    assert_eq!(p.map(VA, 2 * M2, 0, memory), NV_OK);
    assert_eq!(p.map(VA, M2, 0, memory), NV_ERR_INSUFFICIENT_RESOURCES);
    assert_eq!(p.runs(VA, M2), Err(Fault { va: DeviceVa::new(VA) }));
    assert_eq!(p.runs(VA + M2, M2), Ok(vec![(VA + M2, at + M2, M2)]));
    assert_eq!(p.map(VA, M2, 0, memory), NV_OK, "only the second was to fail");
}

#[test]
fn what_is_refused_is_not_done() {
    let p = process("unmap:1:status=0x1F, free:1:status=0x57, alloc:2+:status=0x51");
    let (memory, _) = p.memory(M2, KIND_GENERIC).expect("memory");
    for _ in 0..2 {
        assert_eq!(p.memory(M2, KIND_GENERIC), Err(NV_ERR_NO_MEMORY));
    }
    assert!(p.alloc(p.device, CLASS_SUBDEVICE).is_ok(), "no memory is asked for");
    assert_eq!(p.map(VA, M2, 0, memory), NV_OK);
    assert_eq!(p.unmap(VA, M2), NV_ERR_INVALID_ARGUMENT);
    assert!(p.runs(VA, M2).is_ok());
    assert_eq!(p.free(memory), NV_ERR_OBJECT_NOT_FOUND);
    assert_eq!(p.free(memory), NV_OK);
}

#[test]
fn a_request_itself_can_fail_or_take_its_time() {
    let p = process("free:1:errno=12,free:2:delay=30");
    let (memory, _) = p.memory(M2, KIND_GENERIC).expect("memory");
    let mut free = Nvos00 { client: p.client, parent: p.device, object: memory, status: 1 };
    assert_eq!(p.rm_call(RmEscape::Free, &mut free), Err(Errno(libc::ENOMEM)));
    assert_eq!(free.status, 1, "nobody has looked at it");
    let begun = Instant::now();
    assert_eq!(p.free(memory), NV_OK);
    assert!(begun.elapsed() >= Duration::from_millis(30));
}

#[test]
fn the_drivers_own_requests_go_well() {
    let p = process("any:1:status=0x1F");
    let driver = Waiting::begin();
    let (memory, _) = p.memory(M2, KIND_GENERIC).expect("memory");
    assert_eq!(p.map(VA, M2, 0, memory), NV_ERR_INVALID_ARGUMENT, "it came while the driver waited for another");
    drop(driver);
    assert_eq!(p.map(VA, M2, 0, memory), NV_OK);
}

#[test]
fn every_request_has_a_way_to_fail() {
    let p = process("any:1+:status=0x1F");
    for command in [UvmCommand::CreateExternalRange, UvmCommand::ValidateVaRange, UvmCommand::Free] {
        assert_eq!(p.range(command, VA, 8 * M2), NV_ERR_INVALID_ARGUMENT);
    }
    assert_eq!(p.alloc(p.device, CLASS_SUBDEVICE), Err(NV_ERR_INVALID_ARGUMENT));
    let mut version = VersionCheck { cmd: 0, reply: 0, version: [0; 64] };
    assert_eq!(p.rm_call(RmEscape::CheckVersion, &mut version), Err(Errno(libc::EIO)), "it has no status");
    let mut short = Nvos21 { client: p.client, parent: p.device, class: CLASS_SUBDEVICE, ..Default::default() };
    p.rm_call(RmEscape::Alloc, &mut short).expect("looked at");
    assert_eq!(short.status, NV_ERR_INVALID_ARGUMENT);
    let mut free = Nvos00 { client: p.client, parent: p.device, object: p.subdevice, status: 1 };
    let mut wrapped = Xfer { nr: RmEscape::Free.number(), size: 16, ptr: std::ptr::from_mut(&mut free) as u64 };
    p.rm_call(RmEscape::Xfer, &mut wrapped).expect("looked at");
    assert_eq!(free.status, NV_ERR_INVALID_ARGUMENT, "wrapped ones are told as well");
}
