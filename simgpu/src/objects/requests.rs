//! The requests that the driver makes of the kernel modules.

use crate::os::rm::groups::{Duplicate, SERVER_CLIENT, SERVER_GROUP};
use crate::os::{self, Device};
use crate::timing::group::Group;
use abi::cuda::*;
use abi::groups::{CLASS_CHANNEL_GROUP, ChannelGroupParams};
use abi::rm::*;
use abi::uvm;
use abi::{DriverVersion, RmEscape, UvmCommand};
use std::ffi::c_int;
use std::sync::{Arc, Mutex};
use units::{Bytes, DeviceVa};

/// The page that device memory is made of.
pub(crate) const HUGE_PAGE: Bytes = Bytes::mib(2);

/// The flags of an address space that UVM is to own: `EXTERNALLY_OWNED` and `PAGE_FAULTING`.
const VASPACE_FLAGS: u32 = 1 << 3 | 1 << 6;

/// `NVOS32_ATTR_COHERENCY_CACHED`, `NVOS32_ATTR_COMPR_ANY` and `NVOS32_ATTR_COMPR_COVG_PROVIDED`, in their places.
const ATTR_CACHED: u32 = 1 << 29;
const ATTR_COMPRESSED: u32 = 2 << 12 | 1 << 3;
/// The first PTE kind on Hopper that is compressible.
const KIND_COMPRESSIBLE: u32 = 8;

/// The purpose that VRAM is taken for, which the driver's requests say in different ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An allocation of its own.
    Allocation,
    /// To be mapped by itself: a piece of a pool, or memory without an address.
    Piece,
    /// The same, compressible.
    Compressible,
}

/// The process's open devices and its objects in the resource manager.
pub(crate) struct Rm {
    control: c_int,
    uvm: c_int,
    client: u32,
    device: u32,
    subdevice: u32,
    uuid: uvm::Uuid,
    /// The address space, once there is one; the whole process has one.
    space: Mutex<Option<u32>>,
}

/// Parameter of class `FERMI_VASPACE_A`, of which only the flags are not left to the resource manager.
#[derive(Default)]
#[repr(C)]
struct VaspaceParams {
    index: u32,
    flags: u32,
    rest: [u64; 6],
}

const _: () = assert!(size_of::<VaspaceParams>() == 56);

impl Rm {
    /// Opens the devices and creates client, device and subdevice.
    pub(crate) fn open(version: DriverVersion, uuid: uvm::Uuid) -> Result<Self, CUresult> {
        let open = |device| os::open(device).map_err(|_| CUDA_ERROR_NO_DEVICE);
        let control = open(Device::Control)?;
        let mut check = VersionCheck { cmd: 0, reply: 0, version: [0; 64] };
        let text = version.to_string();
        for (to, from) in check.version.iter_mut().take(63).zip(text.bytes()) {
            *to = from;
        }
        escape(control, RmEscape::CheckVersion, &mut check)?;
        // The GPU's own file is held open as the real library does it; all requests go to the control file.
        open(Device::Gpu)?;
        let uvm = open(Device::Uvm)?;
        let mut rm = Rm { control, uvm, client: 0, device: 0, subdevice: 0, uuid, space: Mutex::new(None) };
        rm.client = rm.alloc::<()>(0, CLASS_ROOT_CLIENT, None)?;
        rm.device = rm.alloc::<()>(rm.client, CLASS_DEVICE, None)?;
        rm.subdevice = rm.alloc::<()>(rm.device, CLASS_SUBDEVICE, None)?;
        Ok(rm)
    }

    /// Makes sure that the process has an address space on the GPU.
    pub(crate) fn ensure_space(&self) -> Result<(), CUresult> {
        let mut space = super::lock(&self.space);
        if space.is_some() {
            return Ok(());
        }
        let mut params = VaspaceParams { flags: VASPACE_FLAGS, ..Default::default() };
        let vaspace = self.alloc(self.device, CLASS_VASPACE, Some(&mut params))?;
        let mut initialize = uvm::Initialize::default();
        self.uvm(UvmCommand::Initialize, &mut initialize)?;
        code(initialize.status)?;
        let mut gpu = uvm::RegisterGpu { gpu: self.uuid, rm_ctrl_fd: -1, ..Default::default() };
        self.uvm(UvmCommand::RegisterGpu, &mut gpu)?;
        code(gpu.status)?;
        let mut register = uvm::RegisterGpuVaspace {
            gpu: self.uuid,
            rm_ctrl_fd: self.control,
            client: self.client,
            vaspace,
            status: NV_OK,
        };
        self.uvm(UvmCommand::RegisterGpuVaspace, &mut register)?;
        code(register.status)?;
        *space = Some(vaspace);
        Ok(())
    }

