//! The real driver's functions behind the governed names.

use crate::{broken, exports, symbols};
use abi::cuda::*;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The address of a function of this library, or null.
#[derive(Clone, Copy)]
struct Hook(*mut c_void);

// SAFETY: addresses of functions are constant and only handed out.
unsafe impl Sync for Hook {}

/// A name of the driver's, and its function, looked up once.
pub(crate) struct Symbol {
    name: &'static CStr,
    hook: Hook,
    address: AtomicPtr<c_void>,
}

/// Stands for "the driver has no such function".
const ABSENT: *mut c_void = std::ptr::dangling_mut();

impl Symbol {
    const fn new(name: &'static CStr, hook: *mut c_void) -> Self {
        Symbol { name, hook: Hook(hook), address: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Whether a test asks for a library that forgets this name.
    fn is_left_out(&self) -> bool {
        let ends = |end: &[u8]| self.name.to_bytes().ends_with(end);
        broken::is("no-per-thread") && (ends(b"_ptds") || ends(b"_ptsz"))
    }

    /// What stands for the function in a governed program; null where it is not governed.
    pub(crate) fn hook(&self) -> *mut c_void {
        self.hook.0
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
        let library = symbols::driver_library();
        if library.is_null() {
            // Not remembered: the driver may be loaded later.
            return ABSENT;
        }
        let mut found = symbols::look_up(library, self.name);
        if !found.is_null() && found == self.hook() {
            // What is called libcuda.so.1 here is the library that leads to this one first (`missile run --deepbind`).
            found = symbols::look_up(libc::RTLD_NEXT, self.name);
        }
        let address = if found.is_null() || found == self.hook() { ABSENT } else { found };
        self.address.store(address, Ordering::Release);
        address
    }
}

/// A function of the real driver. `F` is its type.
pub(crate) struct Real<F> {
    symbol: Symbol,
    function: PhantomData<F>,
}

impl<F: Copy> Real<F> {
    const fn new(name: &'static CStr, hook: *mut c_void) -> Self {
        assert!(size_of::<F>() == size_of::<*mut c_void>());
        Real { symbol: Symbol::new(name, hook), function: PhantomData }
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
    ($($name:ident($($ty:ty),*) -> $hook:expr;)*) => {
        $(
            #[allow(non_upper_case_globals)]
            pub(crate) static $name: Real<unsafe extern "C" fn($($ty),*) -> CUresult> =
                Real::new(match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => panic!("a name with a NUL, seen by the compiler"),
                }, $hook);
        )*
    };
}

macro_rules! table {
    ($($class:ident $kind:ident $name:ident($($arg:ident: $ty:ty),* $(,)?);)*) => {
        declare! { $($name($($ty),*) -> exports::$name as *mut c_void;)* }

        const NAMES: &[&str] = &[$(stringify!($name)),*];
        static GOVERNED: [&Symbol; NAMES.len()] = [$(&$name.symbol),*];
    };
}
abi::governed_functions!(table);

/// How many places the index of names has; a power of two, and at least half of them stay empty.
const PLACES: usize = 1024;
const _: () = assert!(NAMES.len() <= PLACES / 2);

/// Where each governed name is in the table, plus one, by its hash and then the next free place.
static INDEX: [u16; PLACES] = {
    let mut index = [0; PLACES];
    let mut row = 0;
    while row < NAMES.len() {
        let mut place = hash(NAMES[row].as_bytes());
        while index[place] != 0 {
            place = (place + 1) % PLACES;
        }
        index[place] = row as u16 + 1;
        row += 1;
    }
    index
};

/// FNV-1a, folded to a place.
const fn hash(name: &[u8]) -> usize {
    let mut hash: u32 = 0x811C_9DC5;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ name[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    (hash ^ hash >> 16) as usize % PLACES
}

/// The governed function of this name. Neither allocates nor locks, as every `dlsym` of the process comes here.
pub(crate) fn governed(name: &CStr) -> Option<&'static Symbol> {
    let name = name.to_bytes();
    if !name.starts_with(b"cu") {
        return None;
    }
    let mut place = hash(name);
    while INDEX[place] != 0 {
        let symbol = GOVERNED[usize::from(INDEX[place]) - 1];
        if symbol.name.to_bytes() == name {
            return Some(symbol).filter(|symbol| !symbol.is_left_out());
        }
        place = (place + 1) % PLACES;
    }
    None
}

/// The hook for an address that the driver itself gave out for one of its functions.
pub(crate) fn hook_by_address(address: *mut c_void) -> Option<*mut c_void> {
    let is_it = |symbol: &&&Symbol| symbol.address() == Some(address);
    let symbol = GOVERNED.iter().find(is_it).filter(|symbol| !symbol.is_left_out())?;
    if broken::is("no-nested-resolver") && symbol.name.to_bytes().starts_with(b"cuGetProcAddress") {
        return None;
    }
    if broken::is("newest-name") && symbol.name == c"cuMemcpyHtoD_v2_ptds" {
        return governed(c"cuMemcpyHtoD_v2").map(Symbol::hook);
    }
    Some(symbol.hook())
}

// Driver functions that the shim calls itself and does not govern.
macro_rules! own_use {
    ($($name:ident($($ty:ty),*);)*) => { declare! { $($name($($ty),*) -> std::ptr::null_mut();)* } };
}
own_use! {
    cuCtxGetDevice(*mut CUdevice);
    cuCtxSynchronize();
    cuDeviceGetCount(*mut c_int);
    cuDeviceGetUuid_v2(*mut [u8; 16], CUdevice);
    cuGraphChildGraphNodeGetGraph(CUgraphNode, *mut CUgraph);
    cuGraphGetNodes(CUgraph, *mut CUgraphNode, *mut usize);
    cuGraphMemcpyNodeGetParams(CUgraphNode, *mut CUDA_MEMCPY3D);
    cuGraphNodeGetType(CUgraphNode, *mut c_uint);
    cuStreamIsCapturing(CUstream, *mut c_uint);
    cuStreamSynchronize(CUstream);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_governed_name_is_found_and_no_other() {
        for name in NAMES {
            let c_name = std::ffi::CString::new(*name).expect("no NUL");
            let found = governed(&c_name).expect("in the index");
            assert_eq!(found.name, c_name.as_c_str());
        }
        for name in [c"cu", c"cuMemAlloc_v", c"cuMemAlloc_v22", c"cudnnCreate", c"cudaMalloc", c"curl_easy_init", c""] {
            assert!(governed(name).is_none(), "{name:?}");
        }
    }
}
