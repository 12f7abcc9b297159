//! The requests that the pager issues itself, with the driver's own descriptors and client.

use super::forward;
use abi::rm::{self, MemoryParams, Nvos00, Nvos21};
use abi::uvm::{MapExternalAllocation, UnmapExternal, Uuid};
use abi::{RmEscape, UvmCommand};
use std::ffi::{c_int, c_ulong};
use units::{Bytes, DeviceVa};

/// The status for a request that `ioctl` itself refused.
const NV_FAILED: u32 = u32::MAX;

fn issue<T>(fd: c_int, request: c_ulong, parameter: &mut T, status: impl FnOnce(&T) -> u32) -> u32 {
    if forward(fd, request, std::ptr::from_mut(parameter).cast()) == 0 { status(parameter) } else { NV_FAILED }
}

/// Makes an object of VRAM under `parent`; its handle and parameters, or the status.
pub(crate) fn rm_alloc_memory(fd: c_int, client: u32, parent: u32, size: Bytes) -> Result<(u32, MemoryParams), u32> {
    let mut memory = MemoryParams {
        owner: client,
        flags: rm::FLAG_MAP_NOT_REQUIRED | rm::FLAG_IGNORE_BANK_PLACEMENT | rm::FLAG_ALIGNMENT_FORCE,
        attr: rm::ATTR_PAGE_SIZE_HUGE | rm::ATTR_CONTIGUOUS,
        attr2: rm::ATTR2_GPU_CACHEABLE | rm::ATTR2_NO_ZBC | rm::ATTR2_HUGE_2MB,
        format: rm::KIND_GENERIC,
        size: size.get(),
        alignment: Bytes::mib(2).get(),
        ..MemoryParams::default()
    };
    let mut call = Nvos21 {
        client,
        parent,
        class: rm::CLASS_MEMORY_LOCAL_USER,
        params: std::ptr::from_mut(&mut memory) as u64,
        ..Nvos21::default()
    };
    let request = RmEscape::Alloc.request(size_of::<Nvos21>());
    match issue(fd, request, &mut call, |call| call.status) {
        rm::NV_OK => Ok((call.object, memory)),
        status => Err(status),
    }
}

/// Frees an object.
pub(crate) fn rm_free(fd: c_int, client: u32, parent: u32, object: u32) -> u32 {
    let mut free = Nvos00 { client, parent, object, status: 0 };
    issue(fd, RmEscape::Free.request(size_of::<Nvos00>()), &mut free, |free| free.status)
}

/// Unmaps a range for one GPU.
pub(crate) fn uvm_unmap(fd: c_int, va: DeviceVa, len: Bytes, gpu: Uuid) -> u32 {
    let mut unmap = UnmapExternal { base: va.get(), length: len.get(), gpu, ..UnmapExternal::default() };
    issue(fd, UvmCommand::UnmapExternal.number(), &mut unmap, |unmap| unmap.status)
}

/// Maps what `map` says.
pub(crate) fn uvm_map(fd: c_int, map: &mut MapExternalAllocation) -> u32 {
    map.status = 0;
    issue(fd, UvmCommand::MapExternalAllocation.number(), map, |map| map.status)
}
