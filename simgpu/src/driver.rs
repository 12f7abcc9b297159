//! The driver: what programs call as `libcuda.so.1`.
//!
//! Like the real library it holds no memory of its own: it speaks to the kernel half with RM and UVM requests on the
//! calling thread, and the work of each stream is done by a thread of its own, which takes as long as the shared
//! timing model says. Every function that it exports is listed once more in [`resolve`], which is what
//! `cuGetProcAddress` answers from.
#![allow(non_snake_case)]

use abi::cuda::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a function answers: nothing, or an error code.
type Outcome<T = ()> = Result<T, CUresult>;

/// Runs the body of an exported function; a panic becomes an error code and goes no further.
fn guard(body: impl FnOnce() -> Outcome) -> CUresult {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => CUDA_SUCCESS,
        Ok(Err(code)) => code,
        Err(_) => CUDA_ERROR_UNKNOWN,
    }
}

/// Locks; a panic elsewhere leaves the data usable, as no lock is held across anything that may panic halfway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        pub(in crate::driver) unsafe extern "C" fn $name($($arg: $ty),*) -> abi::cuda::CUresult {
            $crate::driver::guard(move || $body)
        }
        export! { $($rest)* }
    };
    (
        $(#[$meta:meta])*
        fn $name:ident / $twin:ident [$default:ident] ($($arg:ident: $ty:ty),* $(,)?) $body:block $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub(in crate::driver) unsafe extern "C" fn $name($($arg: $ty),*) -> abi::cuda::CUresult {
            let $default = $crate::driver::stream::DefaultStream::Legacy;
            $crate::driver::guard(move || $body)
        }
        $(#[$meta])*
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub(in crate::driver) unsafe extern "C" fn $twin($($arg: $ty),*) -> abi::cuda::CUresult {
            let $default = $crate::driver::stream::DefaultStream::PerThread;
            $crate::driver::guard(move || $body)
        }
        export! { $($rest)* }
    };
}

mod command;
mod context;
mod copy;
mod current;
mod device;
mod errors;
mod event;
mod governed;
mod graph;
mod handles;
mod host_memory;
mod init;
mod kernels;
mod latency;
mod launch;
mod memory;
mod memset;
mod module;
mod pages;
mod resolve;
mod rm;
mod stream;
mod stream_values;
mod streams;
mod virtual_memory;
