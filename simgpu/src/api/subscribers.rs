//! The private table of functions for those who want to see launch descriptors.

use crate::objects::Outcome;
use crate::objects::descriptor;
use abi::cuda::{CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_NOT_SUPPORTED};
use abi::qmd::{CallbackFn, DOMAIN, ENABLE, EnableFn, LAUNCH, SUBSCRIBE, SubscribeFn};
use std::ffi::{c_int, c_void};

/// Its words. Those that nobody is known to need are null.
#[repr(C)]
struct Table {
    bytes: usize,
    before: [usize; SUBSCRIBE - 1],
    subscribe: SubscribeFn,
    between: [usize; ENABLE - SUBSCRIBE - 1],
    enable: EnableFn,
}

const _: () = assert!(size_of::<Table>() == (ENABLE + 1) * size_of::<usize>());

static TABLE: Table = Table {
    bytes: size_of::<Table>(),
    before: [0; SUBSCRIBE - 1],
    subscribe,
    between: [0; ENABLE - SUBSCRIBE - 1],
    enable,
};

/// The table.
pub(super) fn table() -> *const c_void {
    (&raw const TABLE).cast()
}

unsafe extern "C" fn subscribe(handle: *mut u32, callback: CallbackFn, user: *mut c_void) -> c_int {
    let subscribed = || -> Outcome {
        super::present(handle)?;
        // SAFETY: not null, so a place for the handle.
        unsafe { super::put(handle, descriptor::subscribe(callback, user)) }
    };
    super::guard(subscribed) as c_int
}

unsafe extern "C" fn enable(on: u32, handle: u32, domain: c_int, id: c_int) -> c_int {
    let enabled = || -> Outcome {
        // The real driver has many more to tell of.
        if (domain, id) != (DOMAIN, LAUNCH) {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        }
        if descriptor::enable(handle, on != 0) { Ok(()) } else { Err(CUDA_ERROR_INVALID_VALUE) }
    };
    super::guard(enabled) as c_int
}
