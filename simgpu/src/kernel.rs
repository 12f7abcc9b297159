//! The simulated kernel modules: what `ioctl` does on the device nodes of an NVIDIA driver.
//!
//! Nothing outside sees the modules except through requests, the same ones and with the same rules as the real ones
//! of driver branch 580. Objects, ranges and the GPU's page table belong to one process; VRAM and the number of UVM
//! handles are the machine's. The driver above must issue its requests with [`call`], so that whoever interposes
//! `ioctl` sees them.

mod entry;
mod files;
mod memory;
mod pages;
mod rm;
mod rm_alloc;
mod rm_control;
mod user;
mod uvm;

use crate::machine::Machine;
use abi::{Request, RmEscape};
use core::ffi::{c_int, c_ulong, c_void};
use files::{FileId, Files};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError, RwLock};
use units::{Bytes, DeviceVa, PhysAddr};
use user::{Errno, copy_in};

pub use entry::{call, ioctl};

/// A device node of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// `/dev/nvidiactl`.
    Control,
    /// `/dev/nvidia0`.
    Gpu,
    /// `/dev/nvidia-uvm`.
    Uvm,
}

/// An address that the GPU's page table does not map. A real GPU kills the context (Xid 31).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the GPU has no mapping at {va}")]
pub struct Fault {
    /// The first such address.
    pub va: DeviceVa,
}

static FILES: LazyLock<Files> = LazyLock::new(Files::default);

/// Opens a device node: the descriptor is a real one, of a file that this module knows again.
pub fn open(device: Device) -> io::Result<c_int> {
    Kernel::get()?;
    FILES.open(device)
}

/// Does what a request asks, or answers `None` where the descriptor or the number is none of the kernel modules'.
///
/// The answer is `ioctl`'s: 0, or -1 with `errno` set. As with the real modules, most failures are a 0 and a status
/// in the parameter.
///
/// # Safety
/// `arg` is null or points to the parameter that the request calls for, and so do the pointers in it.
pub unsafe fn handle(fd: c_int, request: c_ulong, arg: *mut c_void) -> Option<c_int> {
    let request = Request::decode(request)?;
    let (file, device) = FILES.find(fd)?;
    let done = match Kernel::get() {
        // SAFETY: the caller answers for `arg`.
        Ok(kernel) => unsafe { kernel.serve(file, device, request, arg) },
        Err(_) => Err(Errno(libc::ENODEV)),
    };
    Some(match done {
        Ok(()) => 0,
        Err(Errno(errno)) => {
            // SAFETY: the location is this thread's own `errno`.
            unsafe { *libc::__errno_location() = errno };
            -1
        }
    })
}

/// Visits the physical runs behind a stretch of addresses, in order, contiguous ones as one; or visits nothing and
/// says where the page table has a hole.
///
/// No lock is held during a visit. VRAM stays readable even if the stretch is unmapped meanwhile, but may by then
/// belong to somebody else; a real GPU is no kinder to a program that frees what it uses.
pub fn for_each_page_run(
    va: DeviceVa,
    bytes: Bytes,
    visit: &mut dyn FnMut(DeviceVa, PhysAddr, Bytes),
) -> Result<(), Fault> {
    let kernel = Kernel::get().map_err(|_| Fault { va })?;
    for (va, at, bytes) in kernel.walk(va, bytes)? {
        visit(va, at, bytes);
    }
    Ok(())
}

/// Counts the requests that may have changed mappings, whoever issued them: what was learned by a walk holds as long as
/// this number.
pub fn mapping_changes() -> u64 {
    MAPPING_CHANGES.load(Ordering::Acquire)
}

static MAPPING_CHANGES: AtomicU64 = AtomicU64::new(0);

/// The kernel modules' state for this process.
struct Kernel {
    machine: &'static Machine,
    rm: Mutex<rm::Rm>,
    /// Always taken after `rm` where both are.
    uvm: RwLock<uvm::Uvm>,
}

impl Kernel {
    fn new(machine: &'static Machine) -> Kernel {
        Kernel { machine, rm: Mutex::default(), uvm: RwLock::default() }
    }

    fn get() -> io::Result<&'static Kernel> {
        static KERNEL: OnceLock<Kernel> = OnceLock::new();
        let machine = Machine::get().map_err(io::Error::other)?;
        Ok(KERNEL.get_or_init(|| Kernel::new(machine)))
    }

    fn walk(&self, va: DeviceVa, bytes: Bytes) -> Result<Vec<(DeviceVa, PhysAddr, Bytes)>, Fault> {
        self.uvm.read().unwrap_or_else(PoisonError::into_inner).pages().walk(va, bytes)
    }

    /// # Safety
    /// As for [`handle`].
    unsafe fn serve(&self, file: FileId, device: Device, request: Request, arg: *mut c_void) -> Result<(), Errno> {
        match (device, request) {
            (Device::Uvm, Request::Uvm(command)) => {
                let rm = self.rm.lock().unwrap_or_else(PoisonError::into_inner);
                let mut uvm = self.uvm.write().unwrap_or_else(PoisonError::into_inner);
                let control = |fd| FILES.find(fd).filter(|found| found.1 == Device::Control).map(|found| found.0);
                let world = uvm::World { machine: self.machine, rm: &rm, control: &control };
                // SAFETY: the caller answers for `arg`.
                let served = unsafe { uvm.serve(&world, command, arg) };
                MAPPING_CHANGES.fetch_add(1, Ordering::AcqRel);
                served
            }
            (Device::Control | Device::Gpu, Request::Rm { escape, size }) => {
                let (escape, size, arg) = match escape {
                    RmEscape::Xfer => {
                        // SAFETY: the caller answers for `arg`.
                        let wrapped: abi::rm::Xfer = unsafe { copy_in(arg, size) }?;
                        match Request::unwrap_xfer(wrapped.nr, wrapped.size) {
                            Some(Request::Rm { escape, size }) => (escape, size, wrapped.ptr as *mut c_void),
                            _ => return Err(Errno(libc::EINVAL)),
                        }
                    }
                    _ => (escape, size, arg),
                };
                let caller = rm::Caller { machine: self.machine, file, device };
                let mut rm = self.rm.lock().unwrap_or_else(PoisonError::into_inner);
                // SAFETY: the caller answers for `arg`, and for the pointer in a wrapped request.
                unsafe { rm.serve(&caller, escape, size, arg) }
            }
            _ => Err(Errno(libc::EINVAL)),
        }
    }
}

#[cfg(test)]
mod tests;
