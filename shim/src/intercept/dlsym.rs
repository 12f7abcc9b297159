//! The `dlsym` that programs see.
//!
//! A wrapper that *calls* libc's `dlsym` changes who asks: `dlsym(RTLD_NEXT, …)` then answers for the wrapper's place
//! in the search order, which sends OpenMP runtimes into an endless loop. So the exported function is naked and *jumps*
//! ([`crate::exports::dlsym`]) where [`route`] says: for every name that is not ours registers, stack and return address
//! stay as they were.

use super::names::Hooks;
use crate::base::inject;
use crate::driver::calls::Symbol;
use crate::driver::loader::{driver_is_loaded, libc_dlsym, library, look_up};
use std::ffi::{CStr, c_char, c_void};

/// The way that `dlsym(handle, name)` goes.
#[repr(C)]
pub(crate) struct Route {
    /// The answer, or null to ask libc.
    answer: *mut c_void,
    /// libc's `dlsym`.
    libc: *mut c_void,
}

/// Decides on a look-up; `ask` is the handle that libc is asked with, if it is.
///
/// Rust's own runtime asks `dlsym` when it starts threads, so this must not allocate, lock or log for foreign names.
///
/// The answer is the one that the program would get without this library, with the driver's function replaced by the
/// hook. Which function it would get is told by its address: other libraries define the driver's names too.
///
/// # Safety
/// `name` is null or NUL-terminated, and `ask` points to a handle that may be changed.
pub(crate) unsafe fn route(hooks: &Hooks, handle: *mut c_void, name: *const c_char, ask: *mut *mut c_void) -> Route {
    let libc = libc_dlsym();
    let pass = Route { answer: std::ptr::null_mut(), libc };
    if name.is_null() {
        return pass;
    }
    // SAFETY: not null, so NUL-terminated by the function's contract.
    let name = unsafe { CStr::from_ptr(name) };
    if inject::is("dlsym-calls") {
        return Route { answer: look_up(handle, name), libc };
    }
    let Some((hook, symbol)) = hooks.named(name).filter(|_| !inject::is("no-dlsym")) else { return pass };
    match decide(handle, name, hook, symbol) {
        Answer::Hook => Route { answer: hook, libc },
        Answer::AsFound => pass,
        Answer::Absent => {
            // libc says so, with its error message, of a library that has none of the driver's names.
            // SAFETY: the function's contract.
            unsafe { *ask = library(c"libc.so.6", libc::RTLD_NOLOAD) };
            pass
        }
    }
}

/// The answer that a look-up of a governed name is to get.
enum Answer {
    /// The hook.
    Hook,
    /// Libc's own.
    AsFound,
    /// Nothing, though libc would find what this library exports.
    Absent,
}

fn decide(handle: *mut c_void, name: &CStr, hook: *mut c_void, symbol: &Symbol) -> Answer {
    if inject::is("early-thread") {
        std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_secs(3)));
    }
    if inject::is("absent-names") {
        return Answer::Hook;
    }
    // To see whether the driver has it, the driver is not loaded.
    let is_there = || driver_is_loaded() && symbol.address().is_some();
    match handle {
        // What is the first or the next definition depends on who asks, which only libc sees. If it is this library's,
        // there must be something behind it.
        libc::RTLD_DEFAULT if is_there() => Answer::AsFound,
        libc::RTLD_NEXT if !look_up(libc::RTLD_NEXT, name).is_null() => Answer::AsFound,
        libc::RTLD_DEFAULT | libc::RTLD_NEXT => Answer::Absent,
        _ => match look_up(handle, name) {
            null if null.is_null() => Answer::AsFound,
            found if found == hook => {
                if is_there() {
                    Answer::Hook
                } else {
                    Answer::Absent
                }
            }
            // Other libraries define the driver's names too: the address tells.
            found if driver_is_loaded() && symbol.address() == Some(found) => Answer::Hook,
            _ => Answer::AsFound,
        },
    }
}
