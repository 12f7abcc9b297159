//! The rules of the kernel modules, through their requests.

use super::*;
use crate::machine::tests::{Scratch, small};
use abi::rm::*;
use abi::uvm::*;
use abi::{RmEscape, UvmCommand};

const VA: u64 = 0x7_0000_0000;
const K4: u64 = 4 << 10;
const K64: u64 = 64 << 10;
const M2: u64 = 2 << 20;

/// A process with a client, an address space that UVM owns, and an external range of 16 MiB.
struct Process {
    modules: Modules,
    control: c_int,
    uvm: c_int,
    client: u32,
    device: u32,
    subdevice: u32,
    _scratch: Scratch,
}

impl Process {
    fn new(vram: Bytes, uvm_handles: u32) -> Process {
        let scratch = Scratch::new();
        let machine = Machine::attach(small(vram, uvm_handles), scratch.path()).expect("attaches");
        let modules = Modules::new(Box::leak(Box::new(machine)), None);
        let control = FILES.open(Device::Control).expect("opens");
        let uvm = FILES.open(Device::Uvm).expect("opens");
        let mut process = Process { modules, control, uvm, client: 0, device: 0, subdevice: 0, _scratch: scratch };
        process.client = process.alloc(0, CLASS_ROOT_CLIENT).expect("a client");
        process.device = process.alloc(process.client, CLASS_DEVICE).expect("a device");
        process.subdevice = process.alloc(process.device, CLASS_SUBDEVICE).expect("a subdevice");
        let mut space = [0u8; 56];
        let vaspace =
            process.alloc_with(process.device, CLASS_VASPACE, space.as_mut_ptr().cast(), 56).expect("an address space");
        process.uvm_call(UvmCommand::Initialize, &mut Initialize::default()).expect("a UVM file");
        let gpu = process.modules.machine.spec().uuid;
        let mut registered = RegisterGpu { gpu, ..Default::default() };
        process.uvm_call(UvmCommand::RegisterGpu, &mut registered).expect("a GPU");
        assert_eq!(registered.status, NV_OK);
        let mut owned = RegisterGpuVaspace { gpu, rm_ctrl_fd: control, client: process.client, vaspace, status: 1 };
        process.uvm_call(UvmCommand::RegisterGpuVaspace, &mut owned).expect("an address space");
        assert_eq!(owned.status, NV_OK);
        assert_eq!(process.range(UvmCommand::CreateExternalRange, VA, 8 * M2), NV_OK);
        process
    }

    fn request<T>(&self, fd: c_int, request: Request, arg: &mut T) -> Result<(), Errno> {
        let (file, device) = FILES.find(fd).expect("a device node");
        // SAFETY: each test passes the structure that the request calls for.
        unsafe { self.modules.answer(origin::of_this_request(), file, device, request, std::ptr::from_mut(arg).cast()) }
    }

    fn uvm_call<T>(&self, command: UvmCommand, arg: &mut T) -> Result<(), Errno> {
        self.request(self.uvm, Request::Uvm(command), arg)
    }

    fn rm_call<T>(&self, escape: RmEscape, arg: &mut T) -> Result<(), Errno> {
        self.request(self.control, Request::Rm { escape, size: size_of::<T>() }, arg)
    }

    fn alloc(&self, parent: u32, class: u32) -> Result<u32, u32> {
        self.alloc_with(parent, class, std::ptr::null_mut(), 0)
    }

    fn alloc_with(&self, parent: u32, class: u32, params: *mut c_void, size: u32) -> Result<u32, u32> {
        let mut p = Nvos64 {
            client: self.client,
            parent,
            class,
            params: params as u64,
            params_size: size,
            ..Default::default()
        };
        self.rm_call(RmEscape::Alloc, &mut p).expect("looked at");
        if p.status == NV_OK { Ok(p.object) } else { Err(p.status) }
    }

