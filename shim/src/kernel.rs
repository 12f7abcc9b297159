//! The `ioctl` that the driver's library calls, and what is learned from its calls.
//!
//! libcuda binds `ioctl` dynamically, so this library's definition sees every request to `/dev/nvidiactl` and
//! `/dev/nvidia-uvm`. The request always goes to the next `ioctl` first; afterwards its parameters tell which objects
//! exist, where in VRAM they lie and at which addresses they are mapped. Structures are those of driver branch 580; on
//! another branch nothing is read but the version.

mod ledger;
mod request;

pub(crate) use ledger::{Gone, Ledger, Mapping, Object, Shown, Wish};
pub(crate) use request::{rm_alloc_memory, rm_free, uvm_map, uvm_unmap};

use crate::log::debug;
use crate::pager::{self, Verdict};
use crate::{announce, broken, coverage, fault, life, symbols};
use abi::rm::{self, MemoryParams, Nvos00, Nvos21, VersionCheck, Xfer};
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
    let result = forward(fd, request, arg);
    if result != 0 || arg.is_null() {
        return result;
    }
    if let Some(known) = Request::decode(request)
        && !life::takes_no_part()
    {
        // SAFETY: errno is this thread's own.
        let errno = unsafe { *libc::__errno_location() };
        // A panic here must not reach the driver; what is then not learned is not coloured.
        fault::shielded(|| observe(fd, known, arg));
        // SAFETY: as above.
        unsafe { *libc::__errno_location() = if broken::is("errno") { libc::EBADF } else { errno } };
    }
    result
}

fn observe(fd: c_int, request: Request, arg: *mut c_void) {
    debug!("ioctl {fd} {request:?}");
    match request {
        Request::Rm { escape: RmEscape::Xfer, size } if size == size_of::<Xfer>() => {
            // SAFETY: the kernel accepted a request of this number and size with this parameter.
            let xfer = unsafe { arg.cast::<Xfer>().read_unaligned() };
            if let Some(inner @ Request::Rm { escape, .. }) = Request::unwrap_xfer(xfer.nr, xfer.size)
                && escape != RmEscape::Xfer
            {
                observe(fd, inner, xfer.ptr as *mut c_void);
            }
        }
        Request::Rm { escape: RmEscape::CheckVersion, size } if size == size_of::<VersionCheck>() => {
            // SAFETY: as above.
            let check = unsafe { arg.cast::<VersionCheck>().read_unaligned() };
            ledger().version = DriverVersion::from_c_field(&check.version);
        }
        Request::Rm { escape: RmEscape::Alloc, size } => allocated(fd, size, arg),
        Request::Rm { escape: RmEscape::Free, size } if size == size_of::<Nvos00>() => {
            // SAFETY: as above.
            let free = unsafe { arg.cast::<Nvos00>().read_unaligned() };
            if free.status == rm::NV_OK {
                let gone = ledger().object_freed(free.client, free.object);
                if free.client == free.object { pager::client_gone(free.client, gone) } else { pager::gone(gone) }
            }
        }
        Request::Uvm(UvmCommand::Initialize) => ledger().uvm_opened(fd),
        Request::Uvm(command) if ledger().is_uvm(fd) && layouts_hold() => uvm(fd, command, arg),
        _ => {}
    }
}

/// Whether the structures of this crate are those of the driver.
fn layouts_hold() -> bool {
    driver_version().is_some_and(DriverVersion::is_supported)
}

fn allocated(fd: c_int, size: usize, arg: *mut c_void) {
    if !layouts_hold() {
        return;
    }
    // The longer form begins like the shorter one and has its status elsewhere.
    let status_at = match size {
        32 => std::mem::offset_of!(rm::Nvos21, status),
        48 => std::mem::offset_of!(rm::Nvos64, status),
        _ => return,
    };
    // SAFETY: the kernel accepted a parameter of `size` bytes, and both forms begin with these fields.
    let (call, status) =
        unsafe { (arg.cast::<Nvos21>().read_unaligned(), arg.byte_add(status_at).cast::<u32>().read_unaligned()) };
    if status != rm::NV_OK || call.class != rm::CLASS_MEMORY_LOCAL_USER || call.params == 0 {
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
