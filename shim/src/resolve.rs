//! Replacing the driver's answers to "where is this function".

use crate::real;
use std::ffi::c_void;

/// Replaces the driver's answer by our hook where it is a governed function.
///
/// By the address and not by the name: the driver alone decides which version and stream spelling the program gets,
/// so a hook can never have another signature than the function it stands for.
///
/// # Safety
/// `pfn` is null or points to the answer of a successful look-up.
pub(crate) unsafe fn replace_answer(pfn: *mut *mut c_void) {
    // SAFETY: by this function's contract.
    let Some(answer) = (unsafe { pfn.as_mut() }) else { return };
    if let Some(hook) = real::hook_by_address(*answer) {
        *answer = hook;
    }
}