    /// Takes VRAM, a multiple of [`HUGE_PAGE`].
    pub(crate) fn alloc_memory(&self, bytes: Bytes, purpose: Purpose) -> Result<u32, CUresult> {
        let (attr, format) = match purpose {
            Purpose::Allocation => (ATTR_PAGE_SIZE_HUGE, KIND_GENERIC),
            Purpose::Piece => (ATTR_CACHED, KIND_GENERIC),
            Purpose::Compressible => (ATTR_CACHED | ATTR_COMPRESSED, KIND_COMPRESSIBLE),
        };
        let mut params = MemoryParams {
            owner: self.client,
            flags: FLAG_MAP_NOT_REQUIRED | FLAG_ALIGNMENT_FORCE | FLAG_IGNORE_BANK_PLACEMENT,
            attr: attr | ATTR_ALLOW_NONCONTIGUOUS,
            attr2: ATTR2_NO_ZBC | ATTR2_GPU_CACHEABLE | ATTR2_HUGE_2MB,
            format,
            size: bytes.get(),
            alignment: HUGE_PAGE.get(),
            ..Default::default()
        };
        self.alloc(self.device, CLASS_MEMORY_LOCAL_USER, Some(&mut params))
    }

    /// Frees an object. There is nothing to be done about a failure: the handle is gone from the driver's books.
    pub(crate) fn free(&self, object: u32) {
        let mut free = Nvos00 { client: self.client, parent: self.device, object, status: NV_OK };
        let _ = escape(self.control, RmEscape::Free, &mut free);
    }

    /// Makes `[va, va + bytes)` a range that objects can be mapped in.
    pub(crate) fn create_range(&self, va: DeviceVa, bytes: Bytes) -> Result<(), CUresult> {
        let mut range = uvm::Range { base: va.get(), length: bytes.get(), ..Default::default() };
        self.uvm(UvmCommand::CreateExternalRange, &mut range)?;
        code(range.status)
    }

    /// Maps the start of an object, in one call.
    pub(crate) fn map(&self, va: DeviceVa, bytes: Bytes, offset: Bytes, object: u32) -> Result<(), CUresult> {
        let mut attributes = [uvm::MappingAttributes::default(); uvm::MAX_GPUS];
        attributes[0].gpu = self.uuid;
        attributes[0].mapping = uvm::MAPPING_READ_WRITE_ATOMIC;
        let mut map = Box::new(uvm::MapExternalAllocation {
            base: va.get(),
            length: bytes.get(),
            offset: offset.get(),
            attributes,
            attributes_count: 1,
            rm_ctrl_fd: self.control,
            client: self.client,
            memory: object,
            status: NV_OK,
        });
        self.uvm(UvmCommand::MapExternalAllocation, &mut *map)?;
        code(map.status)
    }

    /// Unmaps a part of a range, and leaves the range.
    pub(crate) fn unmap(&self, va: DeviceVa, bytes: Bytes) -> Result<(), CUresult> {
        let mut unmap =
            uvm::UnmapExternal { base: va.get(), length: bytes.get(), gpu: self.uuid, ..Default::default() };
        self.uvm(UvmCommand::UnmapExternal, &mut unmap)?;
        code(unmap.status)
    }

    /// Removes a range with all that is mapped in it; failures are as in [`Rm::free`].
    pub(crate) fn free_range(&self, va: DeviceVa, bytes: Bytes) {
        let mut range = uvm::Range { base: va.get(), length: bytes.get(), ..Default::default() };
        let _ = self.uvm(UvmCommand::Free, &mut range);
    }

