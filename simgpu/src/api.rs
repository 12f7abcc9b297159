//! The driver's functions: what programs call as `libcuda.so.1`.
//!
//! Each looks at its arguments, finds the objects that they name, and says in a code how it went; what happens is in
//! [`objects`](crate::objects). Every function that is exported is listed once more in [`resolve`], which is what
//! `cuGetProcAddress` answers from.
#![allow(non_snake_case)]

use abi::cuda::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::objects::Outcome;

/// Runs the body of an exported function; a panic becomes an error code and goes no further.
fn guard(body: impl FnOnce() -> Outcome) -> CUresult {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => CUDA_SUCCESS,
        Ok(Err(code)) => code,
        Err(_) => CUDA_ERROR_UNKNOWN,
    }
}

/// Writes an answer to where the program wants it.
///
/// # Safety
/// `out` is null or may be written.
unsafe fn put<T>(out: *mut T, value: T) -> Outcome {
    if out.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    // SAFETY: not null, so writable by the function's contract.
    unsafe { out.write(value) };
    Ok(())
}

/// Declares exported functions. The body is an [`Outcome`]. A function with a twin is written once: `twin` is the
/// spelling with the per-thread default stream, and the name in brackets says which of the two was called.
macro_rules! export {
    () => {};
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block $($rest:tt)*) => {
        $(#[$meta])*
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub(in crate::api) unsafe extern "C" fn $name($($arg: $ty),*) -> abi::cuda::CUresult {
            $crate::api::own_address(stringify!($name));
            $crate::api::guard(move || $body)
        }
        export! { $($rest)* }
    };
    (
        $(#[$meta:meta])*
        fn $name:ident / $twin:ident [$default:ident] ($($arg:ident: $ty:ty),* $(,)?) $body:block $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub(in crate::api) unsafe extern "C" fn $name($($arg: $ty),*) -> abi::cuda::CUresult {
            $crate::api::own_address(stringify!($name));
            let $default = $crate::objects::current::DefaultStream::Legacy;
            $crate::api::guard(move || $body)
        }
        $(#[$meta])*
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub(in crate::api) unsafe extern "C" fn $twin($($arg: $ty),*) -> abi::cuda::CUresult {
            $crate::api::own_address(stringify!($twin));
            let $default = $crate::objects::current::DefaultStream::PerThread;
            $crate::api::guard(move || $body)
        }
        export! { $($rest)* }
    };
}

/// Makes a function different from all others. The optimiser gives functions that do the same one address, and those
/// of the real library have one each.
fn own_address(name: &'static str) {
    core::hint::black_box(name);
}

/// Fails for a pointer that is null.
fn present<T>(pointer: *const T) -> Outcome {
    if pointer.is_null() { Err(CUDA_ERROR_INVALID_VALUE) } else { Ok(()) }
}

/// Declares functions of subjects that the simulated driver does not model: they look at their arguments and answer
/// `CUDA_ERROR_NOT_SUPPORTED`. `on` names the stream, which has to live, and `needs` what must not be null.
macro_rules! unmodelled {
    () => {};
    (
        $(#[$meta:meta])*
        fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(on $stream:ident)? $(needs $($needed:ident),+)?; $($rest:tt)*
    ) => {
        export! {
            $(#[$meta])*
            fn $name($($arg: $ty),*) {
                $crate::objects::current::context()?;
                $($crate::objects::current::stream($stream, $crate::objects::current::DefaultStream::Legacy)?;)?
                $($(
                    if $needed.is_null() {
                        return Err(abi::cuda::CUDA_ERROR_INVALID_VALUE);
                    }
                )+)?
                let _ = ($($arg,)*);
                Err(abi::cuda::CUDA_ERROR_NOT_SUPPORTED)
            }
        }
        unmodelled! { $($rest)* }
    };
    (
        $(#[$meta:meta])*
        fn $name:ident / $twin:ident($($arg:ident: $ty:ty),* $(,)?) $(on $stream:ident)? $(needs $($needed:ident),+)?;
        $($rest:tt)*
    ) => {
        export! {
            $(#[$meta])*
            fn $name/$twin[default]($($arg: $ty),*) {
                $crate::objects::current::context()?;
                let _ = default;
                $($crate::objects::current::stream($stream, default)?;)?
                $($(
                    if $needed.is_null() {
                        return Err(abi::cuda::CUDA_ERROR_INVALID_VALUE);
                    }
                )+)?
                let _ = ($($arg,)*);
                Err(abi::cuda::CUDA_ERROR_NOT_SUPPORTED)
            }
        }
        unmodelled! { $($rest)* }
    };
}

mod abi_table;
mod arrays;
mod capture;
mod context;
mod copy;
mod current;
mod device;
mod errors;
mod event;
mod graph;
mod green;
mod host_memory;
mod init;
mod launch;
mod legacy;
mod limits;
mod managed;
mod memory;
mod memset;
mod module;
mod peers;
mod pool;
mod resolve;
mod sharing;
mod stream;
mod subscribers;
mod virtual_memory;
mod words;
