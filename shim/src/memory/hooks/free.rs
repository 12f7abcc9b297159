//! Freeing: the driver unmaps the range, and the `ioctl` interposer gives back what the pager put beneath it.

use crate::base::shield::shielded;
use crate::driver::objects::{OBJECTS, Physical, free};
use abi::cuda::{CUDA_SUCCESS, CUdeviceptr, CUmemGenericAllocationHandle, CUmemoryPool, CUresult};
use units::DeviceVa;

/// An allocation at an address of its own.
pub(crate) fn linear(forward: impl FnOnce() -> CUresult, dptr: CUdeviceptr) -> CUresult {
    free(&OBJECTS.allocations, DeviceVa::new(dptr), forward)
}

/// A pool.
pub(crate) fn pool(forward: impl FnOnce() -> CUresult, pool: CUmemoryPool) -> CUresult {
    free(&OBJECTS.exportable_pools, pool, forward)
}

/// A hold on a handle, with the last of which the handle goes.
pub(crate) fn physical(forward: impl FnOnce() -> CUresult, handle: CUmemGenericAllocationHandle) -> CUresult {
    let last = |known: &mut Physical| {
        known.holds = known.holds.saturating_sub(1);
        known.holds == 0
    };
    let taken = shielded(|| OBJECTS.handles.take_if(handle, last)).flatten();
    let result = forward();
    if result != CUDA_SUCCESS {
        shielded(|| {
            if let Some(taken) = taken {
                OBJECTS.handles.put_back(taken);
            }
            OBJECTS.handles.take_if(handle, |known| {
                known.holds += 1;
                false
            });
        });
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::cuda::CUDA_ERROR_INVALID_VALUE;

    fn holds(handle: CUmemGenericAllocationHandle) -> Option<u32> {
        OBJECTS.handles.look(handle, |known| known.holds).map(|(_, holds)| holds)
    }

    #[test]
    fn a_handle_is_known_until_its_last_hold_is_let_go() {
        let handle = CUmemGenericAllocationHandle(0x10);
        OBJECTS.handles.insert(handle, Physical { object: (1, 2), holds: 2 });
        physical(|| CUDA_SUCCESS, handle);
        assert_eq!(holds(handle), Some(1));
        physical(|| CUDA_ERROR_INVALID_VALUE, handle);
        assert_eq!(holds(handle), Some(1), "the driver refused");
        physical(|| CUDA_SUCCESS, handle);
        assert_eq!(holds(handle), None);
    }

    #[test]
    fn a_handle_that_another_thread_got_during_the_last_release_stays() {
        let handle = CUmemGenericAllocationHandle(0x20);
        OBJECTS.handles.insert(handle, Physical { object: (1, 2), holds: 1 });
        let again = || {
            OBJECTS.handles.insert(handle, Physical { object: (3, 4), holds: 1 });
            CUDA_SUCCESS
        };
        physical(again, handle);
        assert_eq!(OBJECTS.handles.look(handle, |known| known.object).map(|(_, object)| object), Some((3, 4)));
    }

    #[test]
    fn an_allocation_that_another_thread_got_during_a_free_keeps_its_size() {
        use units::Bytes;
        let va = DeviceVa::new(0x7000_0000);
        OBJECTS.allocations.insert(va, Bytes::mib(2));
        let again = || {
            OBJECTS.allocations.insert(va, Bytes::mib(4));
            CUDA_SUCCESS
        };
        linear(again, va.get());
        assert_eq!(OBJECTS.allocations.look(va, |&bytes| bytes).map(|(_, bytes)| bytes), Some(Bytes::mib(4)));
    }
}
