//! Contexts: what is known of their captures goes with them.

use crate::{captures, fault};
use abi::cuda::{CUDA_SUCCESS, CUresult};

/// A context may come to its end.
pub(crate) fn released(forward: impl FnOnce() -> CUresult) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS {
        fault::shielded(captures::forget_all);
    }
    result
}
