//! The channel groups of a context: made with it in the order in which the real library makes them, and freed with it.

use super::Outcome;
use super::requests::Rm;
use crate::os::rm::control::{SET_PREEMPTION_MODE, SET_PREEMPTION_MODE_BYTES};
use crate::os::rm::groups::{CLASS_COMPUTE, CLASS_COPY, SCHEDULE, has_mps};
use crate::timing::engine::{TO_DEVICE, TO_HOST};
use crate::timing::group::Group;
use abi::groups::{CLASS_HOPPER_CHANNEL, ENGINE_COPY0, ENGINE_GR0, SET_TIMESLICE, TimeSlice};
use std::sync::Arc;

/// The copy engines that a context has groups on. Nothing goes through the third in the simulation.
const COPY_ENGINES: [u32; 3] = [TO_DEVICE, TO_HOST, ENGINE_COPY0 + 4];
/// Channels of a group: of a copy engine, of GR0, and of GR0 under a duplicate of the MPS server's group.
const COPY_CHANNELS: usize = 4;
const GRAPHICS_CHANNELS: usize = 8;
const SERVED_CHANNELS: usize = 2;
/// The slice of the group on GR0, in microseconds.
const GRAPHICS_SLICE_US: u64 = 2048;

/// A context's channel groups.
pub(crate) struct Channels {
    /// Their handles, in the order in which they were made.
    handles: Vec<u32>,
    /// The group that runs its kernels.
    pub(crate) graphics: Arc<Group>,
    /// The group that copies from the host to the device.
    pub(crate) to_device: Arc<Group>,
    /// The group that copies from the device to the host.
    pub(crate) to_host: Arc<Group>,
}

impl Channels {
    /// Makes the groups of a new context.
    pub(crate) fn create(rm: &Rm) -> Outcome<Self> {
        let mut handles = Vec::new();
        let made = if has_mps() { make_served(rm, &mut handles) } else { make_own(rm, &mut handles) };
        let found = made.and_then(|()| {
            let group = |index: usize| rm.group(handles[index]);
            Ok((group(0)?, group(1)?, group(2)?))
        });
        match found {
            Ok((graphics, to_device, to_host)) => Ok(Channels { handles, graphics, to_device, to_host }),
            Err(code) => {
                free(rm, &handles);
                Err(code)
            }
        }
    }

    /// Frees the groups, with the channels under them.
    pub(crate) fn free(&self, rm: &Rm) {
        free(rm, &self.handles);
    }
}

fn free(rm: &Rm, handles: &[u32]) {
    handles.iter().rev().for_each(|&group| rm.free(group));
}

/// All groups as a context without MPS has them.
fn make_own(rm: &Rm, handles: &mut Vec<u32>) -> Outcome {
    let graphics = rm.alloc_group(ENGINE_GR0)?;
    handles.push(graphics);
    fill(rm, graphics, GRAPHICS_CHANNELS, &[CLASS_COMPUTE, CLASS_COPY])?;
    schedule(rm, graphics)?;
    for engine in COPY_ENGINES {
        make_copying(rm, engine, COPY_CHANNELS, handles)?;
    }
    rm.control_subdevice(SET_PREEMPTION_MODE, &mut [0u8; SET_PREEMPTION_MODE_BYTES])?;
    rm.control_group(graphics, SET_TIMESLICE, &mut TimeSlice { micros: GRAPHICS_SLICE_US })
}

/// All groups as a client of MPS has them: its kernels go through the server's group.
fn make_served(rm: &Rm, handles: &mut Vec<u32>) -> Outcome {
    let graphics = rm.duplicate_server_group()?;
    handles.push(graphics);
    fill(rm, graphics, SERVED_CHANNELS, &[CLASS_COMPUTE, CLASS_COPY])?;
    for engine in COPY_ENGINES {
        make_copying(rm, engine, COPY_CHANNELS, handles)?;
    }
    make_copying(rm, COPY_ENGINES[0], 1, handles)
}

fn make_copying(rm: &Rm, engine: u32, channels: usize, handles: &mut Vec<u32>) -> Outcome {
    let group = rm.alloc_group(engine)?;
    handles.push(group);
    fill(rm, group, channels, &[CLASS_COPY])?;
    schedule(rm, group)
}

/// Makes the channels of a group, and what each of them is for.
fn fill(rm: &Rm, group: u32, channels: usize, purposes: &[u32]) -> Outcome {
    for _ in 0..channels {
        let channel = rm.alloc_plain(group, CLASS_HOPPER_CHANNEL)?;
        for &purpose in purposes {
            rm.alloc_plain(channel, purpose)?;
        }
    }
    Ok(())
}

/// Puts a group on its runlist: enable it, and skip neither submitting nor enabling.
fn schedule(rm: &Rm, group: u32) -> Outcome {
    rm.control_group(group, SCHEDULE, &mut [1u8, 0, 0])
}
