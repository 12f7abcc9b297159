//! The requests that govern a group's turns, on the driver's own objects and descriptor.

use super::{Handle, Subdevice};
use crate::kernel::forward;
use abi::RmEscape;
use abi::groups::{
    DISABLE_CHANNELS, DisableChannels, GET_GID_INFO, GET_TIMESLICE, GidInfo, MOST_CHANNELS, SET_TIMESLICE, TimeSlice,
};
use abi::rm::{NV_OK, Nvos54};
use std::ffi::c_int;

/// The status for a request that `ioctl` itself refused, or that was not made.
const NV_FAILED: u32 = u32::MAX;

/// A descriptor of the driver's, and the device node that it stood for: the program may close it and open another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    fd: c_int,
    device: u64,
}

impl Node {
    pub(super) fn of(fd: c_int) -> Option<Self> {
        Some(Node { fd, device: device_of(fd)? })
    }
}

/// Which device a descriptor stands for; `None` where it stands for none.
fn device_of(fd: c_int) -> Option<u64> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fstat writes the structure, or fails.
    if unsafe { libc::fstat(fd, stat.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: fstat succeeded.
    let stat = unsafe { stat.assume_init() };
    Some(stat.st_rdev ^ stat.st_dev.rotate_left(32))
}

/// A command of the resource manager's, whose number and structure belong together.
///
/// # Safety
/// `COMMAND` reads and writes exactly one value of `Self`, any bytes of which are valid.
unsafe trait Command: Sized {
    const COMMAND: u32;
}

#[repr(transparent)]
struct Set(TimeSlice);
#[repr(transparent)]
struct Get(TimeSlice);
// SAFETY: both are `NVA06C_CTRL_TIMESLICE_PARAMS` (ctrla06c.h:131), one u64.
unsafe impl Command for Set {
    const COMMAND: u32 = SET_TIMESLICE;
}
// SAFETY: as above.
unsafe impl Command for Get {
    const COMMAND: u32 = GET_TIMESLICE;
}
// SAFETY: `NV2080_CTRL_FIFO_DISABLE_CHANNELS_PARAMS` (ctrl2080fifo.h:301), integers only.
unsafe impl Command for DisableChannels {
    const COMMAND: u32 = DISABLE_CHANNELS;
}
// SAFETY: `NV2080_CTRL_GPU_GET_GID_INFO_PARAMS` (ctrl2080gpu.h), integers only.
unsafe impl Command for GidInfo {
    const COMMAND: u32 = GET_GID_INFO;
}

/// Gives the command to an object; an error is the status.
fn control<C: Command>(node: Node, object: Handle, command: &mut C) -> Result<(), u32> {
    if device_of(node.fd) != Some(node.device) {
        return Err(NV_FAILED);
    }
    let mut call = Nvos54 {
        client: object.client,
        object: object.object,
        cmd: C::COMMAND,
        params: std::ptr::from_mut(command) as u64,
        params_size: size_of::<C>() as u32,
        ..Nvos54::default()
    };
    let request = RmEscape::Control.request(size_of::<Nvos54>());
    if forward(node.fd, request, std::ptr::from_mut(&mut call).cast()) != 0 {
        return Err(NV_FAILED);
    }
    if call.status == NV_OK { Ok(()) } else { Err(call.status) }
}

/// Sets a group's slice, in microseconds: 0.15 to 0.4 ms a call on an H200, during which all other requests to the
/// resource manager wait (docs/measurements/2026-11-30-slices.md).
pub(super) fn set_slice(node: Node, group: Handle, micros: u64) -> Result<(), u32> {
    control(node, group, &mut Set(TimeSlice { micros }))
}

/// The slice that was asked for last, in microseconds.
pub(super) fn slice(node: Node, group: Handle) -> Result<u64, u32> {
    let mut get = Get(TimeSlice::default());
    control(node, group, &mut get).map(|()| get.0.micros)
}

/// Stops channels of one client, and takes them off their engine, or lets them go on: 0.2 to 0.5 ms a call on an H200.
pub(super) fn stop(subdevice: &Subdevice, channels: &[u32], stop: bool) -> Result<(), u32> {
    for channels in channels.chunks(MOST_CHANNELS) {
        let mut call = DisableChannels {
            disable: stop.into(),
            reserved: [0; 3],
            count: channels.len() as u32,
            only_scheduling: 0,
            rewind: 0,
            reserved2: [0; 6],
            event: 0,
            clients: [subdevice.handle.client; MOST_CHANNELS],
            channels: [0; MOST_CHANNELS],
        };
        call.channels[..channels.len()].copy_from_slice(channels);
        control(subdevice.node, subdevice.handle, &mut call)?;
    }
    Ok(())
}

/// The UUID of a subdevice's GPU.
pub(super) fn uuid(subdevice: &Subdevice) -> Result<[u8; 16], u32> {
    let mut gid = GidInfo::default();
    control(subdevice.node, subdevice.handle, &mut gid)?;
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&gid.data[..16]);
    if gid.length == 16 { Ok(uuid) } else { Err(NV_FAILED) }
}
