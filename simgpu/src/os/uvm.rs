//! The unified-memory module: external ranges of addresses, and what is mapped into them.

pub(super) mod pages;

use super::files::FileId;
use super::memory::Handle;
use super::rm::clients::{Kind, Rm, status};
use super::user::{Errno, update};
use crate::machine::Machine;
use abi::UvmCommand;
use abi::rm::*;
use abi::uvm::*;
use core::ffi::{c_int, c_void};
use pages::{Pages, Run};
use std::collections::BTreeMap;
use std::sync::Arc;
use units::Bytes;

/// `NV_ERR_GPU_UUID_NOT_FOUND`.
const NV_ERR_GPU_UUID_NOT_FOUND: u32 = 0x12;
/// `NV_ERR_ILLEGAL_ACTION`: the file has not been initialized.
const NV_ERR_ILLEGAL_ACTION: u32 = 0x16;
/// `NV_ERR_INVALID_DEVICE`: the GPU is not registered, or not in that way.
const NV_ERR_INVALID_DEVICE: u32 = 0x26;

const PAGE: Bytes = Bytes::kib(4);
/// The page sizes of Hopper's mappings, largest first.
const PAGE_SIZES: [Bytes; 4] = [Bytes::mib(512), Bytes::mib(2), Bytes::kib(64), PAGE];
/// The last of the mapping types and of the caching types.
const LAST_MAPPING: u32 = 3;
const LAST_CACHING: u32 = 2;

/// The surroundings that the module asks.
pub(super) struct World<'a> {
    pub(super) machine: &'static Machine,
    pub(super) rm: &'a Rm,
    /// The open `/dev/nvidiactl` behind a descriptor.
    pub(super) control: &'a dyn Fn(c_int) -> Option<FileId>,
}

/// The process's GPU address space.
#[derive(Default)]
pub(super) struct Uvm {
    initialized: bool,
    gpu: bool,
    vaspace: bool,
    /// External ranges: first address to the one behind the last.
    ranges: BTreeMap<u64, u64>,
    pages: Pages,
}

impl Uvm {
    pub(super) fn pages(&self) -> &Pages {
        &self.pages
    }

    /// # Safety
    /// `arg` is null or points to the command's parameter.
    pub(super) unsafe fn serve(
        &mut self,
        world: &World<'_>,
        command: UvmCommand,
        arg: *mut c_void,
    ) -> Result<(), Errno> {
        /// # Safety
        /// `arg` is null or points to a `T`, any bytes of which are valid.
        unsafe fn with<T: Copy>(arg: *mut c_void, change: impl FnOnce(&mut T)) -> Result<(), Errno> {
            // SAFETY: the caller's contract, for the size of a `T`.
            unsafe { update(arg, size_of::<T>(), change) }
        }
        let ready = if self.initialized { Ok(()) } else { Err(NV_ERR_ILLEGAL_ACTION) };
        // SAFETY: the caller answers for `arg` as the command's parameter, all of which are plain integers.
        unsafe {
            match command {
                UvmCommand::Initialize => with(arg, |p: &mut Initialize| {
                    self.initialized = true;
                    p.status = NV_OK;
                }),
                UvmCommand::Deinitialize => {
                    *self = Uvm::default();
                    Ok(())
                }
                UvmCommand::RegisterGpu => with(arg, |p: &mut RegisterGpu| {
                    p.numa_enabled = 0;
                    p.numa_node = -1;
                    p.status = status(ready.and_then(|()| self.register_gpu(world, p)));
                }),
                UvmCommand::RegisterGpuVaspace => with(arg, |p: &mut RegisterGpuVaspace| {
                    p.status = status(ready.and_then(|()| self.register_vaspace(world, p)));
                }),
                UvmCommand::CreateExternalRange => with(arg, |p: &mut Range| {
                    p.status = status(ready.and_then(|()| self.create(p)));
                }),
                UvmCommand::ValidateVaRange => with(arg, |p: &mut Range| {
                    p.status = status(ready.and_then(|()| self.exact(p).map(drop)));
                }),
                UvmCommand::Free => with(arg, |p: &mut Range| {
                    p.status = status(ready.and_then(|()| self.free(p)));
                }),
                UvmCommand::MapExternalAllocation => with(arg, |p: &mut MapExternalAllocation| {
                    p.status = status(ready.and_then(|()| self.map(world, p)));
                }),
                UvmCommand::UnmapExternal => with(arg, |p: &mut UnmapExternal| {
                    p.status = status(ready.and_then(|()| self.unmap(world, p)));
                }),
            }
        }
    }

    fn register_gpu(&mut self, world: &World<'_>, p: &RegisterGpu) -> Result<(), u32> {
        if p.gpu != world.machine.spec().uuid {
            return Err(NV_ERR_GPU_UUID_NOT_FOUND);
        }
        self.gpu = true;
        Ok(())
    }

    fn register_vaspace(&mut self, world: &World<'_>, p: &RegisterGpuVaspace) -> Result<(), u32> {
        if !self.gpu || self.vaspace || p.gpu != world.machine.spec().uuid {
            return Err(NV_ERR_INVALID_DEVICE);
        }
        let file = (world.control)(p.rm_ctrl_fd).ok_or(NV_ERR_INVALID_ARGUMENT)?;
        match world.rm.object(file, p.client, p.vaspace)?.kind {
            Kind::Vaspace => self.vaspace = true,
            _ => return Err(NV_ERR_INVALID_ARGUMENT),
        }
        Ok(())
    }

