//! The driver's functions, each looked up once.

use super::loader;
use crate::base::inject;
use abi::cuda::*;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A name of the driver's, and its function.
pub(crate) struct Symbol {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

/// Stands for "the driver has no such function".
const ABSENT: *mut c_void = std::ptr::dangling_mut();

impl Symbol {
    const fn new(name: &'static CStr) -> Self {
        Symbol { name, address: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// The name.
    pub(crate) fn name(&self) -> &'static CStr {
        self.name
    }

    /// Whether a test asks for a library that forgets this name.
    pub(crate) fn is_left_out(&self) -> bool {
        let ends = |end: &[u8]| self.name.to_bytes().ends_with(end);
        inject::is("no-per-thread") && (ends(b"_ptds") || ends(b"_ptsz"))
    }

    /// The function, or `None` where the driver does not have it or is not there.
    #[inline]
    pub(crate) fn address(&self) -> Option<*mut c_void> {
        let mut address = self.address.load(Ordering::Acquire);
        if address.is_null() {
            address = self.look_up();
        }
        (address != ABSENT).then_some(address)
    }

    #[cold]
    fn look_up(&self) -> *mut c_void {
        let library = loader::driver_library();
        if library.is_null() {
            // Not remembered: the driver may be loaded later.
            return ABSENT;
        }
        let mut found = loader::look_up(library, self.name);
        if !found.is_null() && loader::is_own(found) {
            // What is called libcuda.so.1 here is the library that leads to this one first (`missile run --deepbind`).
            found = loader::look_up(libc::RTLD_NEXT, self.name);
        }
        let address = if found.is_null() || loader::is_own(found) { ABSENT } else { found };
        self.address.store(address, Ordering::Release);
        address
    }
}

/// A function of the driver's. `F` is its type.
pub(crate) struct Call<F> {
    symbol: Symbol,
    function: PhantomData<F>,
}

impl<F: Copy> Call<F> {
    const fn new(name: &'static CStr) -> Self {
        assert!(size_of::<F>() == size_of::<*mut c_void>());
        Call { symbol: Symbol::new(name), function: PhantomData }
    }

    /// The function, or `None` where the driver does not have it or is not there.
    #[inline]
    pub(crate) fn get(&self) -> Option<F> {
        // SAFETY: the address is what the driver's library has under this name, whose type the table gives as `F`;
        // `new` checked that `F` is as large as a pointer.
        self.symbol.address().map(|address| unsafe { std::mem::transmute_copy(&address) })
    }
}

macro_rules! declare {
    ($($name:ident($($ty:ty),*);)*) => {
        $(
            #[allow(non_upper_case_globals)]
            pub(crate) static $name: Call<unsafe extern "C" fn($($ty),*) -> CUresult> =
                Call::new(match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => panic!("a name with a NUL, seen by the compiler"),
                });
        )*
    };
}

macro_rules! table {
    ($($class:ident $kind:ident $name:ident($($arg:ident: $ty:ty),* $(,)?);)*) => {
        declare! { $($name($($ty),*);)* }

        /// The names of the governed functions, in the order of the table.
        pub(crate) const NAMES: [&str; [$(stringify!($name)),*].len()] = [$(stringify!($name)),*];
        /// The governed functions, in the same order.
        pub(crate) static GOVERNED: [&Symbol; NAMES.len()] = [$(&$name.symbol),*];
    };
}
abi::governed_functions!(table);

// Functions that the library calls itself and does not govern.
declare! {
    cuCtxGetCurrent(*mut CUcontext);
    cuCtxGetDevice(*mut CUdevice);
    cuDeviceGetCount(*mut c_int);
    cuDeviceGetAttribute(*mut c_int, c_int, CUdevice);
    cuDeviceGetUuid_v2(*mut [u8; 16], CUdevice);
    cuDevicePrimaryCtxGetState(CUdevice, *mut c_uint, *mut c_int);
    cuFuncGetAttribute(*mut c_int, c_int, CUfunction);
    cuGraphChildGraphNodeGetGraph(CUgraphNode, *mut CUgraph);
    cuGraphGetNodes(CUgraph, *mut CUgraphNode, *mut usize);
    cuGraphMemcpyNodeGetParams(CUgraphNode, *mut CUDA_MEMCPY3D);
    cuGraphNodeGetType(CUgraphNode, *mut c_uint);
    cuMemHostGetDevicePointer_v2(*mut CUdeviceptr, *mut c_void, c_uint);
    cuModuleGetFunction(*mut CUfunction, CUmodule, *const c_char);
    cuModuleLoadData(*mut CUmodule, *const c_void);
    cuOccupancyMaxActiveBlocksPerMultiprocessor(*mut c_int, CUfunction, c_int, usize);
    cuStreamGetCtx(CUstream, *mut CUcontext);
    cuStreamIsCapturing(CUstream, *mut c_uint);
    cuStreamWriteValue32_v2(CUstream, CUdeviceptr, u32, c_uint);
}
