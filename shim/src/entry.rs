//! Who is inside a governed call, on each thread.
//!
//! The driver calls its own exported functions and, on the same thread, hooks of tools. Only the outermost call is the
//! program's, so only that is governed; what comes from inside goes on to the driver. The same mark tells the kernel
//! interposer that an allocation seen there was announced ([`crate::coverage`]).

use crate::{broken, life};
use std::cell::Cell;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// The program's own call; ends when dropped.
pub(crate) struct Entered(());

/// Enters a governed call. `None` where the call has to pass through untouched: Missile is off in this process, or the
/// call comes from inside another.
#[inline]
pub(crate) fn enter() -> Option<Entered> {
    if life::takes_no_part() || (INSIDE.replace(true) && !broken::is("reentry")) {
        return None;
    }
    Some(Entered(()))
}

/// Whether this thread is inside a call that passed the library.
pub(crate) fn is_inside() -> bool {
    INSIDE.get()
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}