    fn create(&mut self, p: &Range) -> Result<(), u32> {
        let end = stretch(p.base, p.length)?;
        if self.ranges.range(..end).next_back().is_some_and(|(_, &stop)| stop > p.base) {
            return Err(NV_ERR_UVM_ADDRESS_IN_USE);
        }
        self.ranges.insert(p.base, end);
        Ok(())
    }

    /// The end of the range that was created with just this base and length.
    fn exact(&self, p: &Range) -> Result<u64, u32> {
        let end = stretch(p.base, p.length)?;
        if self.ranges.get(&p.base) == Some(&end) { Ok(end) } else { Err(NV_ERR_INVALID_ADDRESS) }
    }

    fn free(&mut self, p: &Range) -> Result<(), u32> {
        let end = self.exact(p)?;
        // No mapping reaches over the edge of its range.
        self.pages.clear(p.base, end).map_err(|_| NV_ERR_INVALID_ADDRESS)?;
        self.ranges.remove(&p.base);
        Ok(())
    }

    /// The end of a stretch that lies in one range.
    fn within(&self, base: u64, length: u64) -> Result<u64, u32> {
        let end = stretch(base, length)?;
        let range = self.ranges.range(..=base).next_back();
        if range.is_some_and(|(_, &stop)| end <= stop) { Ok(end) } else { Err(NV_ERR_INVALID_ADDRESS) }
    }

    /// As in the real module, what was mapped there goes first and does not come back if the rest fails.
    fn map(&mut self, world: &World<'_>, p: &MapExternalAllocation) -> Result<(), u32> {
        self.check_attributes(world, p)?;
        let end = self.within(p.base, p.length)?;
        if !Bytes::new(p.offset).is_multiple_of(PAGE) {
            return Err(NV_ERR_INVALID_ARGUMENT);
        }
        let file = (world.control)(p.rm_ctrl_fd).ok_or(NV_ERR_INVALID_ARGUMENT)?;
        self.pages.clear(p.base, end).map_err(|_| NV_ERR_INVALID_ADDRESS)?;
        let memory = world.rm.memory(file, p.client, p.memory)?;
        if p.offset.checked_add(p.length).is_none_or(|end| end > memory.bytes.get()) {
            return Err(NV_ERR_INVALID_OFFSET);
        }
        let page = mapping_page(memory.page, p.base | p.length | p.offset).ok_or(NV_ERR_INVALID_ADDRESS)?;
        if memory.compressible && page < memory.page {
            return Err(NV_ERR_NOT_SUPPORTED);
        }
        let handle = Arc::new(Handle::take(Arc::clone(memory)).ok_or(NV_ERR_INSUFFICIENT_RESOURCES)?);
        let run = Run { bytes: Bytes::new(p.length), offset: Bytes::new(p.offset), page, handle };
        self.pages.insert(p.base, run);
        Ok(())
    }

    /// The rest of a mapping that fails after the first checks.
    pub(super) fn clear(&mut self, p: &MapExternalAllocation) {
        if let Ok(end) = self.within(p.base, p.length) {
            // Where a page would be cut, nothing is cleared, as by `map`.
            let _ = self.pages.clear(p.base, end);
        }
    }

    fn check_attributes(&self, world: &World<'_>, p: &MapExternalAllocation) -> Result<(), u32> {
        // There is one GPU, so one entry at most can be right.
        let attributes = match p.attributes_count {
            1 => &p.attributes[0],
            0 => return Err(NV_ERR_INVALID_ARGUMENT),
            count if count > MAX_GPUS as u64 => return Err(NV_ERR_INVALID_ARGUMENT),
            _ => return Err(NV_ERR_INVALID_DEVICE),
        };
        if !self.vaspace || attributes.gpu != world.machine.spec().uuid {
            return Err(NV_ERR_INVALID_DEVICE);
        }
        if attributes.mapping > LAST_MAPPING || attributes.caching > LAST_CACHING {
            return Err(NV_ERR_INVALID_ARGUMENT);
        }
        Ok(())
    }

    fn unmap(&mut self, world: &World<'_>, p: &UnmapExternal) -> Result<(), u32> {
        let end = self.within(p.base, p.length)?;
        if !self.vaspace || p.gpu != world.machine.spec().uuid {
            return Err(NV_ERR_INVALID_DEVICE);
        }
        self.pages.clear(p.base, end).map_err(|_| NV_ERR_INVALID_ADDRESS)
    }
}

/// The end of a stretch of whole pages.
fn stretch(base: u64, length: u64) -> Result<u64, u32> {
    if base == 0 || length == 0 || !Bytes::new(base | length).is_multiple_of(PAGE) {
        return Err(NV_ERR_INVALID_ADDRESS);
    }
    base.checked_add(length).ok_or(NV_ERR_INVALID_ADDRESS)
}

/// The largest page size that divides the object's and everything that `bits` was or-ed together from.
fn mapping_page(object: Bytes, bits: u64) -> Option<Bytes> {
    PAGE_SIZES.into_iter().find(|page| (object.get() | bits).is_multiple_of(page.get()))
}