    /// An object of VRAM and where it begins.
    fn memory(&self, bytes: u64, format: u32) -> Result<(u32, u64), u32> {
        let mut params = MemoryParams { owner: self.client, format, size: bytes, ..Default::default() };
        let object =
            self.alloc_with(self.device, CLASS_MEMORY_LOCAL_USER, std::ptr::from_mut(&mut params).cast(), 128)?;
        assert!(params.is_contiguous());
        Ok((object, params.offset))
    }

    fn free(&self, object: u32) -> u32 {
        let mut p = Nvos00 { client: self.client, parent: self.device, object, status: 1 };
        self.rm_call(RmEscape::Free, &mut p).expect("looked at");
        p.status
    }

    fn range(&self, command: UvmCommand, base: u64, length: u64) -> u32 {
        let mut p = Range { base, length, ..Default::default() };
        self.uvm_call(command, &mut p).expect("looked at");
        p.status
    }

    fn map(&self, base: u64, length: u64, offset: u64, memory: u32) -> u32 {
        let mut attributes = [MappingAttributes::default(); MAX_GPUS];
        attributes[0] = MappingAttributes {
            gpu: self.modules.machine.spec().uuid,
            mapping: MAPPING_READ_WRITE_ATOMIC,
            ..Default::default()
        };
        let (rm_ctrl_fd, client) = (self.control, self.client);
        let mut p = MapExternalAllocation {
            base,
            length,
            offset,
            attributes,
            attributes_count: 1,
            rm_ctrl_fd,
            client,
            memory,
            status: 1,
        };
        self.uvm_call(UvmCommand::MapExternalAllocation, &mut p).expect("looked at");
        p.status
    }

    fn unmap(&self, base: u64, length: u64) -> u32 {
        let gpu = self.modules.machine.spec().uuid;
        let mut p = UnmapExternal { base, length, gpu, ..Default::default() };
        self.uvm_call(UvmCommand::UnmapExternal, &mut p).expect("looked at");
        p.status
    }

    /// The physical runs behind a stretch, as plain numbers.
    fn runs(&self, va: u64, bytes: u64) -> Result<Vec<(u64, u64, u64)>, Fault> {
        let found = self.modules.walk(DeviceVa::new(va), Bytes::new(bytes))?;
        Ok(found.into_iter().map(|(va, at, bytes)| (va.get(), at.get(), bytes.get())).collect())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for fd in [self.control, self.uvm] {
            // SAFETY: the descriptor was opened by `new` and nobody else closes it.
            unsafe { libc::close(fd) };
        }
    }
}

mod faults;
mod groups;

#[test]
fn a_hole_needs_the_large_mapping_gone_first() {
    let p = Process::new(Bytes::mib(16), 16);
    let (large, at) = p.memory(M2, KIND_GENERIC).expect("memory");
    let (other, elsewhere) = p.memory(M2, KIND_GENERIC).expect("memory");
    assert_eq!(p.map(VA, M2, 0, large), NV_OK);
    assert_eq!(p.map(VA + K4, K4, 0, other), NV_ERR_INVALID_ADDRESS);
    assert_eq!(p.unmap(VA + K4, K4), NV_ERR_INVALID_ADDRESS);
    assert_eq!(p.runs(VA, M2), Ok(vec![(VA, at, M2)]), "a refusal changes nothing");
    assert_eq!(p.unmap(VA, M2), NV_OK);
    assert_eq!(p.runs(VA, M2), Err(Fault { va: DeviceVa::new(VA) }));
    assert_eq!(p.map(VA, K4, 0, large), NV_OK);
    assert_eq!(p.map(VA + K4, K4, 0, other), NV_OK);
    assert_eq!(p.map(VA + 2 * K4, M2 - 2 * K4, 2 * K4, large), NV_OK);
    assert_eq!(
        p.runs(VA, M2),
        Ok(vec![(VA, at, K4), (VA + K4, elsewhere, K4), (VA + 2 * K4, at + 2 * K4, M2 - 2 * K4)])
    );
}

