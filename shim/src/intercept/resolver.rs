//! `cuGetProcAddress`: the driver's own `dlsym`.

use super::names::Hooks;
use abi::cuda::{CUDA_SUCCESS, CUresult};
use std::ffi::c_void;

/// Replaces the driver's answer by our hook where it is a governed function.
///
/// By the address and not by the name: the driver alone decides which version and stream spelling the program gets,
/// so a hook can never have another signature than the function it stands for.
pub(crate) fn answered(hooks: &Hooks, forward: impl FnOnce() -> CUresult, pfn: *mut *mut c_void) -> CUresult {
    let result = forward();
    if result != CUDA_SUCCESS || pfn.is_null() {
        return result;
    }
    // SAFETY: where the caller wants the answer, which the driver has just written; on x86-64 it may lie unaligned.
    let answer = unsafe { pfn.read_unaligned() };
    if let Some(hook) = hooks.for_address(answer) {
        // SAFETY: as above.
        unsafe { pfn.write_unaligned(hook) };
    }
    result
}
