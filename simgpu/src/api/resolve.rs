//! `cuGetProcAddress`: which function a program means by a name, a CUDA version and a kind of default stream.

mod table;

use super::put;
use crate::objects::Outcome;
use crate::objects::driver::API_VERSION;
use abi::cuda::*;
use std::ffi::{CStr, c_char, c_int, c_void};
use table::TABLE;

/// cuda.h: `CUdriverProcAddressQueryResult`.
const FOUND: c_int = 0;
const NOT_FOUND: c_int = 1;
const VERSION_NOT_SUFFICIENT: c_int = 2;

/// One function that programs can ask for.
struct Row {
    /// The name without version and stream suffix.
    name: &'static str,
    /// The first CUDA version that means this function by the name.
    since: c_int,
    function: Function,
    /// The spelling with the per-thread default stream, where there is one.
    per_thread: Option<Function>,
}

/// The address of an exported function.
#[derive(Clone, Copy)]
struct Function(*mut c_void);

// SAFETY: the addresses of functions are constant and only handed out.
unsafe impl Sync for Function {}

/// The first version whose headers have per-thread default streams.
const PER_THREAD_SINCE: c_int = 7000;

/// The function that a name means; the status says why it means nothing. Of a name that has a per-thread spelling, the older ones
/// that have none mean nothing to a program with per-thread default streams.
fn find(name: &str, version: c_int, per_thread: bool) -> Result<*mut c_void, c_int> {
    let rows = || TABLE.iter().filter(|row| row.name == name);
    let twins = per_thread && rows().any(|row| row.per_thread.is_some());
    let means = |row: &Row| match (twins, row.per_thread) {
        (false, _) => Some((row.since, row.function)),
        (true, Some(twin)) => Some((row.since.max(PER_THREAD_SINCE), twin)),
        (true, None) => None,
    };
    match rows().filter_map(means).filter(|(since, _)| *since <= version).max_by_key(|(since, _)| *since) {
        Some((_, function)) => Ok(function.0),
        None if rows().next().is_some() => Err(VERSION_NOT_SUFFICIENT),
        None => Err(NOT_FOUND),
    }
}

/// The answer and the status of a look-up.
fn resolve(symbol: *const c_char, pfn: *mut *mut c_void, version: c_int, flags: u64) -> Outcome<c_int> {
    if symbol.is_null() || pfn.is_null() || flags > CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    // SAFETY: not null, and a place for the answer, as cuda.h demands; so below.
    unsafe { put(pfn, core::ptr::null_mut()) }?;
    if version > API_VERSION {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    // SAFETY: not null, so a NUL-terminated name, as cuda.h demands.
    let name = unsafe { CStr::from_ptr(symbol) }.to_str().unwrap_or_default();
    match find(name, version, flags == CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) {
        // SAFETY: as above.
        Ok(found) => unsafe { put(pfn, found) }.map(|()| FOUND),
        Err(status) => Ok(status),
    }
}

export! {
    fn cuGetProcAddress(symbol: *const c_char, pfn: *mut *mut c_void, version: c_int, flags: u64) {
        match resolve(symbol, pfn, version, flags)? {
            FOUND => Ok(()),
            _ => Err(CUDA_ERROR_NOT_FOUND),
        }
    }

    /// Succeeds also where it finds nothing, and says so in the status.
    fn cuGetProcAddress_v2(
        symbol: *const c_char,
        pfn: *mut *mut c_void,
        version: c_int,
        flags: u64,
        status: *mut c_int,
    ) {
        let found = resolve(symbol, pfn, version, flags)?;
        if status.is_null() {
            return Ok(());
        }
        // SAFETY: not null, and a place for the status, as cuda.h demands.
        unsafe { put(status, found) }
    }
}
