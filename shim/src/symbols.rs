//! Finding real functions, and the `dlsym` that programs see.
//!
//! A wrapper that *calls* libc's `dlsym` changes who asks: `dlsym(RTLD_NEXT, …)` then answers for the wrapper's place
//! in the search order, which sends OpenMP runtimes into an endless loop. So [`dlsym`] is a naked function that *jumps*:
//! it decides by name, and for every name that is not ours leaves registers, stack and return address as it found
//! them. libc's own function is found by `dlvsym`, newest version first (glibc 2.34 moved it into libc.so.6).

use crate::real;
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

/// Decides on a look-up. Called from [`dlsym`] alone.
///
/// Rust's own runtime asks `dlsym` when it starts threads, so this must not allocate, lock or log for foreign names.
extern "C" fn route(handle: *mut c_void, name: *const c_char) -> Route {
    let libc = libc_dlsym();
    let pass = Route { answer: std::ptr::null_mut(), libc };
    // Who asks for the next definition after his own means to get past us.
    if name.is_null() || handle == libc::RTLD_NEXT {
        return pass;
    }
    // SAFETY: a caller of dlsym gives a NUL-terminated name.
    let name = unsafe { CStr::from_ptr(name) };
    match real::hook_by_name(name) {
        Some(hook) => Route { answer: hook, libc },
        None => pass,
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
    // On entry rsp is 8 modulo 16; two pushes and 8 bytes align it for the call. `Route` comes back in rax and rdx.
    core::arch::naked_asm!(
        "push rdi",
        "push rsi",
        "sub rsp, 8",
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

/// Opens the driver's library if it is loaded, or loads it.
pub(crate) fn driver_library() -> *mut c_void {
    static HANDLE: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    let known = HANDLE.load(Ordering::Acquire);
    if !known.is_null() {
        return known;
    }
    let open = |flags: c_int| {
        // SAFETY: the name is NUL-terminated. Loading runs the driver's constructors, which is what a program that
        // asks for a driver function expects.
        unsafe { libc::dlopen(c"libcuda.so.1".as_ptr(), flags) }
    };
    let mut handle = open(libc::RTLD_LAZY | libc::RTLD_NOLOAD);
    if handle.is_null() {
        handle = open(libc::RTLD_LAZY | libc::RTLD_LOCAL);
    }
    HANDLE.store(handle, Ordering::Release);
    handle
}