#[test]
fn small_pages_are_replaced_among_their_neighbours_and_share_the_handle() {
    let p = Process::new(Bytes::mib(16), 3);
    let (a, at) = p.memory(M2, KIND_GENERIC).expect("memory");
    let (b, elsewhere) = p.memory(M2, KIND_GENERIC).expect("memory");
    // Everything but the last page has 4 KiB pages, as the lowest bit of the length says.
    assert_eq!(p.map(VA, M2 - K4, 0, a), NV_OK);
    assert_eq!(p.map(VA + K64, K4, K64, b), NV_OK);
    assert_eq!(p.map(VA + M2 - K4, K4, M2 - K4, a), NV_OK, "the split mapping holds one handle");
    assert_eq!(p.map(VA + M2, K4, 0, a), NV_ERR_INSUFFICIENT_RESOURCES);
    let rest = K64 + K4;
    assert_eq!(
        p.runs(VA, M2),
        Ok(vec![(VA, at, K64), (VA + K64, elsewhere + K64, K4), (VA + rest, at + rest, M2 - rest)])
    );
    assert_eq!(p.unmap(VA, K64), NV_OK);
    assert_eq!(p.map(VA + M2, K4, 0, a), NV_ERR_INSUFFICIENT_RESOURCES, "its other half lives");
    assert_eq!(p.range(UvmCommand::Free, VA, 8 * M2), NV_OK);
    assert_eq!(p.range(UvmCommand::CreateExternalRange, VA, M2), NV_OK);
    assert_eq!(p.map(VA, K4, 0, a), NV_OK, "freeing the range gave every handle back");
}

#[test]
fn middle_pages_split_only_at_their_own_size() {
    let p = Process::new(Bytes::mib(16), 16);
    let (a, _) = p.memory(M2, KIND_GENERIC).expect("memory");
    assert_eq!(p.map(VA + K64, 4 * K64, K64, a), NV_OK);
    assert_eq!(p.unmap(VA + 2 * K64 + K4, K4), NV_ERR_INVALID_ADDRESS);
    assert_eq!(p.unmap(VA + 2 * K64, K64), NV_OK);
    assert!(p.runs(VA + K64, K64).is_ok() && p.runs(VA + 3 * K64, 2 * K64).is_ok());
    assert!(p.runs(VA + 2 * K64, K4).is_err());
}

#[test]
fn what_cannot_be_mapped_is_refused_and_the_old_mapping_is_gone() {
    let p = Process::new(Bytes::mib(16), 16);
    let (plain, _) = p.memory(M2, KIND_GENERIC).expect("memory");
    let (packed, _) = p.memory(M2, 8).expect("memory");
    assert_eq!(p.map(VA, K4, 0, packed), NV_ERR_NOT_SUPPORTED);
    assert_eq!(p.map(VA, M2, 0, packed), NV_OK);
    assert_eq!(p.map(VA, M2, K4, plain), NV_ERR_INVALID_OFFSET);
    assert!(p.runs(VA, M2).is_err());
    assert_eq!(p.map(VA, M2, 0, 0xDEAD), NV_ERR_OBJECT_NOT_FOUND);
    assert_eq!(p.map(VA, M2, 0, p.subdevice), NV_ERR_INVALID_ARGUMENT);
    assert_eq!(p.map(VA, 0, 0, plain), NV_ERR_INVALID_ADDRESS);
    assert_eq!(p.map(VA + 1, K4, 0, plain), NV_ERR_INVALID_ADDRESS);
    assert_eq!(p.map(VA, K4, 1, plain), NV_ERR_INVALID_ARGUMENT);
    assert_eq!(p.map(VA + 8 * M2, K4, 0, plain), NV_ERR_INVALID_ADDRESS, "outside every range");
}

