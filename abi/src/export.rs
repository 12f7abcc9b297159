//! Exports of `libmissile.so` to its companions, beside the driver's names.

use core::ffi::c_int;

/// A stretch of a process's GPU address space and the VRAM behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Extent {
    /// The first virtual address.
    pub va: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The physical address of the first byte.
    pub phys: u64,
}

const _: () = assert!(size_of::<Extent>() == 24);

/// The name of the function that tells the VRAM behind a range, of type [`ExtentsFn`].
pub const EXTENTS_SYMBOL: &core::ffi::CStr = c"missile_extents";

/// `missile_extents(va, bytes, out, max)`: writes the extents of `[va, va + bytes)` in rising order, at most `max` of
/// them, and returns how many there are (which may be more than `max`), or -1 where a part of the range is not known.
pub type ExtentsFn = unsafe extern "C" fn(va: u64, bytes: u64, out: *mut Extent, max: usize) -> c_int;
