//! Finding real functions, and the `dlsym` that programs see.
//!
//! A wrapper that *calls* libc's `dlsym` changes who asks: `dlsym(RTLD_NEXT, …)` then answers for the wrapper's place
//! in the search order, which sends OpenMP runtimes into an endless loop. So [`dlsym`] is a naked function that *jumps*:
//! it decides by name, and for every name that is not ours leaves registers, stack and return address as it found
//! them. libc's own function is found by `dlvsym`, newest version first (glibc 2.34 moved it into libc.so.6).

use crate::{broken, real};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

type DlsymFn = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;

static LIBC_DLSYM: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

/// The address of libc's own `dlsym`; null only where the C library has none.
fn libc_dlsym() -> *mut c_void {
    let known = LIBC_DLSYM.load(Ordering::Acquire);
    if !known.is_null() {
        return known;
    }
    for version in [c"GLIBC_2.34", c"GLIBC_2.17", c"GLIBC_2.2.5"] {
        // SAFETY: both names are NUL-terminated; RTLD_NEXT asks for what comes after this library.
        let found = unsafe { libc::dlvsym(libc::RTLD_NEXT, c"dlsym".as_ptr(), version.as_ptr()) };
        if !found.is_null() {
            LIBC_DLSYM.store(found, Ordering::Release);
            return found;
        }
    }
    std::ptr::null_mut()
}

/// What libc's `dlsym` says, asked by this library.
pub(crate) fn look_up(handle: *mut c_void, name: &CStr) -> *mut c_void {
    let address = libc_dlsym();
    if address.is_null() {
        return address;
    }
    // SAFETY: the address is libc's `dlsym`, whose type this is.
    let dlsym: DlsymFn = unsafe { std::mem::transmute(address) };
    // SAFETY: the handle comes from dlopen or is RTLD_NEXT or RTLD_DEFAULT; the name is NUL-terminated.
    unsafe { dlsym(handle, name.as_ptr()) }
}

/// Where to go for `dlsym(handle, name)`.
#[repr(C)]
struct Route {
    /// The answer, or null to ask libc.
    answer: *mut c_void,
    /// libc's `dlsym`.
    libc: *mut c_void,
}

/// Decides on a look-up. Called from [`dlsym`] alone; `ask` is the handle that libc is asked with, if it is.
///
/// Rust's own runtime asks `dlsym` when it starts threads, so this must not allocate, lock or log for foreign names.
///
/// The answer is the one that the program would get without this library, with the driver's function replaced by the
/// hook. Which function it would get is told by its address: other libraries define the driver's names too.
extern "C" fn route(handle: *mut c_void, name: *const c_char, ask: *mut *mut c_void) -> Route {
    let libc = libc_dlsym();
    let pass = Route { answer: std::ptr::null_mut(), libc };
    if name.is_null() {
        return pass;
    }
    // SAFETY: a caller of dlsym gives a NUL-terminated name.
    let name = unsafe { CStr::from_ptr(name) };
    if broken::is("dlsym-calls") {
        return Route { answer: look_up(handle, name), libc };
    }
    let Some(symbol) = real::governed(name).filter(|_| !broken::is("no-dlsym")) else { return pass };
    match decide(handle, name, symbol) {
        Answer::Hook => Route { answer: symbol.hook(), libc },
        Answer::AsFound => pass,
        Answer::Absent => {
            // libc says so, with its error message, of a library that has none of the driver's names.
            // SAFETY: the place on the stack of `dlsym` that holds its first argument.
            unsafe { *ask = library(c"libc.so.6", libc::RTLD_NOLOAD) };
            pass
        }
    }
}

/// What a look-up of a governed name is to find.
enum Answer {
    /// The hook.
    Hook,
    /// What libc finds.
    AsFound,
    /// Nothing, though libc would find what this library exports.
    Absent,
}

fn decide(handle: *mut c_void, name: &CStr, symbol: &real::Symbol) -> Answer {
    let hook = symbol.hook();
    if broken::is("early-thread") {
        std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_secs(3)));
    }
    if broken::is("absent-names") {
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

/// What `dlsym` answers where the C library has none of its own.
extern "C" fn no_dlsym(_handle: *mut c_void, _name: *const c_char) -> *mut c_void {
    std::ptr::null_mut()
}

/// `dlsym` as programs see it: governed names give our hooks, all others jump on to libc (dlsym(3)).
#[cfg(target_arch = "x86_64")]
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void {
    // On entry rsp is 8 modulo 16; two pushes and 8 bytes align it for the call, which gets the place of the first
    // argument as its third. `Route` comes back in rax and rdx.
    core::arch::naked_asm!(
        "push rdi",
        "push rsi",
        "sub rsp, 8",
        "lea rdx, [rsp + 16]",
        "call {route}",
        "add rsp, 8",
        "pop rsi",
        "pop rdi",
        "test rax, rax",
        "jnz 2f",
        "test rdx, rdx",
        "jz 3f",
        "jmp rdx",
        "2: ret",
        "3: jmp {none}",
        route = sym route,
        none = sym no_dlsym,
    )
}

/// Opens a library by name, with these flags beside lazy binding.
fn library(name: &CStr, flags: c_int) -> *mut c_void {
    // SAFETY: the name is NUL-terminated. Loading runs a library's constructors, which is what a program that asks for
    // a driver function expects.
    unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | flags) }
}

const DRIVER: &CStr = c"libcuda.so.1";
static DRIVER_LIBRARY: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

/// Whether the driver's library is loaded.
fn driver_is_loaded() -> bool {
    !DRIVER_LIBRARY.load(Ordering::Acquire).is_null() || !library(DRIVER, libc::RTLD_NOLOAD).is_null()
}

/// Opens the driver's library if it is loaded, or loads it.
pub(crate) fn driver_library() -> *mut c_void {
    let known = DRIVER_LIBRARY.load(Ordering::Acquire);
    if !known.is_null() {
        return known;
    }
    let mut handle = library(DRIVER, libc::RTLD_NOLOAD);
    if handle.is_null() {
        handle = library(DRIVER, libc::RTLD_LOCAL);
    }
    DRIVER_LIBRARY.store(handle, Ordering::Release);
    handle
}
