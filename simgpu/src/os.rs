//! The simulated kernel modules: what `ioctl` does on the device nodes of an NVIDIA driver.
//!
//! Nothing outside sees the modules except through requests, the same ones and with the same rules as the real ones
//! of driver branch 580. Objects, ranges and the GPU's page table belong to one process; VRAM and the number of UVM
//! handles are the machine's. The driver above must issue its requests with [`call`], so that whoever interposes
//! `ioctl` sees them.

mod asked;
mod entry;
mod faults;
mod files;
mod memory;
mod origin;
pub(crate) mod rm;
mod user;
mod uvm;

use crate::machine::Machine;
use crate::timing::group::Group;
use abi::Request;
use asked::Asked;
use core::ffi::{c_int, c_ulong, c_void};
use faults::{Faults, Happening};
use files::{FileId, Files};
use origin::Origin;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, RwLock};
use units::{Bytes, DeviceVa, PhysAddr};
use user::Errno;

pub use entry::{call, ioctl};
pub use files::Device;
pub use uvm::pages::Fault;

static FILES: LazyLock<Files> = LazyLock::new(Files::default);

/// Starts the modules for this process, as the environment wants them. Everything below does so by itself; this is for
/// whoever wants to tell why it cannot be done.
pub fn start() -> io::Result<()> {
    Modules::get().map(drop)
}

/// Opens a device node: the descriptor is a real one, of a file that this module knows again.
pub fn open(device: Device) -> io::Result<c_int> {
    Modules::get()?;
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
    let origin = origin::of_this_request();
    let done = match Modules::get() {
        // SAFETY: the caller answers for `arg`.
        Ok(modules) => unsafe { modules.answer(origin, file, device, request, arg) },
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
    let modules = Modules::get().map_err(|_| Fault { va })?;
    for (va, at, bytes) in modules.walk(va, bytes)? {
        visit(va, at, bytes);
    }
    Ok(())
}

/// The channel group behind a handle, as the engines see it.
pub(crate) fn channel_group(client: u32, object: u32) -> Option<Arc<Group>> {
    let rm = Modules::get().ok()?.rm.lock().unwrap_or_else(PoisonError::into_inner);
    rm.group(client, object).cloned()
}

/// Counts the requests that may have changed mappings, whoever issued them: what was learned by a walk holds as long as
/// this number.
pub fn mapping_changes() -> u64 {
    MAPPING_CHANGES.load(Ordering::Acquire)
}

static MAPPING_CHANGES: AtomicU64 = AtomicU64::new(0);

/// The kernel modules' state for this process.
struct Modules {
    machine: &'static Machine,
    /// The faults that are to happen; there are none but in tests.
    faults: Option<Faults>,
    rm: Mutex<rm::clients::Rm>,
    /// Always taken after `rm` where both are.
    uvm: RwLock<uvm::Uvm>,
}

impl Modules {
    fn new(machine: &'static Machine, faults: Option<Faults>) -> Modules {
        Modules { machine, faults, rm: Mutex::default(), uvm: RwLock::default() }
    }

    fn get() -> io::Result<&'static Modules> {
        static MODULES: OnceLock<Modules> = OnceLock::new();
        if let Some(modules) = MODULES.get() {
            return Ok(modules);
        }
        let machine = Machine::get().map_err(io::Error::other)?;
        let faults = Faults::from_env().map_err(io::Error::other)?;
        Ok(MODULES.get_or_init(|| Modules::new(machine, faults)))
    }

    fn walk(&self, va: DeviceVa, bytes: Bytes) -> Result<Vec<(DeviceVa, PhysAddr, Bytes)>, Fault> {
        self.uvm.read().unwrap_or_else(PoisonError::into_inner).pages().walk(va, bytes)
    }

    /// Serves a request, unless it is to go wrong.
    ///
    /// # Safety
    /// As for [`handle`].
    unsafe fn answer(
        &self,
        origin: Origin,
        file: FileId,
        device: Device,
        request: Request,
        arg: *mut c_void,
    ) -> Result<(), Errno> {
        // SAFETY: the caller answers for `arg`, until this function returns.
        let serve = || unsafe { self.serve(file, device, request, arg) };
        let Some(faults) = self.faults.as_ref().filter(|_| origin == Origin::Interposer) else {
            return serve();
        };
        // SAFETY: as above.
        let asked = unsafe { Asked::new(request, arg) }?;
        match faults.meet(asked.command()) {
            None => serve(),
            Some(Happening::Status(code)) => {
                if let Some(mapping) = asked.mapping() {
                    self.uvm.write().unwrap_or_else(PoisonError::into_inner).clear(&mapping);
                    MAPPING_CHANGES.fetch_add(1, Ordering::AcqRel);
                }
                asked.refuse(code)
            }
            Some(Happening::Errno(code)) => Err(Errno(code)),
            Some(Happening::Delay(time)) => {
                std::thread::sleep(time);
                serve()
            }
            Some(Happening::Death) => faults::die(),
            Some(Happening::DeathAfter) => {
                let _ = serve();
                faults::die()
            }
        }
    }

    /// # Safety
    /// As for [`handle`].
    unsafe fn serve(&self, file: FileId, device: Device, request: Request, arg: *mut c_void) -> Result<(), Errno> {
        // SAFETY: the caller answers for `arg`.
        let Asked { request, arg } = unsafe { Asked::new(request, arg) }?;
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
                let caller = rm::clients::Caller { machine: self.machine, file, device };
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
