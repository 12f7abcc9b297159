//! The physical addresses behind device memory, which `libmissile.so` tells.

use abi::export::{EXTENTS_SYMBOL, Extent, ExtentsFn};
use libloading::os::unix;
use units::{Bytes, DeviceVa};

/// The function of `libmissile.so` that knows which VRAM lies behind a range of addresses.
#[derive(Clone, Copy, Debug)]
pub struct Extents(ExtentsFn);

impl Extents {
    /// Finds the function, where this process runs with `libmissile.so`.
    pub fn find() -> Option<Extents> {
        // SAFETY: a symbol of this name is libmissile.so's, whose type the abi crate states.
        let found = unsafe { unix::Library::this().get::<ExtentsFn>(EXTENTS_SYMBOL.to_bytes_with_nul()) };
        // A preloaded library is not unloaded, so the function stays.
        Some(Extents(*found.ok()?))
    }

    /// The VRAM behind a range in rising order of addresses, or `None` if a part of it is not known.
    pub fn behind(self, va: DeviceVa, bytes: Bytes) -> Option<Vec<Extent>> {
        let mut found = vec![Extent::default(); 64];
        loop {
            // SAFETY: the function writes at most `found.len()` extents to `found`.
            let count = unsafe { (self.0)(va.get(), bytes.get(), found.as_mut_ptr(), found.len()) };
            let count = usize::try_from(count).ok()?;
            if count <= found.len() {
                found.truncate(count);
                return Some(found);
            }
            found.resize(count, Extent::default());
        }
    }
}
