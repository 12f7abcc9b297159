//! The requests that govern a group's turns, on the driver's own objects and descriptor.

use super::call::{Status, issue};
use abi::groups::{
    DISABLE_CHANNELS, DisableChannels, GET_GID_INFO, GET_TIMESLICE, GidInfo, MOST_CHANNELS, SET_TIMESLICE, TimeSlice,
};
use abi::rm::Nvos54;
use std::ffi::c_int;

/// A handle of the resource manager's, in one of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Handle {
    pub(crate) client: u32,
    pub(crate) object: u32,
}

/// The object through which a device is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subdevice {
    pub(crate) handle: Handle,
    pub(crate) device: u32,
    pub(crate) node: Node,
}

/// A descriptor of the driver's, and the device node that it stood for: the program may close it and open another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    fd: c_int,
    device: u64,
}

impl Node {
    pub(crate) fn of(fd: c_int) -> Option<Self> {
        Some(Node { fd, device: device_of(fd)? })
    }
}

/// The device that a descriptor stands for; `None` where it stands for none.
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

/// Gives the command to an object.
fn control<C: Command>(node: Node, object: Handle, command: &mut C) -> Result<(), Status> {
    if device_of(node.fd) != Some(node.device) {
        return Err(Status::NOT_ISSUED);
    }
    let mut call = Nvos54 {
        client: object.client,
        object: object.object,
        cmd: C::COMMAND,
        params: std::ptr::from_mut(command) as u64,
        params_size: size_of::<C>() as u32,
        ..Nvos54::default()
    };
    // SAFETY: the command's parameters are a `C` ([`Command`]), which outlives the call.
    unsafe { issue(node.fd, &mut call) }
}

/// Sets a group's slice, in microseconds: 0.15 to 0.4 ms a call on an H200, during which all other requests to the
/// resource manager wait (docs/measurements/2026-11-30-slices.md).
pub(crate) fn set_slice(node: Node, group: Handle, micros: u64) -> Result<(), Status> {
    control(node, group, &mut Set(TimeSlice { micros }))
}

/// The slice that was asked for last, in microseconds.
pub(crate) fn slice(node: Node, group: Handle) -> Result<u64, Status> {
    let mut get = Get(TimeSlice::default());
    control(node, group, &mut get).map(|()| get.0.micros)
}

/// Stops channels of one client, and takes them off their engine, or lets them go on: 0.2 to 0.5 ms a call on an H200.
pub(crate) fn stop(subdevice: &Subdevice, channels: &[u32], stop: bool) -> Result<(), Status> {
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
pub(crate) fn uuid(subdevice: &Subdevice) -> Result<[u8; 16], Status> {
    let mut gid = GidInfo::default();
    control(subdevice.node, subdevice.handle, &mut gid)?;
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&gid.data[..16]);
    if gid.length == 16 { Ok(uuid) } else { Err(Status::NOT_ISSUED) }
}