    /// Makes a channel group for an engine; with the channels under it, see [`super::channels`].
    pub(crate) fn alloc_group(&self, engine: u32) -> Result<u32, CUresult> {
        let mut params = ChannelGroupParams { engine, ..Default::default() };
        self.alloc_by_class(self.device, CLASS_CHANNEL_GROUP, &raw mut params as u64)
    }

    /// Makes a group that stands for the MPS server's.
    pub(crate) fn duplicate_server_group(&self) -> Result<u32, CUresult> {
        let mut duplicate = Duplicate {
            client: self.client,
            parent: self.device,
            source_client: SERVER_CLIENT,
            source: SERVER_GROUP,
            ..Default::default()
        };
        escape(self.control, RmEscape::DupObject, &mut duplicate)?;
        code(duplicate.status)?;
        Ok(duplicate.object)
    }

    /// Makes an object that has no parameters of interest under another one.
    pub(crate) fn alloc_plain(&self, parent: u32, class: u32) -> Result<u32, CUresult> {
        self.alloc_by_class(parent, class, 0)
    }

    /// A control on a group.
    pub(crate) fn control_group<P>(&self, group: u32, cmd: u32, params: &mut P) -> Result<(), CUresult> {
        self.ask(group, cmd, params)
    }

    /// A control on the subdevice.
    pub(crate) fn control_subdevice<P>(&self, cmd: u32, params: &mut P) -> Result<(), CUresult> {
        self.ask(self.subdevice, cmd, params)
    }

    /// The group behind a handle, as the engines see it.
    pub(crate) fn group(&self, object: u32) -> Result<Arc<Group>, CUresult> {
        os::channel_group(self.client, object).ok_or(CUDA_ERROR_UNKNOWN)
    }

    fn ask<P>(&self, object: u32, cmd: u32, params: &mut P) -> Result<(), CUresult> {
        let params_size = size_of::<P>() as u32;
        let params = &raw mut *params as u64;
        let mut ask = Nvos54 { client: self.client, object, cmd, params, params_size, ..Default::default() };
        escape(self.control, RmEscape::Control, &mut ask)?;
        code(ask.status)
    }

    /// Allocates as the real library does for groups and channels: the size of the parameters is left to the class.
    fn alloc_by_class(&self, parent: u32, class: u32, params: u64) -> Result<u32, CUresult> {
        let mut alloc = Nvos64 { client: self.client, parent, class, params, ..Default::default() };
        escape(self.control, RmEscape::Alloc, &mut alloc)?;
        code(alloc.status)?;
        Ok(alloc.object)
    }

    /// Allocates an object with a handle of the resource manager's choice.
    fn alloc<P>(&self, parent: u32, class: u32, params: Option<&mut P>) -> Result<u32, CUresult> {
        let params_size = if params.is_some() { size_of::<P>() as u32 } else { 0 };
        let mut alloc = Nvos64 {
            client: self.client,
            parent,
            class,
            params: params.map_or(0, |params| params as *mut P as u64),
            params_size,
            ..Default::default()
        };
        escape(self.control, RmEscape::Alloc, &mut alloc)?;
        code(alloc.status)?;
        Ok(alloc.object)
    }

    fn uvm<T>(&self, command: UvmCommand, parameter: &mut T) -> Result<(), CUresult> {
        os::call(self.uvm, command.number(), parameter).map_err(|_| CUDA_ERROR_UNKNOWN)
    }
}

fn escape<T>(fd: c_int, escape: RmEscape, parameter: &mut T) -> Result<(), CUresult> {
    os::call(fd, escape.request(size_of::<T>()), parameter).map_err(|_| CUDA_ERROR_UNKNOWN)
}

/// The CUDA code for a status word of the resource manager or of UVM.
fn code(status: u32) -> Result<(), CUresult> {
    match status {
        NV_OK => Ok(()),
        NV_ERR_NO_MEMORY | NV_ERR_INSUFFICIENT_RESOURCES => Err(CUDA_ERROR_OUT_OF_MEMORY),
        NV_ERR_NOT_SUPPORTED => Err(CUDA_ERROR_NOT_SUPPORTED),
        NV_ERR_INVALID_ARGUMENT => Err(CUDA_ERROR_INVALID_VALUE),
        _ => Err(CUDA_ERROR_UNKNOWN),
    }
}
