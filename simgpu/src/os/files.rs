//! The open device nodes.

use core::ffi::c_int;
use std::io;
use std::sync::{PoisonError, RwLock};

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

/// An open file, the same through every duplicate of its descriptor and never that of a later file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: libc::dev_t,
    inode: libc::ino_t,
}

/// Which open files are device nodes. Each is an anonymous file, told by its identity rather than by the number of
/// its descriptor, so that closing one needs no notice here.
#[derive(Default)]
pub(super) struct Files(RwLock<Vec<(FileId, Device)>>);

impl Files {
    pub(super) fn open(&self, device: Device) -> io::Result<c_int> {
        let name = match device {
            Device::Control => c"/dev/nvidiactl",
            Device::Gpu => c"/dev/nvidia0",
            Device::Uvm => c"/dev/nvidia-uvm",
        };
        // SAFETY: the name is a C string, and the call keeps no pointer to it.
        let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let file = identify(fd).ok_or_else(io::Error::last_os_error)?;
        self.0.write().unwrap_or_else(PoisonError::into_inner).push((file, device));
        Ok(fd)
    }

    pub(super) fn find(&self, fd: c_int) -> Option<(FileId, Device)> {
        let file = identify(fd)?;
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|(id, _)| *id == file).copied()
    }
}

fn identify(fd: c_int) -> Option<FileId> {
    let mut found = core::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `fstat` takes any number for a descriptor and a pointer to room for a `stat`.
    if unsafe { libc::fstat(fd, found.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: a successful `fstat` filled it in.
    let found = unsafe { found.assume_init() };
    Some(FileId { device: found.st_dev, inode: found.st_ino })
}
