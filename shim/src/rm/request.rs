//! The requests that the pager makes itself, with the driver's own descriptors and client.

use super::call::{Status, issue};
use abi::rm::{self, MemoryParams, Nvos00, Nvos21};
use abi::uvm::{MapExternalAllocation, UnmapExternal};
use std::ffi::c_int;
use units::Bytes;

/// Makes an object of VRAM under `parent`; its handle and parameters.
pub(crate) fn alloc_memory(fd: c_int, client: u32, parent: u32, size: Bytes) -> Result<(u32, MemoryParams), Status> {
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
    // SAFETY: the parameters are those of the class, and outlive the call.
    unsafe { issue(fd, &mut call) }?;
    Ok((call.object, memory))
}

/// Frees an object.
pub(crate) fn free(fd: c_int, client: u32, parent: u32, object: u32) -> Result<(), Status> {
    let mut free = Nvos00 { client, parent, object, status: 0 };
    // SAFETY: the structure has no pointers.
    unsafe { issue(fd, &mut free) }
}

/// Unmaps what a request of the driver's mapped.
pub(crate) fn unmap(fd: c_int, map: &MapExternalAllocation) -> Result<(), Status> {
    let gpu = map.attributes[0].gpu;
    let mut unmap = UnmapExternal { base: map.base, length: map.length, gpu, ..UnmapExternal::default() };
    // SAFETY: the structure has no pointers.
    unsafe { issue(fd, &mut unmap) }
}

/// Maps what `map` says.
pub(crate) fn map(fd: c_int, map: &mut MapExternalAllocation) -> Result<(), Status> {
    map.status = 0;
    // SAFETY: the structure has no pointers.
    unsafe { issue(fd, map) }
}
