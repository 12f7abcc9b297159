//! The resource manager: clients, their objects, and what can be asked of them.

use super::files::FileId;
use super::memory::Memory;
use super::user::{Errno, update};
use super::{Device, groups, rm_alloc, rm_control};
use crate::machine::Machine;
use crate::timing::group::Group;
use abi::RmEscape;
use abi::groups::DISABLE_CHANNELS;
use abi::rm::*;
use core::ffi::c_void;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who asks.
pub(super) struct Caller {
    pub(super) machine: &'static Machine,
    pub(super) file: FileId,
    pub(super) device: Device,
}

/// What an object is.
pub(super) enum Kind {
    Device,
    Subdevice,
    Vaspace,
    Memory(Arc<Memory>),
    Group(Arc<Group>),
    Channel {
        disabled: bool,
    },
    /// The purpose of a channel: computing or copying.
    Purpose,
}

pub(super) struct Object {
    pub(super) parent: u32,
    pub(super) kind: Kind,
}

/// A client: a namespace of objects. It belongs to the open file that made it.
pub(super) struct Client {
    pub(super) file: FileId,
    pub(super) objects: BTreeMap<u32, Object>,
}

/// The process's clients, by handle.
#[derive(Default)]
pub(super) struct Rm {
    pub(super) clients: BTreeMap<u32, Client>,
    pub(super) chosen: u32,
}

impl Rm {
    /// Makes the object that a request asks for; writes its handle and returns the status.
    ///
    /// # Safety
    /// The pointer in the request is null or points to the class's parameters.
    unsafe fn alloc_for(&mut self, caller: &Caller, request: &mut Nvos21) -> u32 {
        let mut wanted = rm_alloc::Wanted {
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

    /// The memory that a mapping names, for whoever shows the file that made the client.
    pub(super) fn memory(&self, file: FileId, client: u32, object: u32) -> Result<&Arc<Memory>, u32> {
        match &self.object(file, client, object)?.kind {
            Kind::Memory(memory) => Ok(memory),
            _ => Err(NV_ERR_INVALID_ARGUMENT),
        }
    }

    pub(super) fn object(&self, file: FileId, client: u32, object: u32) -> Result<&Object, u32> {
        let client = self.clients.get(&client).filter(|client| client.file == file).ok_or(NV_ERR_INVALID_CLIENT)?;
        client.objects.get(&object).ok_or(NV_ERR_OBJECT_NOT_FOUND)
    }

    /// The client that a request names. Device nodes of a GPU may name any client of the process.
    pub(super) fn client(&mut self, caller: &Caller, client: u32) -> Result<&mut Client, u32> {
        let reaches = |client: &&mut Client| caller.device == Device::Gpu || client.file == caller.file;
        self.clients.get_mut(&client).filter(reaches).ok_or(NV_ERR_INVALID_CLIENT)
    }

    fn free(&mut self, caller: &Caller, wanted: &Nvos00) -> Result<(), u32> {
        let client = self.client(caller, wanted.client)?;
        if wanted.object == wanted.client {
            self.clients.remove(&wanted.client);
            return Ok(());
        }
        client.objects.remove(&wanted.object).ok_or(NV_ERR_OBJECT_NOT_FOUND)?;
        let mut parents = vec![wanted.object];
        while let Some(gone) = parents.pop() {
            client.objects.retain(|&handle, object| {
                let stays = object.parent != gone;
                if !stays {
                    parents.push(handle);
                }
                stays
            });
        }
        self.review_groups(caller, false);
        Ok(())
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
            Some(Kind::Subdevice) => unsafe { rm_control::of_subdevice(caller.machine.spec(), wanted) },
            // SAFETY: as above.
            Some(Kind::Group(group)) => unsafe { groups::control(caller, group, wanted) },
            _ => Err(NV_ERR_NOT_SUPPORTED),
        }
    }
}

pub(super) fn status(outcome: Result<(), u32>) -> u32 {
    outcome.err().unwrap_or(NV_OK)
}
