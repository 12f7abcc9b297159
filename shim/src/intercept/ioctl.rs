//! The `ioctl` that the driver's library calls, and what is learned from its calls.
//!
//! libcuda binds `ioctl` dynamically, so this library's definition sees every request to `/dev/nvidiactl` and
//! `/dev/nvidia-uvm`. The request always goes to the next `ioctl` first; afterwards its parameters tell which objects
//! exist, where in VRAM they lie and at which addresses they are mapped. Structures are those of driver branch 580; on
//! another branch nothing is read but the version, and channel groups ([`groups`]), which are alike on all.

use super::bypass;
use crate::base::log::debug;
use crate::base::{inject, shield};
use crate::memory::observe::{self, Gone, Verdict};
use crate::rm::call::forward;
use crate::rm::decode::Asked;
use crate::rm::groups::{self, Forgotten};
use crate::rm::version;
use crate::tenant::{membership, reentry};
use abi::groups::{GPFIFO_SCHEDULE, SET_TIMESLICE, TimeSlice};
use abi::rm::{self, MemoryParams, Nvos00, Nvos54, VersionCheck};
use abi::uvm::{MapExternalAllocation, Range, UnmapExternal};
use abi::{DriverVersion, UvmCommand};
use std::ffi::{c_int, c_ulong, c_void};

/// `ioctl` as the driver's library sees it (ioctl(2)).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, arg: *mut c_void) -> c_int {
    // SAFETY: the caller's parameter for the caller's request.
    let asked = unsafe { Asked::decode(fd, request, arg) }.filter(|_| !reentry::takes_no_part());
    let Some(asked) = asked else { return forward(fd, request, arg) };
    let freeing = shield::shielded(|| about_to_free(&asked)).flatten();
    let result = forward(fd, request, arg);
    // SAFETY: errno is this thread's own.
    let errno = unsafe { *libc::__errno_location() };
    // A panic here must not reach the driver; what is then not learned is not governed.
    shield::shielded(|| settle(&asked, result == 0, freeing));
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = if inject::is("errno") { libc::EBADF } else { errno } };
    result
}

/// An object that is about to be freed, and what was known of it.
struct Freeing {
    free: Nvos00,
    groups: Forgotten,
    memory: Gone,
}

/// Takes out what is known of an object before the kernel frees it.
fn about_to_free(asked: &Asked) -> Option<Freeing> {
    let free: Nvos00 = asked.read()?;
    let groups = groups::freeing(free.client, free.object);
    Some(Freeing { free, groups, memory: observe::freeing(free.client, free.object) })
}

/// Learns from a request that the kernel answered; `accepted` where `ioctl` returned success.
fn settle(asked: &Asked, accepted: bool, freeing: Option<Freeing>) {
    debug!("{asked:?}");
    if let Some(Freeing { free, groups, memory }) = freeing {
        let status = asked.read::<Nvos00>().map(|free| free.status);
        if accepted && status == Some(rm::NV_OK) {
            observe::freed(free.client, free.object, memory);
        } else {
            groups::not_freed(groups);
            observe::not_freed(memory);
        }
        return;
    }
    if !accepted {
        return;
    }
    if let Some(check) = asked.read::<VersionCheck>() {
        if let Some(told) = DriverVersion::from_c_field(&check.version) {
            version::told(told);
        }
    } else if let Some(call) = asked.made() {
        made(asked.fd, &call);
    } else if let Some(call) = asked.read::<Nvos54>().filter(|call| call.status == rm::NV_OK) {
        controlled(&call);
    } else if asked.uvm() == Some(UvmCommand::Initialize) {
        observe::uvm_opened(asked.fd);
    } else if asked.uvm().is_some() && observe::is_uvm(asked.fd) && version::layouts_hold() {
        mapping(asked);
    }
}

/// The kernel made an object.
fn made(fd: c_int, call: &rm::Nvos21) {
    // SAFETY: the kernel accepted the call, so its parameters are those of its class, or null.
    unsafe { groups::made(fd, call) };
    if call.class != rm::CLASS_MEMORY_LOCAL_USER || call.params == 0 || !version::layouts_hold() {
        return;
    }
    // SAFETY: an object of this class was made from parameters at this address, which the kernel wrote back.
    let memory = unsafe { (call.params as *const MemoryParams).read_unaligned() };
    observe::object_made(fd, call.client, call.object, call.parent, &memory);
    bypass::vram_asked();
}

/// The kernel accepted a command that the driver's library gave to an object. This library's own go past this.
fn controlled(call: &Nvos54) {
    let news = match call.cmd {
        SET_TIMESLICE if call.params != 0 && call.params_size as usize == size_of::<TimeSlice>() => {
            // SAFETY: the kernel accepted a parameter of this size for this command.
            let slice = unsafe { (call.params as *const TimeSlice).read_unaligned() };
            groups::asked(call.client, call.object, Some(slice.micros))
        }
        GPFIFO_SCHEDULE => groups::asked(call.client, call.object, None),
        _ => false,
    };
    if news && let Some(joined) = membership::joined() {
        joined.slot().orders.wake();
    }
}

/// The unified-memory module mapped or unmapped a range.
fn mapping(asked: &Asked) {
    if let Some(place) = asked.place::<MapExternalAllocation>() {
        // SAFETY: the descriptor is of the UVM module, which accepted this parameter. The reference ends before the
        // driver's library goes on.
        let map = unsafe { &*place };
        if map.status != rm::NV_OK {
            return;
        }
        bypass::vram_asked();
        if observe::mapped(asked.fd, map) == Verdict::Refused {
            // SAFETY: the driver's own parameter, which it reads once this call returns. It takes the status for the
            // kernel's, and nothing is mapped, as after a failure of the kernel's.
            unsafe { (&raw mut (*place).status).write(rm::NV_ERR_NO_MEMORY) };
        }
    } else if let Some(unmap) = asked.read::<UnmapExternal>().filter(|unmap| unmap.status == rm::NV_OK) {
        observe::unmapped(&unmap);
    } else if let Some(range) = asked.read::<Range>().filter(|range| range.status == rm::NV_OK) {
        observe::range_freed(&range);
    }
}