#[test]
fn an_object_becomes_what_the_kernel_makes_of_the_wish() {
    let p = Process::new(Bytes::mib(16), 16);
    for (wanted, format, got) in [(0x3800_0000, KIND_GENERIC, 0x3180_0000), (0x3800_2008, 8, 0x3180_1008)] {
        let mut params = MemoryParams { owner: p.client, attr: wanted, format, size: M2, ..Default::default() };
        let place = std::ptr::from_mut(&mut params).cast();
        p.alloc_with(p.device, CLASS_MEMORY_LOCAL_USER, place, 128).expect("memory");
        assert_eq!((params.attr, params.is_compressible()), (got, format == 8));
    }
}

#[test]
fn ranges_are_exact_and_do_not_overlap() {
    let p = Process::new(Bytes::mib(4), 16);
    assert_eq!(p.range(UvmCommand::CreateExternalRange, VA + 7 * M2, 2 * M2), NV_ERR_UVM_ADDRESS_IN_USE);
    assert_eq!(p.range(UvmCommand::ValidateVaRange, VA, 8 * M2), NV_OK);
    assert_eq!(p.range(UvmCommand::ValidateVaRange, VA, M2), NV_ERR_INVALID_ADDRESS);
    assert_eq!(p.range(UvmCommand::Free, VA, M2), NV_ERR_INVALID_ADDRESS);
}

#[test]
fn a_freed_object_lives_until_it_is_unmapped() {
    let p = Process::new(Bytes::mib(4), 16);
    let (a, at) = p.memory(2 * M2, KIND_GENERIC).expect("memory");
    assert_eq!(p.memory(M2, KIND_GENERIC), Err(NV_ERR_NO_MEMORY));
    assert_eq!(p.map(VA, 2 * M2, 0, a), NV_OK);
    assert_eq!(p.free(a), NV_OK);
    assert_eq!(p.free(a), NV_ERR_OBJECT_NOT_FOUND);
    assert_eq!(p.memory(M2, KIND_GENERIC), Err(NV_ERR_NO_MEMORY), "the mapping holds it");
    assert_eq!(p.runs(VA, K4), Ok(vec![(VA, at, K4)]));
    assert_eq!(p.unmap(VA, 2 * M2), NV_OK);
    p.memory(2 * M2, KIND_GENERIC).expect("it is free");
    assert_eq!(p.free(p.device), NV_OK);
    assert_eq!(p.modules.machine.free_vram(), Bytes::mib(4), "children go with their parent");
}

#[test]
fn an_alias_shows_the_same_bytes() {
    let p = Process::new(Bytes::mib(4), 16);
    let (a, _) = p.memory(M2, KIND_GENERIC).expect("memory");
    assert_eq!(p.map(VA, M2, 0, a), NV_OK);
    assert_eq!(p.map(VA + M2, K4, 3 * K4, a), NV_OK);
    let (_, at, _) = p.runs(VA + 3 * K4, K4).expect("mapped")[0];
    p.modules.machine.write(PhysAddr::new(at), b"through one address");
    let (_, alias, _) = p.runs(VA + M2, K4).expect("mapped")[0];
    let mut seen = [0; 19];
    p.modules.machine.read(PhysAddr::new(alias), &mut seen);
    assert_eq!(&seen, b"through one address");
}

#[test]
fn clients_belong_to_the_file_that_made_them() {
    let p = Process::new(Bytes::mib(4), 16);
    let other = FILES.open(Device::Control).expect("opens");
    let mut free = Nvos00 { client: p.client, object: p.client, ..Default::default() };
    let request = Request::Rm { escape: RmEscape::Free, size: 16 };
    p.request(other, request, &mut free).expect("looked at");
    assert_eq!(free.status, NV_ERR_INVALID_CLIENT);
    // SAFETY: plain calls on descriptors that this test opened.
    let twin = unsafe {
        libc::close(other);
        libc::dup(p.control)
    };
    p.request(twin, request, &mut free).expect("looked at");
    assert_eq!(free.status, NV_OK, "a duplicate is the same file");
    // SAFETY: as above.
    unsafe { libc::close(twin) };
}

