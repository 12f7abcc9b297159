//! The mark of a thread that is inside a governed call.
//!
//! The driver calls its own exported functions and, on the same thread, hooks of tools. Only the outermost call is the
//! program's, so only that is governed; what comes from inside goes on to the driver. The same mark tells the `ioctl`
//! interposer that an allocation seen there was announced.

use crate::base::{fork, inject};
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// The program's own call; ends when dropped. Keeps the place of the mark, so that it is looked up once a call: in a
/// library that is loaded, each look is a call of the loader's (`__tls_get_addr`).
pub(crate) struct Entered(NonNull<Cell<bool>>);

/// Enters a governed call. `None` where the call has to pass through untouched: Missile is off in this process, or the
/// call comes from inside another.
#[inline]
pub(crate) fn enter() -> Option<Entered> {
    if takes_no_part() {
        return None;
    }
    INSIDE.with(|inside| match inside.replace(true) && !inject::is("reentry") {
        true => None,
        false => Some(Entered(NonNull::from(inside))),
    })
}

/// Whether this thread is inside a call that passed the library.
pub(crate) fn is_inside() -> bool {
    INSIDE.get()
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the mark of the thread that entered, which this is, since a pointer is not sent to another; it has no
        // destructor, so it is there for as long as the thread runs.
        unsafe { self.0.as_ref() }.set(false);
    }
}

/// Whether every call of this process passes through: it is switched off, or a forked child. A child takes no lock of the
/// library's, which another thread of its parent may have held.
#[inline]
pub(crate) fn takes_no_part() -> bool {
    static DISABLED: AtomicU8 = AtomicU8::new(0);
    let disabled = match DISABLED.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: the name is NUL-terminated; the answer, if any, is a NUL-terminated text.
            let disabled = unsafe {
                let value = libc::getenv(c"MISSILE_DISABLE".as_ptr());
                !value.is_null() && libc::strcmp(value, c"1".as_ptr()) == 0
            };
            DISABLED.store(1 + u8::from(disabled), Ordering::Relaxed);
            disabled
        }
        known => known == 2,
    };
    disabled || fork::is_child()
}
