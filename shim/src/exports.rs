//! The driver's names as this library exports them, made from the table of governed functions.
//!
//! Every export is the same three steps: find the real function; if this process takes no part, or the call comes from
//! inside another, call it; otherwise let the hook of its class and kind decide ([`crate::hooks`]).

use crate::traffic::{Loads, Traffic};
use crate::{copies, entry, hooks, real};
use abi::cuda::*;
use hooks::govern;
use region::Direction;
use std::ffi::{c_char, c_int, c_uint, c_void};

macro_rules! exports {
    ($($class:ident $kind:ident $name:ident($($arg:ident: $ty:ty),* $(,)?);)*) => {
        $(
            #[cfg_attr(not(test), unsafe(no_mangle))]
            #[allow(non_snake_case, clippy::too_many_arguments)]
            pub(crate) unsafe extern "C" fn $name($($arg: $ty),*) -> CUresult {
                let Some(real) = real::$name.get() else { return CUDA_ERROR_NOT_FOUND };
                // SAFETY: the caller's own arguments, to the function that it meant to call.
                let forward = || unsafe { real($($arg),*) };
                let Some(_entered) = entry::enter() else { return forward() };
                govern!($class $kind $name, real, forward, ($($arg),*))
            }
        )*
    };
}
abi::governed_functions!(exports);
