//! Structures of NVIDIA's resource manager, as its ioctls on `/dev/nvidiactl` carry them (driver branch 580).
//!
//! Sources: open-gpu-kernel-modules 580.142, `src/common/sdk/nvidia/inc/nvos.h`, `alloc/alloc_channel.h`,
//! `src/nvidia/arch/nvalloc/unix/include/nv_escape.h`, `nv-ioctl-numbers.h`; sizes and offsets from compiling those.

/// The status word of a call that did what it says (`NV_OK`).
pub const NV_OK: u32 = 0;
/// `NV_ERR_INSUFFICIENT_RESOURCES`: among others, the kernel's UVM client has no handle left.
pub const NV_ERR_INSUFFICIENT_RESOURCES: u32 = 0x1A;
/// `NV_ERR_INSUFFICIENT_PERMISSIONS`.
pub const NV_ERR_INSUFFICIENT_PERMISSIONS: u32 = 0x1B;
/// `NV_ERR_INVALID_ADDRESS`: among others, a hole in a mapping of larger pages.
pub const NV_ERR_INVALID_ADDRESS: u32 = 0x1E;
/// `NV_ERR_INVALID_ARGUMENT`.
pub const NV_ERR_INVALID_ARGUMENT: u32 = 0x1F;
/// `NV_ERR_INVALID_CLASS`.
pub const NV_ERR_INVALID_CLASS: u32 = 0x22;
/// `NV_ERR_INVALID_CLIENT`.
pub const NV_ERR_INVALID_CLIENT: u32 = 0x23;
/// `NV_ERR_INVALID_OFFSET`: a mapping reaches past the object.
pub const NV_ERR_INVALID_OFFSET: u32 = 0x37;
/// `NV_ERR_NO_MEMORY`.
pub const NV_ERR_NO_MEMORY: u32 = 0x51;
/// `NV_ERR_NOT_SUPPORTED`.
pub const NV_ERR_NOT_SUPPORTED: u32 = 0x56;
/// `NV_ERR_OBJECT_NOT_FOUND`.
pub const NV_ERR_OBJECT_NOT_FOUND: u32 = 0x57;
/// `NV_ERR_UVM_ADDRESS_IN_USE`.
pub const NV_ERR_UVM_ADDRESS_IN_USE: u32 = 0x68;

/// Class `NV01_ROOT_CLIENT`: a client of the resource manager.
pub const CLASS_ROOT_CLIENT: u32 = 0x41;
/// Class `NV01_DEVICE_0`.
pub const CLASS_DEVICE: u32 = 0x80;
/// Class `NV20_SUBDEVICE_0`.
pub const CLASS_SUBDEVICE: u32 = 0x2080;
/// Class `FERMI_VASPACE_A`: a GPU address space.
pub const CLASS_VASPACE: u32 = 0x90F1;
/// Class `NV01_MEMORY_LOCAL_USER`: VRAM.
pub const CLASS_MEMORY_LOCAL_USER: u32 = 0x40;

/// Parameter of `NV_ESC_CHECK_VERSION_STR` (`nv_ioctl_rm_api_version_t`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct VersionCheck {
    /// The check to make.
    pub cmd: u32,
    /// The kernel's answer.
    pub reply: u32,
    /// The version, NUL-padded.
    pub version: [u8; 64],
}

/// Parameter of `NV_ESC_IOCTL_XFER_CMD`: another request, wrapped (`nv_ioctl_xfer_t`).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Xfer {
    /// The wrapped request's number.
    pub nr: u32,
    /// The size of its parameter.
    pub size: u32,
    /// The address of its parameter.
    pub ptr: u64,
}

/// Parameter of `NV_ESC_RM_ALLOC` (NVOS21).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Nvos21 {
    /// The client.
    pub client: u32,
    /// The parent object.
    pub parent: u32,
    /// The new object's handle; 0 lets the resource manager choose one and write it here.
    pub object: u32,
    /// The class.
    pub class: u32,
    /// The address of the class's parameters.
    pub params: u64,
    /// Their size.
    pub params_size: u32,
    /// The outcome.
    pub status: u32,
}

/// Parameter of `NV_ESC_RM_ALLOC` in its longer form (NVOS64), told from [`Nvos21`] by size.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Nvos64 {
    /// The client.
    pub client: u32,
    /// The parent object.
    pub parent: u32,
    /// The new object's handle; 0 lets the resource manager choose one and write it here.
    pub object: u32,
    /// The class.
    pub class: u32,
    /// The address of the class's parameters.
    pub params: u64,
    /// The address of the rights asked for.
    pub rights: u64,
    /// The size of the class's parameters.
    pub params_size: u32,
    /// Flags.
    pub flags: u32,
    /// The outcome.
    pub status: u32,
    /// Padding.
    pub reserved: u32,
}

/// Parameter of `NV_ESC_RM_FREE` (NVOS00).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Nvos00 {
    /// The client.
    pub client: u32,
    /// The parent object.
    pub parent: u32,
    /// The object to free, with all its children.
    pub object: u32,
    /// The outcome.
    pub status: u32,
}

/// Parameter of `NV_ESC_RM_CONTROL` (NVOS54).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Nvos54 {
    /// The client.
    pub client: u32,
    /// The object that is asked.
    pub object: u32,
    /// The command.
    pub cmd: u32,
    /// Flags.
    pub flags: u32,
    /// The address of the command's parameters.
    pub params: u64,
    /// Their size.
    pub params_size: u32,
    /// The outcome.
    pub status: u32,
}

