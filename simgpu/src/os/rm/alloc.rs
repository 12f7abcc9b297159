//! The resource manager's allocation of objects.

use super::clients::{Caller, Kind, NV_ERR_INVALID_OBJECT_PARENT, Rm};
use super::groups;
use crate::os::files::Device;
use crate::os::memory::Memory;
use crate::os::user::copy_in;
use crate::spec::GRANULE;
use abi::groups::{CLASS_CHANNEL_GROUP, is_channel_class};
use abi::rm::*;
use core::ffi::c_void;
use std::sync::Arc;
use units::Bytes;

/// `NVOS32_ALLOC_FLAGS_FIXED_ADDRESS_ALLOCATE` and `…_USE_BEGIN_END`: the caller chooses the place.
const FLAGS_PLACED: u32 = 0x10 | 0x2_0000;
/// `NVOS32_ATTR_PAGE_SIZE` and `NVOS32_ATTR_PHYSICALITY`, the whole fields.
const ATTR_PAGE_SIZE: u32 = 3 << 23;
const ATTR_PHYSICALITY: u32 = 3 << 27;
/// `NVOS32_ATTR_COMPR`, the whole field; what is wanted if it can be had, and what is granted.
const ATTR_COMPR: u32 = 3 << 12;
const ATTR_COMPR_ANY: u32 = 2 << 12;
const ATTR_COMPR_REQUIRED: u32 = 1 << 12;

const PAGE_4K: Bytes = Bytes::kib(4);
const PAGE_BIG: Bytes = Bytes::kib(64);
const PAGE_HUGE: Bytes = Bytes::mib(2);

/// An allocation, in the shape that both forms of the request share.
pub(super) struct Wanted {
    pub(super) client: u32,
    pub(super) parent: u32,
    /// In: the handle wanted, or 0. Out: the handle.
    pub(super) object: u32,
    pub(super) class: u32,
    pub(super) params: *mut c_void,
    pub(super) params_size: u32,
}

impl Rm {
    /// # Safety
    /// `wanted.params` is null or points to the class's parameters.
    pub(super) unsafe fn alloc(&mut self, caller: &Caller, wanted: &mut Wanted) -> Result<(), u32> {
        if wanted.class == CLASS_ROOT_CLIENT {
            wanted.object = self.alloc_client(caller, wanted.object)?;
            return Ok(());
        }
        self.check_name(caller, wanted.client, wanted.object)?;
        let mut parent_is = |fits: fn(&Kind) -> bool| self.check_parent(caller, wanted.client, wanted.parent, fits);
        let kind = match wanted.class {
            CLASS_DEVICE if wanted.parent == wanted.client => Kind::Device,
            CLASS_DEVICE => return Err(NV_ERR_INVALID_OBJECT_PARENT),
            CLASS_SUBDEVICE => {
                parent_is(|kind| matches!(kind, Kind::Device))?;
                Kind::Subdevice
            }
            CLASS_VASPACE => {
                parent_is(|kind| matches!(kind, Kind::Device))?;
                if wanted.params.is_null() {
                    return Err(NV_ERR_INVALID_ARGUMENT);
                }
                Kind::Vaspace
            }
            CLASS_MEMORY_LOCAL_USER => {
                parent_is(|kind| matches!(kind, Kind::Device | Kind::Subdevice))?;
                if caller.device != Device::Control {
                    return Err(NV_ERR_INSUFFICIENT_PERMISSIONS);
                }
                // SAFETY: the caller answers for the parameters.
                Kind::Memory(Arc::new(unsafe { memory(caller, wanted) }?))
            }
            CLASS_CHANNEL_GROUP => {
                parent_is(|kind| matches!(kind, Kind::Device))?;
                // SAFETY: the caller answers for the parameters.
                Kind::Group(unsafe { groups::create(caller, wanted.params, wanted.params_size) }?)
            }
            class if is_channel_class(class) => {
                parent_is(|kind| matches!(kind, Kind::Group(_)))?;
                Kind::Channel { disabled: false }
            }
            groups::CLASS_COMPUTE | groups::CLASS_COPY => {
                parent_is(|kind| matches!(kind, Kind::Channel { .. }))?;
                Kind::Purpose
            }
            _ => return Err(NV_ERR_INVALID_CLASS),
        };
        wanted.object = self.insert(caller, wanted.client, wanted.object, wanted.parent, kind)?;
        Ok(())
    }
}

/// # Safety
/// `wanted.params` is null or points to `MemoryParams`.
unsafe fn memory(caller: &Caller, wanted: &Wanted) -> Result<Memory, u32> {
    // A size of 0 means that of the class, as in the resource manager.
    let size = if wanted.params_size == 0 { size_of::<MemoryParams>() } else { wanted.params_size as usize };
    // SAFETY: the caller answers for the pointer, and `copy_in` checks null and the size.
    let mut params: MemoryParams = unsafe { copy_in(wanted.params, size) }.map_err(|_| NV_ERR_INVALID_ARGUMENT)?;
    if matches!(params.owner, 0 | u32::MAX) || params.internal_flags != 0 || params.size == 0 {
        return Err(NV_ERR_INVALID_ARGUMENT);
    }
    if !params.is_vidmem() || params.flags & FLAGS_PLACED != 0 {
        return Err(NV_ERR_NOT_SUPPORTED);
    }
    if params.alignment != 0 && !params.alignment.is_power_of_two() {
        return Err(NV_ERR_INVALID_ARGUMENT);
    }
    let page = match (params.attr & ATTR_PAGE_SIZE) >> 23 {
        1 => PAGE_4K,
        2 => PAGE_BIG,
        3 => PAGE_HUGE,
        _ if params.size >= PAGE_HUGE.get() => PAGE_HUGE,
        _ => PAGE_BIG,
    };
    let bytes = Bytes::new(params.size).checked_round_up(page).ok_or(NV_ERR_NO_MEMORY)?;
    let alignment = if params.alignment == 0 { GRANULE } else { Bytes::new(params.alignment) };
    let start = caller.machine.claim(bytes, alignment).ok_or(NV_ERR_NO_MEMORY)?;
    params.size = bytes.get();
    params.limit = bytes.get() - 1;
    params.offset = start.get();
    let got = match page {
        PAGE_4K => 1 << 23,
        PAGE_BIG => 2 << 23,
        _ => ATTR_PAGE_SIZE_HUGE,
    };
    params.attr = params.attr & !(ATTR_PAGE_SIZE | ATTR_PHYSICALITY) | ATTR_CONTIGUOUS | got;
    if params.attr & ATTR_COMPR == ATTR_COMPR_ANY {
        params.attr = params.attr & !ATTR_COMPR | ATTR_COMPR_REQUIRED;
    }
    // SAFETY: `copy_in` found it not null and of this size; the caller makes it writable.
    unsafe { wanted.params.cast::<MemoryParams>().write_unaligned(params) };
    Ok(Memory { machine: caller.machine, start, bytes, page, compressible: params.is_compressible() })
}