#[test]
fn the_sides_of_the_sms_can_be_asked_for() {
    let p = Process::new(Bytes::mib(4), 16);
    let mut answer = vec![0u8; 9240];
    let (client, object, params) = (p.client, p.subdevice, answer.as_mut_ptr() as u64);
    let mut ask = Nvos54 { client, object, cmd: 0x2080_121B, params, params_size: 9240, ..Default::default() };
    let mut wrapped = Xfer {
        nr: RmEscape::Control.number(),
        size: size_of::<Nvos54>() as u32,
        ptr: std::ptr::from_mut(&mut ask) as u64,
    };
    p.rm_call(RmEscape::Xfer, &mut wrapped).expect("looked at");
    let word = |at: usize| u16::from_le_bytes([answer[at], answer[at + 1]]);
    assert_eq!((ask.status, word(9216), word(9218)), (NV_OK, 132, 66));
    assert_eq!((0..132).filter(|sm| word(sm * 18 + 12) == 1).count(), 66);
    ask.cmd = 0x2080_1328;
    p.rm_call(RmEscape::Control, &mut ask).expect("looked at");
    assert_eq!(ask.status, NV_ERR_NOT_SUPPORTED);
}

#[test]
fn the_number_of_slices_can_be_asked_for() {
    let p = Process::new(Bytes::mib(4), 16);
    let ask = |count: u32, indices: [u32; 2], size: u32| {
        let mut list = vec![0u32; 257];
        (list[0], list[1], list[3]) = (count, indices[0], indices[1]);
        let (client, object, params) = (p.client, p.subdevice, list.as_mut_ptr() as u64);
        let mut ask = Nvos54 { client, object, cmd: 0x2080_1303, params, params_size: size, ..Default::default() };
        p.rm_call(RmEscape::Control, &mut ask).expect("looked at");
        (ask.status, list[2], list[4])
    };
    assert_eq!(ask(2, [0x1B, 0x23], 1028), (NV_OK, 50 << 20, 94));
    assert_eq!(ask(1, [0x23, 0x23], 1028), (NV_OK, 94, 0));
    assert_eq!(ask(128, [0x23, 0x23], 1028).0, NV_ERR_INVALID_ARGUMENT, "index 0 is not known");
    assert_eq!(ask(129, [0x23, 0x23], 1028), (NV_ERR_INVALID_ARGUMENT, 0, 0));
    assert_eq!(ask(1, [0x23, 0x23], 1024), (NV_ERR_INVALID_ARGUMENT, 0, 0));
}

#[test]
fn parameters_are_checked_as_the_kernel_does() {
    let p = Process::new(Bytes::mib(4), 16);
    assert_eq!(p.alloc(p.device, CLASS_MEMORY_LOCAL_USER), Err(NV_ERR_INVALID_ARGUMENT));
    assert_eq!(p.alloc(p.device, CLASS_VASPACE), Err(NV_ERR_INVALID_ARGUMENT));
    assert_eq!(p.alloc(p.device, 0xC0DE), Err(NV_ERR_INVALID_CLASS));
    let mut short = [0u8; 8];
    assert_eq!(p.rm_call(RmEscape::Free, &mut short), Err(Errno(libc::EINVAL)));
    assert_eq!(p.uvm_call(UvmCommand::Deinitialize, &mut ()), Ok(()));
    assert_eq!(p.range(UvmCommand::CreateExternalRange, VA, M2), 0x16, "it has to be initialized first");
    let mut version = VersionCheck { cmd: 0, reply: 0, version: [0; 64] };
    p.rm_call(RmEscape::CheckVersion, &mut version).expect("looked at");
    assert_eq!(abi::DriverVersion::from_c_field(&version.version), Some(p.modules.machine.spec().driver));
}
