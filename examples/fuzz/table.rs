//! The table of governed functions as data: each row with a function that calls what it names.

use abi::cuda::*;
use std::ffi::{c_char, c_int, c_uint, c_void};

/// A row of the table.
pub struct Row {
    /// The subject of the call.
    pub class: &'static str,
    /// How it goes about it.
    pub kind: &'static str,
    /// The exported name.
    pub name: &'static str,
    /// Names and types of the parameters.
    pub parameters: &'static [(&'static str, &'static str)],
    /// Calls the function at an address; each argument is the number that [`Raw`] makes it from.
    ///
    /// # Safety
    /// The address is that of the function of this name, and the arguments are ones that it may get.
    pub call: unsafe fn(function: *mut c_void, arguments: &[u64]) -> CUresult,
}

impl Row {
    /// Whether the null stream is the thread's own.
    pub fn is_per_thread(&self) -> bool {
        self.name.ends_with("_ptds") || self.name.ends_with("_ptsz")
    }
}

/// A type of parameter, made from a number.
trait Raw {
    fn raw(bits: u64) -> Self;
}

macro_rules! integers {
    ($($ty:ty)*) => { $(impl Raw for $ty { fn raw(bits: u64) -> Self { bits as $ty } })* };
}
integers! { c_int c_uint u64 usize }

macro_rules! handles {
    ($($ty:ty)*) => { $(impl Raw for $ty { fn raw(bits: u64) -> Self { Handle::numbered(bits as usize) } })* };
}
handles! { CUcontext CUstream CUfunction CUevent CUgraph CUgraphNode CUgraphExec CUarray CUmipmappedArray CUmemoryPool }
handles! { CUgreenCtx CUdevResourceDesc CUmemGenericAllocationHandle }

impl<T> Raw for *mut T {
    fn raw(bits: u64) -> Self {
        bits as usize as *mut T
    }
}

impl<T> Raw for *const T {
    fn raw(bits: u64) -> Self {
        bits as usize as *const T
    }
}

macro_rules! callbacks {
    ($($ty:ty)*) => {
        $(impl Raw for $ty {
            fn raw(bits: u64) -> Self {
                // SAFETY: an optional function is null or its address, and the addresses drawn are those of functions
                // of this type.
                unsafe { std::mem::transmute::<usize, $ty>(bits as usize) }
            }
        })*
    };
}
callbacks! { CUhostFn CUstreamCallback CUgraphRecaptureCallback }

impl Raw for CUmemLocation {
    fn raw(bits: u64) -> Self {
        CUmemLocation { r#type: bits as c_uint, id: (bits >> 32) as c_int }
    }
}

/// A name for another process that no process gave.
fn name_for_others(bits: u64) -> [c_char; 64] {
    std::array::from_fn(|index| bits.rotate_left(index as u32) as c_char)
}

impl Raw for CUipcMemHandle {
    fn raw(bits: u64) -> Self {
        CUipcMemHandle { reserved: name_for_others(bits) }
    }
}

impl Raw for CUipcEventHandle {
    fn raw(bits: u64) -> Self {
        CUipcEventHandle { reserved: name_for_others(bits) }
    }
}

macro_rules! rows {
    ($($class:ident $kind:ident $name:ident($($arg:ident: $ty:ty),* $(,)?);)*) => {
        /// All rows.
        pub static ROWS: &[Row] = &[$(Row {
            class: stringify!($class),
            kind: stringify!($kind),
            name: stringify!($name),
            parameters: &[$((stringify!($arg), stringify!($ty))),*],
            call: {
                #[allow(non_snake_case)]
                unsafe fn $name(function: *mut c_void, arguments: &[u64]) -> CUresult {
                    type Function = unsafe extern "C" fn($($ty),*) -> CUresult;
                    #[allow(unused_mut, unused_variables, reason = "some functions take nothing")]
                    let mut arguments = arguments.iter().copied();
                    // SAFETY: the caller's promise.
                    unsafe {
                        let function = std::mem::transmute::<*mut c_void, Function>(function);
                        function($(<$ty as Raw>::raw({ let _ = stringify!($arg); arguments.next().unwrap_or(0) })),*)
                    }
                }
                $name
            },
        }),*];
    };
}
abi::governed_functions!(rows);
