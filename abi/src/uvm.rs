//! Structures of NVIDIA's unified-memory module, as its ioctls on `/dev/nvidia-uvm` carry them (driver branch 580).
//!
//! Source: open-gpu-kernel-modules 580.142, `kernel-open/nvidia-uvm/uvm_ioctl.h`, `uvm_types.h`. The numbers of these
//! ioctls are plain integers, without direction or size.

/// How many per-GPU attributes a map call carries (`UVM_MAX_GPUS` of branch 580).
pub const MAX_GPUS: usize = 256;

/// A GPU's UUID: 16 bytes.
pub type Uuid = [u8; 16];

/// `UvmGpuMappingAttributes`: how one GPU is to see a mapping.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct MappingAttributes {
    /// Which GPU.
    pub gpu: Uuid,
    /// 0 default, 1 read, write and atomics, 2 read and write, 3 read.
    pub mapping: u32,
    /// 0 default, 1 uncached, 2 cached.
    pub caching: u32,
    /// 0 default.
    pub format: u32,
    /// 0 default.
    pub element_bits: u32,
    /// 0 default.
    pub compression: u32,
}

/// Reads, writes and atomics are allowed (`UvmGpuMappingTypeReadWriteAtomic`).
pub const MAPPING_READ_WRITE_ATOMIC: u32 = 1;

/// Parameter of `UVM_INITIALIZE`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Initialize {
    /// 0x2 is `UVM_INIT_FLAGS_MULTI_PROCESS_SHARING_MODE`.
    pub flags: u64,
    /// The outcome.
    pub status: u32,
    /// Padding.
    pub reserved: u32,
}

/// Parameter of `UVM_REGISTER_GPU_VASPACE`: from here on UVM owns the address space.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct RegisterGpuVaspace {
    /// Which GPU.
    pub gpu: Uuid,
    /// The descriptor of `/dev/nvidiactl` that created the client.
    pub rm_ctrl_fd: i32,
    /// The client.
    pub client: u32,
    /// The address space, an object of class [`CLASS_VASPACE`](crate::rm::CLASS_VASPACE).
    pub vaspace: u32,
    /// The outcome.
    pub status: u32,
}

/// Parameter of `UVM_REGISTER_GPU`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct RegisterGpu {
    /// Which GPU.
    pub gpu: Uuid,
    /// Out: whether its memory is a NUMA node.
    pub numa_enabled: u8,
    /// Padding.
    pub reserved: [u8; 3],
    /// Out: which one.
    pub numa_node: i32,
    /// The descriptor of `/dev/nvidiactl`, for a partitioned GPU.
    pub rm_ctrl_fd: i32,
    /// The client, for a partitioned GPU.
    pub client: u32,
    /// The partition, for a partitioned GPU.
    pub smc_part: u32,
    /// The outcome.
    pub status: u32,
}

/// Parameter of `UVM_CREATE_EXTERNAL_RANGE`, `UVM_FREE` and `UVM_VALIDATE_VA_RANGE`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Range {
    /// The first address.
    pub base: u64,
    /// How many bytes.
    pub length: u64,
    /// The outcome.
    pub status: u32,
    /// Padding.
    pub reserved: u32,
}

/// Parameter of `UVM_MAP_EXTERNAL_ALLOCATION`: maps a part of an object at an address.
///
/// `base`, `length` and `offset` are multiples of 4 KiB; the page size of the mapping is the largest that divides
/// them all and the object's own (`uvm_map_external.c:931-953`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct MapExternalAllocation {
    /// The first address.
    pub base: u64,
    /// How many bytes.
    pub length: u64,
    /// The first byte of the object to map.
    pub offset: u64,
    /// One entry a GPU.
    pub attributes: [MappingAttributes; MAX_GPUS],
    /// How many entries count.
    pub attributes_count: u64,
    /// The descriptor of `/dev/nvidiactl` that created the client.
    pub rm_ctrl_fd: i32,
    /// The client.
    pub client: u32,
    /// The object.
    pub memory: u32,
    /// The outcome.
    pub status: u32,
}

/// Parameter of `UVM_UNMAP_EXTERNAL`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct UnmapExternal {
    /// The first address.
    pub base: u64,
    /// How many bytes.
    pub length: u64,
    /// Which GPU.
    pub gpu: Uuid,
    /// The outcome.
    pub status: u32,
    /// Padding.
    pub reserved: u32,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<MappingAttributes>() == 36 && offset_of!(MappingAttributes, mapping) == 16);
    assert!(size_of::<Initialize>() == 16);
    assert!(size_of::<RegisterGpuVaspace>() == 32 && offset_of!(RegisterGpuVaspace, status) == 28);
    assert!(size_of::<RegisterGpu>() == 40 && offset_of!(RegisterGpu, numa_node) == 20);
    assert!(size_of::<Range>() == 24 && offset_of!(Range, status) == 16);
    assert!(size_of::<MapExternalAllocation>() == 9264);
    assert!(offset_of!(MapExternalAllocation, attributes) == 24);
    assert!(offset_of!(MapExternalAllocation, attributes_count) == 9240);
    assert!(offset_of!(MapExternalAllocation, memory) == 9256 && offset_of!(MapExternalAllocation, status) == 9260);
    assert!(size_of::<UnmapExternal>() == 40 && offset_of!(UnmapExternal, status) == 32);
};
