//! The resource manager: what can be asked of it.

mod alloc;
pub(super) mod clients;
pub(crate) mod control;
pub(crate) mod groups;

use super::user::{Errno, update};
use abi::RmEscape;
use abi::groups::DISABLE_CHANNELS;
use abi::rm::*;
use clients::{Caller, Kind, Rm, status};
use core::ffi::c_void;

impl Rm {
    /// Makes the object that a request asks for; writes its handle and returns the status.
    ///
    /// # Safety
    /// The pointer in the request is null or points to the class's parameters.
    unsafe fn alloc_for(&mut self, caller: &Caller, request: &mut Nvos21) -> u32 {
        let mut wanted = alloc::Wanted {
            client: request.client,
            parent: request.parent,
            object: request.object,
            class: request.class,
            params: request.params as *mut c_void,
            params_size: request.params_size,
        };
        // SAFETY: the caller answers for the pointer.
        let made = unsafe { self.alloc(caller, &mut wanted) };
        request.object = wanted.object;
        status(made)
    }

    /// # Safety
    /// `arg` is null or points to `size` bytes of the escape's parameter, and so do the pointers in it.
    pub(super) unsafe fn serve(
        &mut self,
        caller: &Caller,
        escape: RmEscape,
        size: usize,
        arg: *mut c_void,
    ) -> Result<(), Errno> {
        // SAFETY: the caller answers for `arg`; each `update` checks that the size is the structure's, all of which
        // are plain integers.
        unsafe {
            match escape {
                RmEscape::CheckVersion => update(arg, size, |p: &mut VersionCheck| {
                    let version = caller.machine.spec().driver.to_string();
                    p.reply = 1;
                    p.version = [0; 64];
                    p.version[..version.len()].copy_from_slice(version.as_bytes());
                }),
                RmEscape::Alloc if size == size_of::<Nvos21>() => update(arg, size, |p: &mut Nvos21| {
                    p.status = self.alloc_for(caller, p);
                }),
                RmEscape::Alloc => update(arg, size, |p: &mut Nvos64| {
                    // The shorter form is this one's beginning, but for the sizes and the status.
                    let Nvos64 { client, parent, object, class, params, params_size, .. } = *p;
                    let mut short = Nvos21 { client, parent, object, class, params, params_size, status: NV_OK };
                    p.status = self.alloc_for(caller, &mut short);
                    p.object = short.object;
                }),
                RmEscape::Free => update(arg, size, |p: &mut Nvos00| p.status = status(self.free(caller, p))),
                RmEscape::Control => update(arg, size, |p: &mut Nvos54| p.status = status(self.control(caller, p))),
                RmEscape::DupObject => {
                    update(arg, size, |p: &mut groups::Duplicate| p.status = status(self.duplicate(caller, p)))
                }
                RmEscape::Xfer => Err(Errno(libc::EINVAL)),
            }
        }
    }

    /// # Safety
    /// `wanted.params` is null or points to `wanted.params_size` writable bytes.
    unsafe fn control(&mut self, caller: &Caller, wanted: &Nvos54) -> Result<(), u32> {
        let client = self.client(caller, wanted.client)?;
        if wanted.object != wanted.client && !client.objects.contains_key(&wanted.object) {
            return Err(NV_ERR_OBJECT_NOT_FOUND);
        }
        let kind = client.objects.get(&wanted.object).map(|object| &object.kind);
        if wanted.cmd == DISABLE_CHANNELS && matches!(kind, Some(Kind::Subdevice)) {
            // SAFETY: the caller answers for the pointer and its size.
            return unsafe { self.disable_channels(caller, wanted) };
        }
        match kind {
            // SAFETY: as above.
            Some(Kind::Subdevice) => unsafe { control::of_subdevice(caller.machine.spec(), wanted) },
            // SAFETY: as above.
            Some(Kind::Group(group)) => unsafe { groups::control(caller, group, wanted) },
            _ => Err(NV_ERR_NOT_SUPPORTED),
        }
    }
}
