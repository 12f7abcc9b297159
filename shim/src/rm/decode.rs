//! Reading what the driver's library asks of the kernel: which request it is, and its parameter by type.

use super::call::RmCall;
use abi::rm::{Nvos21, Nvos64, Xfer};
use abi::{Request, RmEscape, UvmCommand};
use std::ffi::{c_int, c_ulong, c_void};
use std::mem::offset_of;

/// A request that is known by name, with its parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) fd: c_int,
    request: Request,
    parameter: *mut c_void,
}

impl Asked {
    /// The request of an `ioctl`, taken out of the wrapping in which some come. `None` for one that is not known, and for
    /// a wrapping of nothing known.
    ///
    /// # Safety
    /// `parameter` is null, or that of an `ioctl` of the number `request`.
    pub(crate) unsafe fn decode(fd: c_int, request: c_ulong, parameter: *mut c_void) -> Option<Asked> {
        if parameter.is_null() {
            return None;
        }
        let request = Request::decode(request)?;
        let Request::Rm { escape: RmEscape::Xfer, size } = request else {
            return Some(Asked { fd, request, parameter });
        };
        if size != size_of::<Xfer>() {
            return None;
        }
        // SAFETY: a request of this number and size has this parameter, which the driver's library made for the kernel.
        let xfer = unsafe { parameter.cast::<Xfer>().read_unaligned() };
        let request = Request::unwrap_xfer(xfer.nr, xfer.size)?;
        let wrapped_again = matches!(request, Request::Rm { escape: RmEscape::Xfer, .. });
        let parameter = xfer.ptr as *mut c_void;
        (!wrapped_again && !parameter.is_null()).then_some(Asked { fd, request, parameter })
    }

    /// The command, if it is one of the unified-memory module's.
    pub(crate) fn uvm(&self) -> Option<UvmCommand> {
        match self.request {
            Request::Uvm(command) => Some(command),
            Request::Rm { .. } => None,
        }
    }

    /// The place of the parameter, if it is a `C`.
    pub(crate) fn place<C: RmCall>(&self) -> Option<*mut C> {
        let number = match self.request {
            Request::Rm { escape, size } => escape.request(size),
            Request::Uvm(command) => command.number(),
        };
        (number == C::REQUEST).then(|| self.parameter.cast())
    }

    /// The parameter, if it is a `C`.
    pub(crate) fn read<C: RmCall + Copy>(&self) -> Option<C> {
        // SAFETY: a request of this number has this parameter ([`RmCall`]), which lives while the `ioctl` goes on.
        self.place::<C>().map(|place| unsafe { place.read_unaligned() })
    }

    /// The object that was made, if one was. The longer form of the request begins like the shorter one and has its
    /// status elsewhere.
    pub(crate) fn made(&self) -> Option<Nvos21> {
        let Request::Rm { escape: RmEscape::Alloc, size } = self.request else { return None };
        let status_at = match size {
            size if size == size_of::<Nvos21>() => offset_of!(Nvos21, status),
            size if size == size_of::<Nvos64>() => offset_of!(Nvos64, status),
            _ => return None,
        };
        // SAFETY: the parameter has `size` bytes, and both forms begin with these fields.
        let (call, status) = unsafe {
            let status = self.parameter.byte_add(status_at).cast::<u32>().read_unaligned();
            (self.parameter.cast::<Nvos21>().read_unaligned(), status)
        };
        super::call::Status::checked(status).is_ok().then_some(call)
    }
}