/// `NV_MEMORY_ALLOCATION_PARAMS`: what an object of memory is to be, and what it became.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct MemoryParams {
    /// The owner's mark; neither 0 nor all ones.
    pub owner: u32,
    /// `NVOS32_TYPE_…`; 0 is an image, plain memory.
    pub kind: u32,
    /// `NVOS32_ALLOC_FLAGS_…`, the `FLAG_…` constants below.
    pub flags: u32,
    /// Unused for plain memory.
    pub width: u32,
    /// Unused for plain memory.
    pub height: u32,
    /// Unused for plain memory.
    pub pitch: i32,
    /// `NVOS32_ATTR_…`, in: wanted, out: got.
    pub attr: u32,
    /// `NVOS32_ATTR2_…`, in: wanted, out: got.
    pub attr2: u32,
    /// The PTE kind ([`KIND_GENERIC`] is uncompressed).
    pub format: u32,
    /// Compression coverage.
    pub compr_covg: u32,
    /// Z-cull coverage.
    pub zcull_covg: u32,
    /// Padding.
    pub reserved: u32,
    /// First address allowed, with a flag.
    pub range_lo: u64,
    /// Last address allowed, with a flag.
    pub range_hi: u64,
    /// Bytes, in: wanted, out: got.
    pub size: u64,
    /// Alignment in bytes.
    pub alignment: u64,
    /// Out: the physical address of the first page. It covers the object only if the returned attribute says
    /// contiguous ([`MemoryParams::is_contiguous`]).
    pub offset: u64,
    /// Out: the last byte's offset.
    pub limit: u64,
    /// Out: unused.
    pub address: u64,
    /// Out: compression tag.
    pub ctag_offset: u32,
    /// An address space, for virtual memory.
    pub vaspace: u32,
    /// Must be 0 from user space.
    pub internal_flags: u32,
    /// A tag for debuggers.
    pub tag: u32,
    /// A NUMA node.
    pub numa_node: i32,
    /// Padding.
    pub reserved2: u32,
}

/// PTE kind `GENERIC` on Hopper: plain uncompressed memory. Mapping smaller pages than the object's needs it.
pub const KIND_GENERIC: u32 = 6;
/// `NVOS32_ATTR_PAGE_SIZE_HUGE`, in its place.
pub const ATTR_PAGE_SIZE_HUGE: u32 = 3 << 23;
/// `NVOS32_ATTR_PHYSICALITY_CONTIGUOUS`, in its place.
pub const ATTR_CONTIGUOUS: u32 = 2 << 27;
/// `NVOS32_ATTR_PHYSICALITY_ALLOW_NONCONTIGUOUS`, in its place.
pub const ATTR_ALLOW_NONCONTIGUOUS: u32 = 3 << 27;
/// `NVOS32_ATTR2_ZBC_PREFER_NO_ZBC`.
pub const ATTR2_NO_ZBC: u32 = 1;
/// `NVOS32_ATTR2_GPU_CACHEABLE_YES`, in its place.
pub const ATTR2_GPU_CACHEABLE: u32 = 1 << 2;
/// `NVOS32_ATTR2_PAGE_SIZE_HUGE_2MB`, in its place.
pub const ATTR2_HUGE_2MB: u32 = 1 << 20;
/// `NVOS32_ALLOC_FLAGS_IGNORE_BANK_PLACEMENT`.
pub const FLAG_IGNORE_BANK_PLACEMENT: u32 = 0x1;
/// `NVOS32_ALLOC_FLAGS_ALIGNMENT_FORCE`.
pub const FLAG_ALIGNMENT_FORCE: u32 = 0x100;
/// `NVOS32_ALLOC_FLAGS_MAP_NOT_REQUIRED`.
pub const FLAG_MAP_NOT_REQUIRED: u32 = 0x8000;

impl MemoryParams {
    /// Whether the returned object is one stretch of VRAM, so that `offset` tells every page's place.
    pub const fn is_contiguous(&self) -> bool {
        (self.attr >> 27) & 3 == 2
    }

    /// Whether the object lies in VRAM (`NVOS32_ATTR_LOCATION_VIDMEM`).
    pub const fn is_vidmem(&self) -> bool {
        (self.attr >> 25) & 3 == 0
    }

    /// Whether the PTE kind is compressible, which refuses smaller pages (kinds 8 to 0xE on GH100).
    pub const fn is_compressible(&self) -> bool {
        (self.attr >> 12) & 3 != 0 || (self.format >= 8 && self.format <= 0xE)
    }
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<VersionCheck>() == 72);
    assert!(size_of::<Xfer>() == 16);
    assert!(size_of::<Nvos21>() == 32 && offset_of!(Nvos21, params) == 16 && offset_of!(Nvos21, status) == 28);
    assert!(size_of::<Nvos64>() == 48 && offset_of!(Nvos64, rights) == 24 && offset_of!(Nvos64, status) == 40);
    assert!(size_of::<Nvos00>() == 16 && offset_of!(Nvos00, status) == 12);
    assert!(size_of::<Nvos54>() == 32 && offset_of!(Nvos54, params) == 16 && offset_of!(Nvos54, status) == 28);
    assert!(size_of::<MemoryParams>() == 128);
    assert!(offset_of!(MemoryParams, attr) == 24 && offset_of!(MemoryParams, attr2) == 28);
    assert!(offset_of!(MemoryParams, format) == 32 && offset_of!(MemoryParams, size) == 64);
    assert!(offset_of!(MemoryParams, alignment) == 72 && offset_of!(MemoryParams, offset) == 80);
    assert!(offset_of!(MemoryParams, vaspace) == 108 && offset_of!(MemoryParams, numa_node) == 120);
};
