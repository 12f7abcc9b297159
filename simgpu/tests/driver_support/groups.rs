//! The channel groups of this process, found and governed as whoever interposes `ioctl` would.
#![allow(dead_code, reason = "every test file needs a part of it")]

use abi::RmEscape;
use abi::groups::*;
use abi::rm::*;
use cuda::os::{self, Device};
use std::ffi::c_int;
use std::sync::OnceLock;

/// The first handles that the resource manager chooses for clients and for objects.
const CLIENT: u32 = 0xC1D0_0000;
const OBJECTS: std::ops::Range<u32> = 0xCAF0_0000..0xCAF0_0100;
/// The subdevice is made right after the device.
const SUBDEVICE: u32 = 0xCAF0_0001;

/// A control on an object of the driver's; returns the status.
fn control<P>(object: u32, cmd: u32, params: &mut P) -> u32 {
    // A GPU's own node may name any client of the process.
    static NODE: OnceLock<c_int> = OnceLock::new();
    let node = *NODE.get_or_init(|| os::open(Device::Gpu).expect("opens"));
    let (params, params_size) = (&raw mut *params as u64, size_of::<P>() as u32);
    let mut ask = Nvos54 { client: CLIENT, object, cmd, params, params_size, ..Default::default() };
    // SAFETY: the parameter is the request's own, and the command's parameter lives as long as the call.
    let done = unsafe { os::handle(node, RmEscape::Control.request(size_of::<Nvos54>()), (&raw mut ask).cast()) };
    assert_eq!(done, Some(0));
    ask.status
}

/// The slice of a group in microseconds, if the object is one.
pub fn slice(object: u32) -> Option<u64> {
    let mut slice = TimeSlice::default();
    (control(object, GET_TIMESLICE, &mut slice) == NV_OK).then_some(slice.micros)
}

/// Gives a group a slice in microseconds.
pub fn set_slice(group: u32, micros: u64) {
    assert_eq!(control(group, SET_TIMESLICE, &mut TimeSlice { micros }), NV_OK);
}

/// Stops a channel or lets it go on; returns the status.
fn disable(channels: &[u32], disable: bool) -> u32 {
    let mut asked = DisableChannels {
        disable: u8::from(disable),
        reserved: [0; 3],
        count: channels.len() as u32,
        only_scheduling: 0,
        rewind: 0,
        reserved2: [0; 6],
        event: 0,
        clients: [CLIENT; MOST_CHANNELS],
        channels: [0; MOST_CHANNELS],
    };
    asked.channels[..channels.len()].copy_from_slice(channels);
    control(SUBDEVICE, DISABLE_CHANNELS, &mut asked)
}

/// The groups of the process, in the order in which they were made: GR0, to the device, to the host, one more.
pub fn groups() -> Vec<u32> {
    OBJECTS.filter(|&object| slice(object).is_some()).collect()
}

/// Stops all channels of a group, or lets them go on.
pub fn stop(group: u32, stopped: bool) {
    let channels: Vec<u32> = (group + 1..OBJECTS.end)
        .take_while(|&object| slice(object).is_none())
        .filter(|&object| disable(&[object], false) == NV_OK)
        .collect();
    assert_eq!(disable(&channels, stopped), NV_OK);
}

/// The objects from the first group on, in the order in which they were made: `G` for a group, `C` for a channel, `o` for
/// another one, and a space for none.
pub fn layout() -> String {
    let letter = |object: u32| match (slice(object).is_some(), control(object, 0, &mut ())) {
        (true, _) => 'G',
        (false, NV_ERR_OBJECT_NOT_FOUND) => ' ',
        _ if disable(&[object], false) == NV_OK => 'C',
        _ => 'o',
    };
    let all: String = OBJECTS.map(letter).collect();
    all.split_once('G').map(|(_, rest)| format!("G{}", rest.trim_end())).unwrap_or_default()
}
