//! The governed names, and the functions that stand for them.

use crate::base::inject;
use crate::driver::calls::{GOVERNED, NAMES, Symbol};
use std::ffi::{CStr, c_void};

/// Places of the index of names; a power of two, and at least half of them stay empty.
const PLACES: usize = 1024;
const _: () = assert!(NAMES.len() <= PLACES / 2);

/// The row of each governed name, plus one, by the name's hash and then the next free place.
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

/// The row of the governed function of this name. Neither allocates nor locks, as every `dlsym` of the process comes here.
fn row(name: &CStr) -> Option<usize> {
    let name = name.to_bytes();
    if !name.starts_with(b"cu") {
        return None;
    }
    let mut place = hash(name);
    while INDEX[place] != 0 {
        let row = usize::from(INDEX[place]) - 1;
        if NAMES[row].as_bytes() == name {
            return Some(row).filter(|&row| !GOVERNED[row].is_left_out());
        }
        place = (place + 1) % PLACES;
    }
    None
}

/// Whether a function of the driver's is governed.
pub(crate) fn is_governed(name: &CStr) -> bool {
    row(name).is_some()
}

/// The functions that stand for the driver's in a governed program, in the order of the table.
pub(crate) struct Hooks([*mut c_void; NAMES.len()]);

// SAFETY: addresses of functions are constant and only handed out.
unsafe impl Sync for Hooks {}

impl Hooks {
    /// The hooks at these addresses, a row each.
    pub(crate) const fn new(addresses: [*mut c_void; NAMES.len()]) -> Self {
        Hooks(addresses)
    }

    /// The hook of this name, and the function that it stands for.
    pub(crate) fn named(&self, name: &CStr) -> Option<(*mut c_void, &'static Symbol)> {
        row(name).map(|row| (self.0[row], GOVERNED[row]))
    }

    /// The hook for an address that the driver itself gave out for one of its functions.
    pub(crate) fn for_address(&self, address: *mut c_void) -> Option<*mut c_void> {
        let row = GOVERNED.iter().position(|symbol| symbol.address() == Some(address))?;
        let symbol = GOVERNED[row];
        if symbol.is_left_out() {
            return None;
        }
        if inject::is("no-nested-resolver") && symbol.name().to_bytes().starts_with(b"cuGetProcAddress") {
            return None;
        }
        if inject::is("newest-name") && symbol.name() == c"cuMemcpyHtoD_v2_ptds" {
            return self.named(c"cuMemcpyHtoD_v2").map(|(hook, _)| hook);
        }
        Some(self.0[row])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_governed_name_is_found_and_no_other() {
        for (at, name) in NAMES.iter().enumerate() {
            let name = std::ffi::CString::new(*name).expect("no NUL");
            assert_eq!(row(&name), Some(at));
        }
        for name in [c"cu", c"cuMemAlloc_v", c"cuMemAlloc_v22", c"cudnnCreate", c"cudaMalloc", c"curl_easy_init", c""] {
            assert!(!is_governed(name), "{name:?}");
        }
    }
}
