//! The driver's library, found as programs find it.

use crate::DriverError;
use crate::error::UNKNOWN;
use libloading::os::unix;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};

/// The name that the CUDA runtime and every framework load the driver by.
pub(crate) const NAME: &str = "libcuda.so.1";

/// `libcuda.so.1`, loaded into this process by the dynamic linker's own search, so that `LD_LIBRARY_PATH` chooses it.
#[derive(Debug)]
pub struct Library {
    library: unix::Library,
}

impl Library {
    /// Loads the driver's library; nothing of it is started.
    pub fn load() -> Result<Library, DriverError> {
        Ok(Library { library: open(NAME).map_err(DriverError::NoLibrary)? })
    }

    /// Looks up the address of a function by its exported name.
    pub fn address(&self, name: &str) -> Option<*mut c_void> {
        let name = CString::new(name).ok()?;
        // SAFETY: the symbol is used as an address only; a caller of it vouches for its type.
        let found = unsafe { self.library.get::<*mut c_void>(name.as_bytes_with_nul()) };
        found.ok().map(|symbol| *symbol).filter(|address| !address.is_null())
    }

    /// Starts the driver (`cuInit`).
    ///
    /// The answer is read as a number, which cudarc does not: its `CUresult` is an enum of the codes that cuda.h of
    /// CUDA 13.4 has, and a newer driver that does not start may answer another.
    pub fn init(&self) -> Result<(), DriverError> {
        let name = "cuInit";
        // SAFETY: cuda.h declares `CUresult cuInit(unsigned int)`.
        let init = unsafe { self.library.get::<unsafe extern "C" fn(c_uint) -> c_uint>(name.as_bytes()) };
        let init = init.map_err(|source| DriverError::NoFunction { function: name, source })?;
        // SAFETY: cuInit takes no pointers, and any process may call it.
        match unsafe { init(0) } {
            0 => Ok(()),
            code => Err(DriverError::Refused { call: name, code, name: self.name_of(code) }),
        }
    }

    /// The driver's name for an answer.
    fn name_of(&self, code: c_uint) -> String {
        type NameOf = unsafe extern "C" fn(c_uint, *mut *const c_char) -> c_uint;
        let mut name = std::ptr::null();
        // SAFETY: cuda.h declares `CUresult cuGetErrorName(CUresult, const char **)`.
        let Ok(name_of) = (unsafe { self.library.get::<NameOf>(b"cuGetErrorName") }) else {
            return UNKNOWN.to_owned();
        };
        // SAFETY: `name` is a live place for a pointer.
        if unsafe { name_of(code, &mut name) } != 0 || name.is_null() {
            return UNKNOWN.to_owned();
        }
        // SAFETY: on success the driver gives a NUL-terminated string that lives as long as its library.
        unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
    }

    /// Checks that cudarc, which tries other names before [`NAME`], will come to this library; returns the name under
    /// which it would find another.
    pub(crate) fn other_of_cudarc(&self) -> Option<String> {
        let (name, found) = cudarc::get_lib_name_candidates("cuda")
            .into_iter()
            .find_map(|name| Some((name.clone(), open(&name).ok()?)))?;
        let own = open(NAME).ok()?;
        (raw(found) != raw(own)).then_some(name)
    }
}

/// Loads a library that is called like the driver.
fn open(name: &str) -> Result<unix::Library, libloading::Error> {
    const FLAGS: c_int = unix::RTLD_LAZY | unix::RTLD_LOCAL;
    // SAFETY: the driver's library is made to be loaded by any program; its constructors have no preconditions.
    unsafe { unix::Library::open(Some(name), FLAGS) }
}

/// The dynamic linker's handle of a library, which is one for each library. The library stays loaded.
fn raw(library: unix::Library) -> *mut c_void {
    library.into_raw()
}
