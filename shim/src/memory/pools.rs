//! Pools and properties of memory that may leave the process by a handle: its pages have to stay those that the driver
//! knows.

use crate::driver::objects::OBJECTS;
use crate::driver::query;
use abi::cuda::*;
use std::ffi::{c_uint, c_void};

/// cuda.h: `CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR` and `CU_MEM_HANDLE_TYPE_FABRIC`.
const BY_HANDLE: c_uint = 1 | 8;

/// Whether memory with these properties is plain: not compressible, not for sparse arrays.
///
/// That a handle may be asked for it, or another device may get at it, is no hindrance: PyTorch's expandable segments and
/// JAX always ask that they may, and hardly ever do. As it is done, the memory gets its own pages back ([`super::share`]).
pub(crate) fn is_plain(properties: &CUmemAllocationProp) -> bool {
    let CUmemAllocationPropFlags { compressionType, usage, .. } = properties.allocFlags;
    properties.requestedHandleTypes & !BY_HANDLE == 0 && compressionType == 0 && usage == 0
}

/// Whether the memory of a pool with these properties may leave the process (cuda.h: `CUmemPoolProps`: a type, then the
/// handle types).
///
/// # Safety
/// `properties` are null or those that the driver accepted.
pub(crate) unsafe fn are_exportable(properties: *const c_void) -> bool {
    // SAFETY: not null, so the caller's; the structure begins with two enumerations.
    !properties.is_null() && unsafe { properties.cast::<[c_uint; 2]>().read_unaligned() }[1] != 0
}

/// Whether memory of this pool may leave the process; without one, of the pool that the current GPU allocates from.
pub(crate) fn is_exportable(pool: Option<CUmemoryPool>) -> bool {
    if OBJECTS.exportable_pools.is_empty() {
        return false;
    }
    // Where the driver does not say, the memory might be one of those.
    let pool = pool.or_else(query::current_pool);
    pool.is_none_or(|pool| OBJECTS.exportable_pools.look(pool, |()| ()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(handles: c_uint, compression: u8, usage: u16) -> CUmemAllocationProp {
        // SAFETY: integers and pointers, for which zero is valid.
        let mut properties: CUmemAllocationProp = unsafe { std::mem::zeroed() };
        properties.requestedHandleTypes = handles;
        (properties.allocFlags.compressionType, properties.allocFlags.usage) = (compression, usage);
        properties
    }

    #[test]
    fn memory_that_may_be_handed_out_is_plain_and_memory_of_a_special_kind_is_not() {
        for handles in [0, 1, 8, 9] {
            assert!(is_plain(&properties(handles, 0, 0)));
        }
        assert!(!is_plain(&properties(2, 0, 0)), "a Windows handle");
        assert!(!is_plain(&properties(0, 1, 0)), "compressible");
        assert!(!is_plain(&properties(0, 0, 1)), "for sparse arrays");
    }
}
