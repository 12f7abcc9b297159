//! The real driver's functions behind the governed names.

use crate::exports;
use crate::symbols;
use abi::cuda::*;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A function of the real driver, looked up once. `F` is its type.
pub(crate) struct Real<F> {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
    function: PhantomData<F>,
}

/// Stands for "the driver has no such function".
const ABSENT: *mut c_void = std::ptr::dangling_mut();

impl<F: Copy> Real<F> {
    const fn new(name: &'static CStr) -> Self {
        assert!(size_of::<F>() == size_of::<*mut c_void>());
        Real { name, address: AtomicPtr::new(std::ptr::null_mut()), function: PhantomData }
    }

    /// The function, or `None` where the driver does not have it or is not there.
    #[inline]
    pub(crate) fn get(&self) -> Option<F> {
        let mut address = self.address.load(Ordering::Acquire);
        if address.is_null() {
            address = self.look_up();
        }
        // SAFETY: the address is what the driver's library has under this name, whose type the table gives as `F`;
        // `new` checked that `F` is as large as a pointer.
        (address != ABSENT).then(|| unsafe { std::mem::transmute_copy(&address) })
    }

    #[cold]
    fn look_up(&self) -> *mut c_void {
        let library = symbols::driver_library();
        if library.is_null() {
            // Not remembered: the driver may be loaded later.
            return ABSENT;
        }
        let found = symbols::look_up(library, self.name);
        let address = if found.is_null() { ABSENT } else { found };
        self.address.store(address, Ordering::Release);
        address
    }
}

macro_rules! declare {
    ($($name:ident($($ty:ty),*);)*) => {
        $(
            #[allow(non_upper_case_globals)]
            pub(crate) static $name: Real<unsafe extern "C" fn($($ty),*) -> CUresult> =
                Real::new(match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => panic!("a name with a NUL, seen by the compiler"),
                });
        )*
    };
}

macro_rules! table {
    ($($class:ident $name:ident($($arg:ident: $ty:ty),* $(,)?);)*) => {
        declare! { $($name($($ty),*);)* }

        /// The hook for a governed name, where the driver has that function.
        pub(crate) fn hook_by_name(name: &CStr) -> Option<*mut c_void> {
            let bytes = name.to_bytes();
            if !bytes.starts_with(b"cu") {
                return None;
            }
            $(if bytes == stringify!($name).as_bytes() {
                return $name.get().map(|_| exports::$name as *mut c_void);
            })*
            None
        }

        /// The hook for an address that the driver itself gave out for one of its functions.
        pub(crate) fn hook_by_address(address: *mut c_void) -> Option<*mut c_void> {
            $(if $name.get().is_some_and(|real| real as *mut c_void == address) {
                return Some(exports::$name as *mut c_void);
            })*
            None
        }
    };
}
abi::governed_functions!(table);

// Driver functions that the shim calls itself and does not govern.
declare! {
    cuCtxGetDevice(*mut CUdevice);
    cuDeviceGetUuid_v2(*mut [u8; 16], CUdevice);
    cuMemHostRegister_v2(*mut c_void, usize, c_uint);
    cuMemHostGetDevicePointer_v2(*mut CUdeviceptr, *mut c_void, c_uint);
    cuStreamQuery(CUstream);
    cuStreamIsCapturing(CUstream, *mut c_uint);
    cuStreamWaitValue32_v2(CUstream, CUdeviceptr, u32, c_uint);
    cuStreamWriteValue32_v2(CUstream, CUdeviceptr, u32, c_uint);
}
