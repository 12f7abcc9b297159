//! Every governed function, given nothing or nonsense: it says so, and the program goes on.

#[macro_use]
#[path = "driver_support/client.rs"]
mod client;

use abi::cuda::*;
use client::*;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};

/// How arguments are made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pattern {
    /// Zeros throughout.
    Nothing,
    /// Pointers to zeros, handles that are none, and ones.
    Small,
    /// The same with the greatest numbers.
    Huge,
}

/// An argument of any type, by its bytes: a pointer or a handle goes to zeros that any structure fits in and that stay
/// for good, as the driver may have registered them; a number is as the pattern says.
fn argument<T>(pattern: Pattern) -> T {
    let name = std::any::type_name::<T>();
    // A small number would name one of the special streams.
    let is_address = name.starts_with('*') || name.contains("::handles::");
    let word = match pattern {
        Pattern::Nothing => 0,
        _ if is_address => vec![0u64; 4096].leak().as_mut_ptr() as u64,
        Pattern::Small => 1,
        Pattern::Huge => u64::MAX,
    };
    let words = [word; 8];
    assert!(size_of::<T>() <= size_of_val(&words));
    // SAFETY: every argument of a driver function is a number, a pointer or a structure of such, for which any bytes
    // will do; a function pointer is an `Option`, and never called, as the streams given are none.
    unsafe { words.as_ptr().cast::<T>().read_unaligned() }
}

/// The address of a symbol of the library, as programs load it; null for one that it does not have.
fn symbol(name: &str) -> *mut c_void {
    use std::sync::OnceLock;
    static LIBRARY: OnceLock<usize> = OnceLock::new();
    let library = *LIBRARY.get_or_init(|| {
        gpu();
        let path = std::env::current_exe().expect("a path").with_file_name("libcuda.so");
        let text = CString::new(path.into_os_string().into_encoded_bytes()).expect("no NUL");
        // SAFETY: the library was built with this test, and does nothing as it is loaded.
        let library = unsafe { libc::dlopen(text.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!library.is_null(), "{text:?} is not there");
        library as usize
    });
    let text = CString::new(name).expect("no NUL");
    // SAFETY: the library stays loaded, and the name is NUL-terminated.
    unsafe { libc::dlsym(library as *mut c_void, text.as_ptr()) }
}

/// Makes the primary context of the loaded library current.
fn ready() {
    // SAFETY: the functions have these types, and the places that they write to live.
    unsafe {
        let init: unsafe extern "C" fn(c_uint) -> CUresult = std::mem::transmute(symbol("cuInit"));
        let retain: unsafe extern "C" fn(*mut CUcontext, CUdevice) -> CUresult =
            std::mem::transmute(symbol("cuDevicePrimaryCtxRetain"));
        let set: unsafe extern "C" fn(CUcontext) -> CUresult = std::mem::transmute(symbol("cuCtxSetCurrent"));
        let mut context = CUcontext::NULL;
        assert_eq!((init(0), retain(&mut context, 0), set(context)), (0, 0, 0));
    }
}

macro_rules! calls {
    ($($class:ident $kind:ident $name:ident($($arg:ident: $ty:ty),*);)*) => {
        /// Calls every function with arguments of one pattern; returns what each answered.
        fn call_all(pattern: Pattern) -> Vec<(&'static str, CUresult)> {
            let mut answers = Vec::new();
            $(
                let address = symbol(stringify!($name));
                if !address.is_null() {
                    ready();
                    // SAFETY: the function has the type of its row, and the arguments are as the driver is to bear.
                    let code = unsafe {
                        let function: unsafe extern "C" fn($($ty),*) -> CUresult = std::mem::transmute(address);
                        function($(argument::<$ty>(pattern)),*)
                    };
                    answers.push((stringify!($name), code));
                }
            )*
            answers
        }
    };
}

abi::governed_functions!(calls);

/// The codes that a function may answer without arguments that mean anything.
const REFUSALS: &[CUresult] = &[
    CUDA_ERROR_INVALID_VALUE,
    CUDA_ERROR_OUT_OF_MEMORY,
    CUDA_ERROR_INVALID_DEVICE,
    CUDA_ERROR_INVALID_CONTEXT,
    CUDA_ERROR_INVALID_HANDLE,
    CUDA_ERROR_NOT_FOUND,
    CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
    CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED,
    CUDA_ERROR_NOT_SUPPORTED,
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
    // CUDA_ERROR_CONTEXT_IS_DESTROYED, of an event that is none.
    709,
    // CUDA_ERROR_STREAM_CAPTURE_IMPLICIT: the legacy stream, beside a capture that a call before began.
    906,
    // CUDA_ERROR_UNSUPPORTED_LIMIT and CUDA_ERROR_ILLEGAL_STATE.
    215,
    401,
];

#[test]
fn nonsense_is_refused_and_harms_nobody() {
    for pattern in [Pattern::Nothing, Pattern::Small, Pattern::Huge] {
        let answers = call_all(pattern);
        assert!(answers.len() > 250, "{}", answers.len());
        for (name, code) in answers {
            assert!(code == CUDA_SUCCESS || REFUSALS.contains(&code), "{name} of {pattern:?} answered {code}");
            let refuses = name.contains("Memcpy") || name.contains("Launch") || name.contains("GraphAdd");
            let nothing_to_do = pattern == Pattern::Nothing && code == CUDA_SUCCESS;
            assert!(code != CUDA_SUCCESS || !refuses || nothing_to_do, "{name} of {pattern:?} did something");
        }
    }
    start();
    let dptr = alloc(4096);
    ok!(cuMemsetD32_v2(dptr, 5, 4));
    assert_eq!(words(dptr, 4), [5; 4]);
}
