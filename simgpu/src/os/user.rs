//! Copies between the kernel modules and the program's memory.

use core::ffi::{c_int, c_void};

/// Why an `ioctl` itself fails, as against the status that a parameter carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Errno(pub c_int);

/// Copies a parameter in, whose size the request gave.
///
/// # Safety
/// `arg` is null or points to at least `size` readable bytes, and any bytes are a valid `T`.
pub(super) unsafe fn copy_in<T: Copy>(arg: *const c_void, size: usize) -> Result<T, Errno> {
    if size != size_of::<T>() {
        return Err(Errno(libc::EINVAL));
    }
    if arg.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: not null and, by the contract, as long as a `T`; unaligned reads ask for no more.
    Ok(unsafe { arg.cast::<T>().read_unaligned() })
}

/// Copies a parameter in, lets `change` work on it, and copies it out again.
///
/// # Safety
/// As for [`copy_in`], and the bytes are writable.
pub(super) unsafe fn update<T: Copy>(arg: *mut c_void, size: usize, change: impl FnOnce(&mut T)) -> Result<(), Errno> {
    // SAFETY: the caller's contract is the same.
    let mut value: T = unsafe { copy_in(arg, size) }?;
    change(&mut value);
    // SAFETY: `copy_in` found it not null and of a `T`'s size, and the contract makes it writable.
    unsafe { arg.cast::<T>().write_unaligned(value) };
    Ok(())
}
