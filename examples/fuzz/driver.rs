//! The driver: governed functions by their rows, and the others that the client needs.
//!
//! Functions are called at their addresses, with the types of Missile's own table: cudarc has none of the per-thread
//! spellings and few old versions, and its enums must not get illegal values.

use crate::table::{ROWS, Row};
use abi::cuda::*;
use client::{DriverError, Library};
use std::collections::BTreeMap;
use std::ffi::{CString, c_int, c_void};

/// Kernels that the simulated GPU can run, and one that it cannot.
const PTX: &[u8] = b".version 6.0\n.target sm_60\n\
    // simgpu: fill\n.entry fuzz_fill()\n// simgpu: checksum\n.entry fuzz_checksum()\n.entry fuzz_unknown()\n\0";
/// Their names.
pub const KERNELS: [&[u8]; 3] = [b"fuzz_fill\0", b"fuzz_checksum\0", b"fuzz_unknown\0"];
/// CUDA versions by which names are looked up at first.
const VERSIONS: [c_int; 6] = [3020, 4000, 7000, 11_030, 12_000, 13_000];

/// The driver's functions.
pub struct Driver {
    library: Library,
    governed: Vec<usize>,
    rows: BTreeMap<&'static str, usize>,
}

impl Driver {
    /// Loads the library and finds every function that it has.
    pub fn load() -> Result<Driver, DriverError> {
        let library = Library::load()?;
        let rows = ROWS.iter().enumerate().map(|(index, row)| (row.name, index)).collect();
        let mut driver = Driver { library, governed: Vec::new(), rows };
        driver.governed = ROWS.iter().map(|row| driver.find(row.name)).collect();
        Ok(driver)
    }

    /// The address of a function, or 0.
    fn find(&self, name: &str) -> usize {
        self.library.address(name).map_or(0, |address| address as usize)
    }

    /// Whether the driver has the function of a row.
    pub fn has(&self, row: usize) -> bool {
        self.governed[row] != 0
    }

    /// Calls the function of a row.
    pub fn call(&self, row: usize, arguments: &[u64]) -> CUresult {
        let address = self.governed[row];
        if address == 0 {
            return CUDA_ERROR_NOT_FOUND;
        }
        // SAFETY: the address was found under the row's name; the arguments were drawn for it.
        unsafe { (ROWS[row].call)(address as *mut c_void, arguments) }
    }

    /// Calls a governed function by its name.
    pub fn governed(&self, name: &str, arguments: &[u64]) -> CUresult {
        self.rows.get(name).map_or(CUDA_ERROR_NOT_FOUND, |&row| self.call(row, arguments))
    }

    /// Calls a function that is not governed and takes words or addresses only.
    pub fn other(&self, name: &str, [a, b, c]: [u64; 3]) -> CUresult {
        let address = self.find(name);
        if address == 0 {
            return CUDA_ERROR_NOT_FOUND;
        }
        // SAFETY: on x86-64, a function of up to three integers or addresses may be given three in words.
        unsafe {
            let function: unsafe extern "C" fn(u64, u64, u64) -> CUresult = std::mem::transmute(address);
            function(a, b, c)
        }
    }

    /// The handles of the kernels, in a module made for the current context.
    pub fn kernels(&self) -> Vec<u64> {
        let mut module = 0u64;
        self.other("cuModuleLoadData", [&raw mut module as u64, PTX.as_ptr() as u64, 0]);
        let function = |name: &&[u8]| {
            let mut function = 0u64;
            let code = self.other("cuModuleGetFunction", [&raw mut function as u64, module, name.as_ptr() as u64]);
            (code == CUDA_SUCCESS).then_some(function)
        };
        KERNELS.iter().filter_map(function).collect()
    }

    /// Which function of the table each name means by version and default stream: its row, or that it is none of
    /// them, or the error.
    pub fn resolved(&self) -> Vec<u64> {
        let Some(&resolver) = self.rows.get("cuGetProcAddress_v2") else { return Vec::new() };
        let ask = |row: &Row, version: c_int, flags: u64| {
            let name = CString::new(plain(row.name)).unwrap_or_default();
            let (mut found, mut status) = (0u64, -1);
            let places = (&raw mut found as u64, &raw mut status as u64);
            let code = self.call(resolver, &[name.as_ptr() as u64, places.0, version as u64, flags, places.1]);
            match self.governed.iter().position(|&address| address as u64 == found) {
                _ if code != CUDA_SUCCESS => u64::from(code),
                _ if found == 0 => 1 << 32 | u64::from(status as u32),
                Some(row) => 1 << 33 | row as u64,
                None => 1 << 34,
            }
        };
        let each = |row| VERSIONS.map(|version| [1, 2].map(|flags| ask(row, version, flags)));
        ROWS.iter().flat_map(|row| each(row).into_iter().flatten()).collect()
    }
}

/// A name without version and stream suffix.
pub fn plain(name: &str) -> &str {
    let name = name.trim_end_matches("_ptds").trim_end_matches("_ptsz");
    match name.rsplit_once("_v") {
        Some((plain, version)) if version.len() == 1 => plain,
        _ => name,
    }
}
