//! The way in and out: the `ioctl` that this library exports, and the one that its driver half calls.

use super::handle;
use super::origin::Waiting;
use core::ffi::{c_int, c_long, c_ulong, c_void};
use std::io;
use std::sync::OnceLock;

type Ioctl = unsafe extern "C" fn(c_int, c_ulong, *mut c_void) -> c_int;

/// The C library's `ioctl`, with the simulated device nodes added.
///
/// A library that is loaded earlier and interposes `ioctl` forwards to the next definition, which is to be this one.
/// On this platform a call of the variadic C function passes three arguments just like this.
///
/// # Safety
/// As for the C library's: `arg` suits the request.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, arg: *mut c_void) -> c_int {
    // SAFETY: the caller answers for `arg`.
    let handled = std::panic::catch_unwind(|| unsafe { handle(fd, request, arg) });
    match handled {
        Ok(Some(done)) => done,
        // SAFETY: the request goes on to the real kernel as it came; `syscall` sets `errno`.
        Ok(None) => unsafe { libc::syscall(libc::SYS_ioctl, c_long::from(fd), request, arg) as c_int },
        Err(_) => {
            // SAFETY: the location is this thread's own `errno`.
            unsafe { *libc::__errno_location() = libc::EIO };
            -1
        }
    }
}

/// Issues a request as the real driver does: through whatever `ioctl` the program resolved, so that an interposer
/// sees it. Where that is not followed by this library's own, because the program loaded this library for itself
/// alone, the request goes to the simulated kernel directly.
///
/// A success says that a module looked at the request; the outcome is the status in `arg`.
pub fn call<T>(fd: c_int, request: c_ulong, arg: &mut T) -> io::Result<()> {
    let arg: *mut c_void = core::ptr::from_mut(arg).cast();
    let waiting = Waiting::begin();
    // SAFETY: `arg` is a live parameter; that it is the request's own is what callers use the `abi` types for.
    let done = unsafe { outermost()(fd, request, arg) };
    let error = io::Error::last_os_error();
    drop(waiting);
    if done == 0 {
        return Ok(());
    }
    if !matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL | libc::EBADF)) {
        return Err(error);
    }
    let _waiting = Waiting::begin();
    // SAFETY: as above.
    match unsafe { handle(fd, request, arg) } {
        Some(0) => Ok(()),
        Some(_) => Err(io::Error::last_os_error()),
        None => Err(error),
    }
}

/// The first `ioctl` in the program's search order. A plain call could be bound to this library's own when it is
/// linked, which would hide every request from an interposer.
fn outermost() -> Ioctl {
    static FOUND: OnceLock<Ioctl> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // SAFETY: the name is a C string.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"ioctl".as_ptr()) };
        if found.is_null() {
            return ioctl;
        }
        // SAFETY: the symbol `ioctl` is a function of this shape in the C library and in whatever stands in for it.
        unsafe { core::mem::transmute::<*mut c_void, Ioctl>(found) }
    })
}
