//! A request to the resource manager or to UVM: its number, its structure and its status, bound to one type.

use crate::driver::loader;
use abi::rm::{self, Nvos00, Nvos21, Nvos54, VersionCheck};
use abi::uvm::{MapExternalAllocation, Range, UnmapExternal};
use abi::{RmEscape, UvmCommand};
use std::ffi::{c_int, c_ulong, c_void};
use std::fmt;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A status of the kernel's other than success (nvstatuscodes.h), or [`Status::NOT_ISSUED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(u32);

impl Status {
    /// The status of a request that `ioctl` itself refused, or that was not made.
    pub(crate) const NOT_ISSUED: Status = Status(u32::MAX);

    /// A status as the kernel writes it.
    pub(crate) fn checked(status: u32) -> Result<(), Status> {
        if status == rm::NV_OK { Ok(()) } else { Err(Status(status)) }
    }

    /// The kernel's number.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {:#x}", self.0)
    }
}

/// A request and its parameter.
///
/// # Safety
/// For [`REQUEST`](RmCall::REQUEST) the kernel reads and writes one value of `Self` and what that value's own pointers
/// name, and any bytes that it writes are a valid value.
pub(crate) unsafe trait RmCall: Sized {
    /// The number of the `ioctl`.
    const REQUEST: c_ulong;
    /// The kernel's answer: 0 for success.
    fn status(&self) -> u32;
}

macro_rules! calls {
    ($($(#[$why:meta])* $name:ty = $request:expr;)*) => {$(
        // SAFETY: the kernel's own structure for this number, of integers only (ctrl headers and nvos.h of 580.142, held
        // against the driver's sizes in `abi`).
        unsafe impl RmCall for $name {
            const REQUEST: c_ulong = $request;

            fn status(&self) -> u32 {
                self.status
            }
        }
    )*};
}

calls! {
    Nvos00 = RmEscape::Free.request(size_of::<Nvos00>());
    Nvos21 = RmEscape::Alloc.request(size_of::<Nvos21>());
    Nvos54 = RmEscape::Control.request(size_of::<Nvos54>());
    MapExternalAllocation = UvmCommand::MapExternalAllocation.number();
    UnmapExternal = UvmCommand::UnmapExternal.number();
    Range = UvmCommand::Free.number();
}

// SAFETY: the kernel's own structure for this number, of bytes and integers only.
unsafe impl RmCall for VersionCheck {
    const REQUEST: c_ulong = RmEscape::CheckVersion.request(size_of::<VersionCheck>());

    /// The reply says whether the versions are the same, which is the driver's library's business.
    fn status(&self) -> u32 {
        rm::NV_OK
    }
}

/// Makes a request on a descriptor of the driver's.
///
/// # Safety
/// Pointers within `call` are null, or name what the kernel expects there for as long as this takes.
pub(crate) unsafe fn issue<C: RmCall>(fd: c_int, call: &mut C) -> Result<(), Status> {
    if forward(fd, C::REQUEST, std::ptr::from_mut(call).cast()) != 0 {
        return Err(Status::NOT_ISSUED);
    }
    Status::checked(call.status())
}

/// An `ioctl` as C calls it. Variadic there; its one further argument travels as a third one does.
type IoctlFn = unsafe extern "C" fn(c_int, c_ulong, *mut c_void) -> c_int;

/// Calls the next `ioctl` in the search order: libc's, or another interposer's.
pub(crate) fn forward(fd: c_int, request: c_ulong, arg: *mut c_void) -> c_int {
    static NEXT: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    let mut next = NEXT.load(Ordering::Acquire);
    if next.is_null() {
        next = loader::look_up(libc::RTLD_NEXT, c"ioctl");
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
