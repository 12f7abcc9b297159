//! The driver's names as this library exports them, made from the table of governed functions.
//!
//! Every export is the same three steps: find the real function; if this process takes no part, call it; otherwise let
//! the hook of its class in [`crate::hooks`] decide and call it.

use crate::{hooks, life, real};
use abi::cuda::*;
use std::ffi::{c_char, c_int, c_uint, c_void};

macro_rules! exports {
    ($($class:ident $name:ident($($arg:ident: $ty:ty),* $(,)?);)*) => {
        $(
            #[cfg_attr(not(test), unsafe(no_mangle))]
            #[allow(non_snake_case)]
            pub(crate) unsafe extern "C" fn $name($($arg: $ty),*) -> CUresult {
                let Some(real) = real::$name.get() else { return CUDA_ERROR_NOT_FOUND };
                if life::takes_no_part() {
                    // SAFETY: the caller's own arguments, to the function that it meant to call.
                    return unsafe { real($($arg),*) };
                }
                // SAFETY: the hook passes the caller's arguments on to `real`, whole or in pieces of the same range.
                unsafe { hooks::$class::$name(real, $($arg),*) }
            }
        )*
    };
}
abi::governed_functions!(exports);
