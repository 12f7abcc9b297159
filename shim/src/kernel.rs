//! The `ioctl` that the driver's library calls, and what is learned from its calls.
//!
//! libcuda binds `ioctl` dynamically, so this library's definition sees every request to `/dev/nvidiactl` and
//! `/dev/nvidia-uvm`. The request always goes to the next `ioctl` first; afterwards its parameters tell which objects
//! exist, where in VRAM they lie and at which addresses they are mapped. Structures are those of driver branch 580; on
//! another branch nothing is read but the version, and channel groups ([`groups`]), which are alike on all.

mod ledger;
mod request;

pub(crate) use ledger::{Gone, Ledger, Mapping, Object, Shown, Wish};
pub(crate) use request::{rm_alloc_memory, rm_free, uvm_map, uvm_unmap};

use crate::log::debug;
use crate::pager::{self, Verdict};
use crate::{announce, broken, coverage, fault, groups, life, symbols};
use abi::groups::{SET_TIMESLICE, TimeSlice};
use abi::rm::{self, MemoryParams, Nvos00, Nvos21, Nvos54, VersionCheck, Xfer};
use abi::uvm::{MapExternalAllocation, Range, UnmapExternal};
use abi::{DriverVersion, Request, RmEscape, UvmCommand};
use std::ffi::{c_int, c_ulong, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use units::Bytes;

/// What an `ioctl` of the driver's is. Variadic in C; its one further argument travels as a third one does.
type IoctlFn = unsafe extern "C" fn(c_int, c_ulong, *mut c_void) -> c_int;

static LEDGER: Mutex<Ledger> = Mutex::new(Ledger::new());

/// The ledger. Never held across a call to the kernel or the driver.
pub(crate) fn ledger() -> MutexGuard<'static, Ledger> {
    LEDGER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The kernel driver's version: what the driver's library told the kernel in a version check, or else what the kernel
/// says of itself in `/proc` (libcuda 580.159 makes no such check that is seen here).
pub(crate) fn driver_version() -> Option<DriverVersion> {
    static FROM_PROC: OnceLock<Option<DriverVersion>> = OnceLock::new();
    let told = ledger().version;
    told.or_else(|| {
        *FROM_PROC.get_or_init(|| {
            let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
            text.split_whitespace().find_map(|word| word.parse().ok())
        })
    })
}

/// Calls the next `ioctl` in the search order: libc's, or another interposer's.
pub(crate) fn forward(fd: c_int, request: c_ulong, arg: *mut c_void) -> c_int {
    static NEXT: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    let mut next = NEXT.load(Ordering::Acquire);
    if next.is_null() {
        next = symbols::look_up(libc::RTLD_NEXT, c"ioctl");
        NEXT.store(next, Ordering::Release);
    }
    if next.is_null() {
        // SAFETY: the caller's own arguments, to the system call that they are for.
        return unsafe { libc::syscall(libc::SYS_ioctl, fd, request, arg) as c_int };
    }
    // SAFETY: the address is an `ioctl`; calling a variadic C function with its one extra argument in a register is
    // the same on x86-64.
    let ioctl: IoctlFn = unsafe { std::mem::transmute(next) };
    // SAFETY: the caller's own arguments.
    unsafe { ioctl(fd, request, arg) }
}

/// `ioctl` as the driver's library sees it (ioctl(2)).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, arg: *mut c_void) -> c_int {
    let known = Request::decode(request).filter(|_| !arg.is_null() && !life::takes_no_part());
    let Some((known, arg_of_known)) = known.and_then(|known| unwrapped(known, arg)) else {
        return forward(fd, request, arg);
    };
    let freeing = fault::shielded(|| about_to_free(known, arg_of_known)).flatten();
    let result = forward(fd, request, arg);
    // SAFETY: errno is this thread's own.
    let errno = unsafe { *libc::__errno_location() };
    // A panic here must not reach the driver; what is then not learned is not governed.
    fault::shielded(|| observe(fd, known, arg_of_known, result == 0, freeing));
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = if broken::is("errno") { libc::EBADF } else { errno } };
    result
}

/// The request and its parameter, taken out of the wrapping in which some come; `None` for a wrapping of nothing known.
fn unwrapped(request: Request, arg: *mut c_void) -> Option<(Request, *mut c_void)> {
    let Request::Rm { escape: RmEscape::Xfer, size } = request else { return Some((request, arg)) };
    if size != size_of::<Xfer>() {
        return None;
    }
    // SAFETY: a request of this number has this parameter, which the driver's library made for the kernel.
    let xfer = unsafe { arg.cast::<Xfer>().read_unaligned() };
    let inner = Request::unwrap_xfer(xfer.nr, xfer.size)?;
    let wrapped_again = matches!(inner, Request::Rm { escape: RmEscape::Xfer, .. });
    (!wrapped_again && xfer.ptr != 0).then_some((inner, xfer.ptr as *mut c_void))
}

/// Forgets what has to be forgotten before the kernel frees an object.
fn about_to_free(request: Request, arg: *mut c_void) -> Option<groups::Forgotten> {
    match request {
        Request::Rm { escape: RmEscape::Free, size } if size == size_of::<Nvos00>() => {
            // SAFETY: a request of this number and size has this parameter.
            let free = unsafe { arg.cast::<Nvos00>().read_unaligned() };
            Some(groups::freeing(free.client, free.object))
        }
        _ => None,
    }
}

