//! Clients of the resource manager and their objects.

use crate::machine::Machine;
use crate::os::files::{Device, FileId};
use crate::os::memory::Memory;
use crate::timing::group::Group;
use abi::rm::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `NV_ERR_INSERT_DUPLICATE_NAME`: the handle is taken.
const NV_ERR_INSERT_DUPLICATE_NAME: u32 = 0x19;
/// `NV_ERR_INVALID_OBJECT_PARENT`.
pub(in crate::os) const NV_ERR_INVALID_OBJECT_PARENT: u32 = 0x36;

/// The first handles that are chosen for clients and for objects, as far apart as the real ones.
const FIRST_CLIENT: u32 = 0xC1D0_0000;
const FIRST_OBJECT: u32 = 0xCAF0_0000;

/// The asking file and device, and the machine.
pub(in crate::os) struct Caller {
    pub(in crate::os) machine: &'static Machine,
    pub(in crate::os) file: FileId,
    pub(in crate::os) device: Device,
}

/// The kind of an object.
pub(in crate::os) enum Kind {
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

pub(in crate::os) struct Object {
    pub(in crate::os) parent: u32,
    pub(in crate::os) kind: Kind,
}

/// A client: a namespace of objects. It belongs to the open file that made it.
pub(in crate::os) struct Client {
    pub(in crate::os) file: FileId,
    pub(in crate::os) objects: BTreeMap<u32, Object>,
}

/// The process's clients, by handle.
#[derive(Default)]
pub(in crate::os) struct Rm {
    pub(in crate::os) clients: BTreeMap<u32, Client>,
    pub(in crate::os) chosen: u32,
}

impl Rm {
    /// The memory that a mapping names, for whoever shows the file that made the client.
    pub(in crate::os) fn memory(&self, file: FileId, client: u32, object: u32) -> Result<&Arc<Memory>, u32> {
        match &self.object(file, client, object)?.kind {
            Kind::Memory(memory) => Ok(memory),
            _ => Err(NV_ERR_INVALID_ARGUMENT),
        }
    }

    pub(in crate::os) fn object(&self, file: FileId, client: u32, object: u32) -> Result<&Object, u32> {
        let client = self.clients.get(&client).filter(|client| client.file == file).ok_or(NV_ERR_INVALID_CLIENT)?;
        client.objects.get(&object).ok_or(NV_ERR_OBJECT_NOT_FOUND)
    }

    /// The client that a request names. Device nodes of a GPU may name any client of the process.
    pub(in crate::os) fn client(&mut self, caller: &Caller, client: u32) -> Result<&mut Client, u32> {
        let reaches = |client: &&mut Client| caller.device == Device::Gpu || client.file == caller.file;
        self.clients.get_mut(&client).filter(reaches).ok_or(NV_ERR_INVALID_CLIENT)
    }

    /// Removes an object with all under it, or a client.
    pub(in crate::os) fn free(&mut self, caller: &Caller, wanted: &Nvos00) -> Result<(), u32> {
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

    /// The group behind a handle.
    pub(in crate::os) fn group(&self, client: u32, object: u32) -> Option<&Arc<Group>> {
        match &self.clients.get(&client)?.objects.get(&object)?.kind {
            Kind::Group(group) => Some(group),
            _ => None,
        }
    }

    /// Fails where a handle that is asked for is taken.
    pub(in crate::os) fn check_name(&mut self, caller: &Caller, client: u32, object: u32) -> Result<(), u32> {
        let taken = self.client(caller, client)?.objects.contains_key(&object);
        if object != 0 && (object == client || taken) { Err(NV_ERR_INSERT_DUPLICATE_NAME) } else { Ok(()) }
    }

    /// Fails unless the parent is there and of a kind that fits.
    pub(in crate::os) fn check_parent(
        &mut self,
        caller: &Caller,
        client: u32,
        parent: u32,
        fits: fn(&Kind) -> bool,
    ) -> Result<(), u32> {
        let parent = self.client(caller, client)?.objects.get(&parent).ok_or(NV_ERR_OBJECT_NOT_FOUND)?;
        if fits(&parent.kind) { Ok(()) } else { Err(NV_ERR_INVALID_OBJECT_PARENT) }
    }

    /// Adds an object under the handle that is asked for, or under one of the resource manager's choice; returns it.
    pub(in crate::os) fn insert(
        &mut self,
        caller: &Caller,
        client: u32,
        object: u32,
        parent: u32,
        kind: Kind,
    ) -> Result<u32, u32> {
        self.check_name(caller, client, object)?;
        let handle = if object == 0 { self.choose(client) } else { object };
        self.client(caller, client)?.objects.insert(handle, Object { parent, kind });
        // A channel that is new is not disabled, so its group is not stopped.
        self.review_groups(caller, false);
        Ok(handle)
    }

    /// Adds a client under the handle that is asked for, or under one of the resource manager's choice; returns it.
    pub(in crate::os) fn alloc_client(&mut self, caller: &Caller, handle: u32) -> Result<u32, u32> {
        let handle = match handle {
            0 => {
                let free = |handle: &u32| !self.clients.contains_key(handle);
                (FIRST_CLIENT..=u32::MAX).find(free).ok_or(NV_ERR_INSUFFICIENT_RESOURCES)?
            }
            taken if self.clients.contains_key(&taken) => return Err(NV_ERR_INSERT_DUPLICATE_NAME),
            handle => handle,
        };
        self.clients.insert(handle, Client { file: caller.file, objects: BTreeMap::new() });
        Ok(handle)
    }

    /// A handle that no object of the client has. It goes up, so that a handle is not soon used again.
    fn choose(&mut self, client: u32) -> u32 {
        loop {
            let handle = FIRST_OBJECT.wrapping_add(self.chosen);
            self.chosen = self.chosen.wrapping_add(1);
            let taken = self.clients.get(&client).is_some_and(|client| client.objects.contains_key(&handle));
            if handle != 0 && handle != client && !taken {
                return handle;
            }
        }
    }

    /// Stops the groups all of whose channels are disabled, under whatever handles, and lets the others go on. `gently`
    /// lets a turn that runs end first.
    pub(in crate::os) fn review_groups(&self, caller: &Caller, gently: bool) {
        let mut groups: BTreeMap<u64, (&Group, Vec<bool>)> = BTreeMap::new();
        for client in self.clients.values() {
            for (handle, object) in &client.objects {
                let Kind::Group(group) = &object.kind else { continue };
                let children = client.objects.values().filter(|child| child.parent == *handle);
                let (_, disabled) = groups.entry(group.key).or_insert((group, Vec::new()));
                disabled.extend(children.filter_map(|child| match child.kind {
                    Kind::Channel { disabled } => Some(disabled),
                    _ => None,
                }));
            }
        }
        for (group, disabled) in groups.into_values() {
            let stopped = !disabled.is_empty() && disabled.into_iter().all(|disabled| disabled);
            if group.set_stopped(stopped)
                && let Some(engine) = caller.machine.engine(group)
            {
                engine.stop_changed(group, gently);
            }
        }
    }
}

pub(in crate::os) fn status(outcome: Result<(), u32>) -> u32 {
    outcome.err().unwrap_or(NV_OK)
}
