//! The names of the driver and of libc that this library exports, made from the table of governed functions.
//!
//! Every export is the same three steps: find the driver's function; if this process takes no part, or the call comes from
//! inside another, call it; otherwise let the hook of its class and kind decide ([`crate::dispatch`]).

use crate::copies::hooks as copies;
use crate::dispatch::{govern, of};
use crate::driver::null_stream::NullStream;
use crate::driver::{calls, capture, contexts};
use crate::intercept::dlsym::{self as look_up, Route};
use crate::intercept::names::Hooks;
use crate::launches::hooks as launches;
use crate::memory::hooks as memory;
use crate::tenant::activity::{self, Stream};
use crate::tenant::reentry;
use abi::cuda::*;
use region::Direction;
use std::ffi::{c_char, c_int, c_uint, c_void};

macro_rules! exports {
    ($($class:ident $kind:ident $name:ident($($arg:ident: $ty:ty),* $(,)?);)*) => {
        $(
            #[cfg_attr(not(test), unsafe(no_mangle))]
            #[allow(non_snake_case, clippy::too_many_arguments)]
            #[allow(dead_code, unused_variables, reason = "a hook takes the arguments that it needs")]
            pub(crate) unsafe extern "C" fn $name($($arg: $ty),*) -> CUresult {
                let Some(real) = calls::$name.get() else { return CUDA_ERROR_NOT_FOUND };
                // SAFETY: the caller's own arguments, to the function that it meant to call.
                let forward = || unsafe { real($($arg),*) };
                let Some(_entered) = reentry::enter() else { return forward() };
                struct Args { $($arg: $ty),* }
                let args = Args { $($arg),* };
                govern!($class $kind $name forward args)
            }
        )*

        /// The functions above, in the order of the table.
        static HOOKS: Hooks = Hooks::new([$($name as *mut c_void),*]);
    };
}
abi::governed_functions!(exports);

/// The way of a look-up, for [`dlsym`] alone.
extern "C" fn route(handle: *mut c_void, name: *const c_char, ask: *mut *mut c_void) -> Route {
    // SAFETY: a caller of dlsym gives a NUL-terminated name or null; `ask` is the place on the stack of `dlsym` that holds
    // its first argument.
    unsafe { look_up::route(&HOOKS, handle, name, ask) }
}

/// The `dlsym` of a C library that has none of its own.
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
