//! The thing that a request asks for, and how one is refused.

use super::faults::Command;
use super::rm::groups::Duplicate;
use super::user::{Errno, copy_in, update};
use abi::groups::{DISABLE_CHANNELS, GET_TIMESLICE, SET_TIMESLICE};
use abi::rm::*;
use abi::uvm::*;
use abi::{Request, RmEscape, UvmCommand};
use core::ffi::c_void;

/// A request with its parameter, out of its wrapping.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) arg: *mut c_void,
}

impl Asked {
    /// # Safety
    /// `arg` is null or points to the parameter that the request calls for, and so do the pointers in it; this goes on
    /// for as long as the `Asked`.
    pub(super) unsafe fn new(request: Request, arg: *mut c_void) -> Result<Self, Errno> {
        let Request::Rm { escape: RmEscape::Xfer, size } = request else { return Ok(Asked { request, arg }) };
        // SAFETY: the caller answers for `arg`.
        let wrapped: Xfer = unsafe { copy_in(arg, size) }?;
        match Request::unwrap_xfer(wrapped.nr, wrapped.size) {
            Some(Request::Rm { escape: RmEscape::Xfer, .. }) | None => Err(Errno(libc::EINVAL)),
            Some(request) => Ok(Asked { request, arg: wrapped.ptr as *mut c_void }),
        }
    }

    /// Which command it is to the rules for faults.
    pub(super) fn command(&self) -> Command {
        match self.request {
            Request::Uvm(UvmCommand::MapExternalAllocation) => Command::Map,
            Request::Uvm(UvmCommand::UnmapExternal) => Command::Unmap,
            Request::Rm { escape: RmEscape::Free, .. } => Command::Free,
            Request::Rm { escape: RmEscape::Alloc, size } if self.class(size) == Some(CLASS_MEMORY_LOCAL_USER) => {
                Command::Alloc
            }
            Request::Rm { escape: RmEscape::Control, size } => match self.control(size) {
                Some(SET_TIMESLICE) => Command::Slice,
                Some(GET_TIMESLICE) => Command::GetSlice,
                Some(DISABLE_CHANNELS) => Command::Stop,
                _ => Command::Other,
            },
            _ => Command::Other,
        }
    }

    /// The number of a control.
    fn control(&self, size: usize) -> Option<u32> {
        // SAFETY: `new`'s caller answered for the parameter, which is plain integers.
        unsafe { copy_in::<Nvos54>(self.arg, size) }.ok().map(|request| request.cmd)
    }

    /// The class of an allocation, whose shorter form is the beginning of the longer one up to there.
    fn class(&self, size: usize) -> Option<u32> {
        if ![size_of::<Nvos21>(), size_of::<Nvos64>()].contains(&size) {
            return None;
        }
        // SAFETY: `new`'s caller answered for the parameter, and either form is as long as this one.
        unsafe { copy_in::<Nvos21>(self.arg, size_of::<Nvos21>()) }.ok().map(|request| request.class)
    }

    /// The mapping that it asks for.
    pub(super) fn mapping(&self) -> Option<MapExternalAllocation> {
        match self.request {
            Request::Uvm(UvmCommand::MapExternalAllocation) => {
                // SAFETY: `new`'s caller answered for the parameter, which is plain integers.
                unsafe { copy_in(self.arg, size_of::<MapExternalAllocation>()) }.ok()
            }
            _ => None,
        }
    }

    /// Writes a status into the parameter. A request without one fails itself.
    pub(super) fn refuse(&self, code: u32) -> Result<(), Errno> {
        macro_rules! status_of {
            ($parameter:ident, $size:expr) => {
                // SAFETY: `new`'s caller answered for the parameter as the request's, all of which are plain integers.
                unsafe { update(self.arg, $size, |p: &mut $parameter| p.status = code) }
            };
            ($parameter:ident) => {
                status_of!($parameter, size_of::<$parameter>())
            };
        }
        match self.request {
            Request::Rm { escape, size } => match escape {
                RmEscape::Alloc if size == size_of::<Nvos21>() => status_of!(Nvos21, size),
                RmEscape::Alloc => status_of!(Nvos64, size),
                RmEscape::Free => status_of!(Nvos00, size),
                RmEscape::Control => status_of!(Nvos54, size),
                RmEscape::DupObject => status_of!(Duplicate, size),
                RmEscape::CheckVersion | RmEscape::Xfer => Err(Errno(libc::EIO)),
            },
            Request::Uvm(command) => match command {
                UvmCommand::Initialize => status_of!(Initialize),
                UvmCommand::Deinitialize => Err(Errno(libc::EIO)),
                UvmCommand::RegisterGpu => status_of!(RegisterGpu),
                UvmCommand::RegisterGpuVaspace => status_of!(RegisterGpuVaspace),
                UvmCommand::CreateExternalRange | UvmCommand::ValidateVaRange | UvmCommand::Free => status_of!(Range),
                UvmCommand::MapExternalAllocation => status_of!(MapExternalAllocation),
                UvmCommand::UnmapExternal => status_of!(UnmapExternal),
            },
        }
    }
}
