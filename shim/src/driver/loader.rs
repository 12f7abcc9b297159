//! Finding functions: libc's own `dlsym`, and the driver's library.
//!
//! libc's function is found by `dlvsym`, newest version first (glibc 2.34 moved it into libc.so.6), since this library
//! exports a `dlsym` of its own.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

type DlsymFn = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;

static LIBC_DLSYM: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

/// The address of libc's own `dlsym`; null only where the C library has none.
pub(crate) fn libc_dlsym() -> *mut c_void {
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

/// The answer of libc's `dlsym`, asked by this library.
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

/// Opens a library by name, with these flags beside lazy binding.
pub(crate) fn library(name: &CStr, flags: c_int) -> *mut c_void {
    // SAFETY: the name is NUL-terminated. Loading runs a library's constructors, which is what a program that asks for
    // a driver function expects.
    unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | flags) }
}

const DRIVER: &CStr = c"libcuda.so.1";
static DRIVER_LIBRARY: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

/// Whether the driver's library is loaded.
pub(crate) fn driver_is_loaded() -> bool {
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

/// Whether a function is one of this library's own.
pub(crate) fn is_own(function: *mut c_void) -> bool {
    object_of(function).is_some_and(|object| Some(object) == object_of(is_own as *mut c_void))
}

/// The begin of the object that an address lies in. Takes the loader's lock, as `dlsym` does.
fn object_of(address: *mut c_void) -> Option<*mut c_void> {
    let mut found = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: the function writes the structure where it returns other than 0; any address may be asked about.
    (unsafe { libc::dladdr(address, found.as_mut_ptr()) } != 0).then(|| {
        // SAFETY: as above.
        unsafe { found.assume_init() }.dli_fbase
    })
}