fn observe(fd: c_int, request: Request, arg: *mut c_void, accepted: bool, freeing: Option<groups::Forgotten>) {
    debug!("ioctl {fd} {request:?}");
    match request {
        Request::Rm { escape: RmEscape::Free, size } if size == size_of::<Nvos00>() => {
            // SAFETY: a request of this number and size has this parameter.
            let free = unsafe { arg.cast::<Nvos00>().read_unaligned() };
            match (accepted && free.status == rm::NV_OK, freeing) {
                (true, _) => {
                    let gone = ledger().object_freed(free.client, free.object);
                    if free.client == free.object { pager::client_gone(free.client, gone) } else { pager::gone(gone) }
                }
                (false, Some(forgotten)) => groups::not_freed(forgotten),
                (false, None) => {}
            }
        }
        _ if !accepted => {}
        Request::Rm { escape: RmEscape::CheckVersion, size } if size == size_of::<VersionCheck>() => {
            // SAFETY: the kernel accepted a request of this number and size with this parameter.
            let check = unsafe { arg.cast::<VersionCheck>().read_unaligned() };
            ledger().version = DriverVersion::from_c_field(&check.version);
        }
        Request::Rm { escape: RmEscape::Alloc, size } => allocated(fd, size, arg),
        Request::Rm { escape: RmEscape::Control, size } if size == size_of::<Nvos54>() => {
            // SAFETY: as above.
            let call = unsafe { arg.cast::<Nvos54>().read_unaligned() };
            if call.status == rm::NV_OK {
                // SAFETY: as above.
                unsafe { controlled(&call) };
            }
        }
        Request::Uvm(UvmCommand::Initialize) => ledger().uvm_opened(fd),
        Request::Uvm(command) if ledger().is_uvm(fd) && layouts_hold() => uvm(fd, command, arg),
        _ => {}
    }
}

/// A command that the driver's library gave to an object. The library's own go past this (`forward`).
///
/// # Safety
/// The kernel accepted `call`.
unsafe fn controlled(call: &Nvos54) {
    match call.cmd {
        SET_TIMESLICE if call.params != 0 && call.params_size as usize == size_of::<TimeSlice>() => {
            // SAFETY: the kernel accepted a parameter of this size for this command.
            let slice = unsafe { (call.params as *const TimeSlice).read_unaligned() };
            groups::asked(call.client, call.object, Some(slice.micros));
        }
        abi::groups::GPFIFO_SCHEDULE => groups::asked(call.client, call.object, None),
        _ => {}
    }
}

/// Whether the structures of this crate are those of the driver.
fn layouts_hold() -> bool {
    driver_version().is_some_and(DriverVersion::is_supported)
}

fn allocated(fd: c_int, size: usize, arg: *mut c_void) {
    // The longer form begins like the shorter one and has its status elsewhere.
    let status_at = match size {
        32 => std::mem::offset_of!(rm::Nvos21, status),
        48 => std::mem::offset_of!(rm::Nvos64, status),
        _ => return,
    };
    // SAFETY: the kernel accepted a parameter of `size` bytes, and both forms begin with these fields.
    let (call, status) =
        unsafe { (arg.cast::<Nvos21>().read_unaligned(), arg.byte_add(status_at).cast::<u32>().read_unaligned()) };
    if status != rm::NV_OK {
        return;
    }
    // SAFETY: as above.
    unsafe { groups::made(fd, &call) };
    if call.class != rm::CLASS_MEMORY_LOCAL_USER || call.params == 0 || !layouts_hold() {
        return;
    }
    // SAFETY: an object of this class was made from parameters at this address, which the kernel wrote back.
    let memory = unsafe { (call.params as *const MemoryParams).read_unaligned() };
    let (wish, pooled) = announce::object_made((call.client, call.object), Bytes::new(memory.size));
    ledger().object_made(call.client, call.object, Object::new(fd, call.parent, &memory, wish, pooled));
    coverage::vram_asked();
}

fn uvm(fd: c_int, command: UvmCommand, arg: *mut c_void) {
    match command {
        UvmCommand::MapExternalAllocation => {
            let request = arg.cast::<MapExternalAllocation>();
            // SAFETY: the descriptor is of the UVM module, which accepted this parameter. The reference ends before the
            // driver's library goes on.
            let map = unsafe { &*request };
            if map.status != rm::NV_OK {
                return;
            }
            let replaced = ledger().mapped(map);
            pager::unmapped(replaced);
            coverage::vram_asked();
            if pager::range_mapped(fd, map) == Verdict::Refused {
                let refused = ledger().unmapped(map.base, map.length);
                pager::unmapped(refused);
                // SAFETY: the driver's own parameter, which it reads once this call returns. It takes the status for the
                // kernel's, and nothing is mapped, as after a failure of the kernel's.
                unsafe { (&raw mut (*request).status).write(rm::NV_ERR_NO_MEMORY) };
            }
        }
        UvmCommand::UnmapExternal => {
            // SAFETY: as above.
            let unmap = unsafe { arg.cast::<UnmapExternal>().read_unaligned() };
            if unmap.status == rm::NV_OK {
                let gone = ledger().unmapped(unmap.base, unmap.length);
                pager::unmapped(gone);
            }
        }
        UvmCommand::Free => {
            // SAFETY: as above.
            let range = unsafe { arg.cast::<Range>().read_unaligned() };
            if range.status == rm::NV_OK {
                // UVM takes no other length than the range was made with (uvm_va_range.c:663-737).
                let gone = ledger().unmapped(range.base, range.length);
                pager::unmapped(gone);
            }
        }
        _ => {}
    }
}
