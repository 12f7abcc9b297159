//! Channel groups, their channels, and the controls that govern their turns.
//!
//! Sources: open-gpu-kernel-modules 580.142, `ctrl/ctrla06c.h`, `ctrl/ctrl2080/ctrl2080fifo.h`, `nvos.h` (NVOS55); the
//! real modules check the size of a parameter before anything else, and do nothing where they refuse.

use super::clients::{Caller, Kind, Object, Rm};
use crate::os::user::{copy_in, update};
use crate::timing::group::Group;
use abi::groups::*;
use abi::rm::*;
use core::ffi::c_void;
use std::sync::Arc;

/// Class `HOPPER_COMPUTE_A` and class `HOPPER_DMA_COPY_A`: what channels are for.
pub(crate) const CLASS_COMPUTE: u32 = 0xCBC0;
pub(crate) const CLASS_COPY: u32 = 0xC8B5;

/// `NVA06C_CTRL_CMD_GPFIFO_SCHEDULE`, three bytes, and `NVA06C_CTRL_CMD_SET_INTERLEAVE_LEVEL`.
pub(crate) const SCHEDULE: u32 = 0xA06C_0101;
pub(super) const SET_INTERLEAVE_LEVEL: u32 = 0xA06C_0107;

/// The client and the group of the simulated MPS server, which live in no process.
pub(crate) const SERVER_CLIENT: u32 = 0xC1D0_FFFE;
pub(crate) const SERVER_GROUP: u32 = 0xCAF0_FFFE;

/// Whether the process is to find itself under MPS.
pub(crate) fn has_mps() -> bool {
    std::env::var_os("SIMGPU_MPS").is_some_and(|set| set == "1")
}

/// Parameter of `NV_ESC_RM_DUP_OBJECT` (NVOS55).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Duplicate {
    /// The client, parent and handle of the new object; a handle of 0 lets the resource manager choose.
    pub(crate) client: u32,
    pub(crate) parent: u32,
    pub(crate) object: u32,
    /// The object to duplicate, and its client.
    pub(crate) source_client: u32,
    pub(crate) source: u32,
    pub(crate) flags: u32,
    /// The outcome.
    pub(crate) status: u32,
}

const _: () = assert!(size_of::<Duplicate>() == 28);

/// Makes the group that an allocation asks for.
///
/// # Safety
/// `params` is null or points to `ChannelGroupParams`, of which `size` says the size or, as 0, nothing.
pub(super) unsafe fn create(caller: &Caller, params: *mut c_void, size: u32) -> Result<Arc<Group>, u32> {
    let size = if size == 0 { size_of::<ChannelGroupParams>() } else { size as usize };
    // SAFETY: the caller answers for the pointer, and `copy_in` checks null and the size.
    let asked: ChannelGroupParams = unsafe { copy_in(params, size) }.map_err(|_| NV_ERR_INVALID_ARGUMENT)?;
    if !is_graphics(asked.engine) && !is_copy(asked.engine) {
        return Err(NV_ERR_INVALID_ARGUMENT);
    }
    Ok(Arc::new(Group::new(caller.machine.slot(), asked.engine, false)))
}

/// Answers a control on a group.
///
/// # Safety
/// `wanted.params` is null or points to `wanted.params_size` writable bytes.
pub(super) unsafe fn control(caller: &Caller, group: &Group, wanted: &Nvos54) -> Result<(), u32> {
    let (params, size) = (wanted.params as *mut c_void, wanted.params_size as usize);
    // SAFETY: the caller answers for the pointer and its size, and all parameters are plain integers.
    let looked_at = unsafe {
        match wanted.cmd {
            SET_TIMESLICE => copy_in(params, size).map(|asked: TimeSlice| {
                group.set_slice(asked.micros);
                if let Some(engine) = caller.machine.engine(group) {
                    engine.slice_changed(group);
                }
            }),
            GET_TIMESLICE => update(params, size, |answer: &mut TimeSlice| answer.micros = group.asked_slice()),
            SCHEDULE => copy_in::<[u8; 3]>(params, size).map(drop),
            SET_INTERLEAVE_LEVEL => return Err(NV_ERR_INSUFFICIENT_PERMISSIONS),
            _ => return Err(NV_ERR_NOT_SUPPORTED),
        }
    };
    looked_at.map_err(|_| NV_ERR_INVALID_PARAM_STRUCT)
}

impl Rm {
    /// Stops channels or lets them go on: all that are named, or none where one is not there.
    ///
    /// # Safety
    /// `wanted.params` is null or points to `wanted.params_size` readable bytes.
    pub(super) unsafe fn disable_channels(&mut self, caller: &Caller, wanted: &Nvos54) -> Result<(), u32> {
        // SAFETY: the caller answers for the pointer and its size.
        let asked: Result<DisableChannels, _> =
            unsafe { copy_in(wanted.params as *const c_void, wanted.params_size as usize) };
        let asked = asked.map_err(|_| NV_ERR_INVALID_PARAM_STRUCT)?;
        let named: Vec<(u32, u32)> = asked.clients.into_iter().zip(asked.channels).collect();
        let named = named.get(..asked.count as usize).ok_or(NV_ERR_INVALID_ARGUMENT)?;
        for &(client, channel) in named {
            match self.client(caller, client)?.objects.get(&channel) {
                Some(Object { kind: Kind::Channel { .. }, .. }) => {}
                _ => return Err(NV_ERR_OBJECT_NOT_FOUND),
            }
        }
        for &(client, channel) in named {
            if let Some(object) = self.client(caller, client)?.objects.get_mut(&channel) {
                object.kind = Kind::Channel { disabled: asked.disable != 0 };
            }
        }
        self.review_groups(caller, asked.only_scheduling != 0);
        Ok(())
    }

    /// Duplicates a group: one of the process's own, or the MPS server's.
    pub(super) fn duplicate(&mut self, caller: &Caller, wanted: &mut Duplicate) -> Result<(), u32> {
        let server = (wanted.source_client, wanted.source) == (SERVER_CLIENT, SERVER_GROUP);
        let group = if server && has_mps() {
            Arc::new(Group::new(caller.machine.slot(), ENGINE_GR0, true))
        } else {
            // All clients of one process share their objects for this.
            let source = self.clients.get(&wanted.source_client).ok_or(NV_ERR_INVALID_CLIENT)?;
            match source.objects.get(&wanted.source) {
                Some(Object { kind: Kind::Group(group), .. }) => group.clone(),
                Some(_) => return Err(NV_ERR_NOT_SUPPORTED),
                None => return Err(NV_ERR_OBJECT_NOT_FOUND),
            }
        };
        self.check_parent(caller, wanted.client, wanted.parent, |kind| matches!(kind, Kind::Device))?;
        wanted.object = self.insert(caller, wanted.client, wanted.object, wanted.parent, Kind::Group(group))?;
        Ok(())
    }
}
