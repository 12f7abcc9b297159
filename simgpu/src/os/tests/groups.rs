//! Channel groups and the controls on them.

use super::*;
use abi::groups::*;

impl Process {
    fn group(&self, engine: u32) -> Result<u32, u32> {
        let mut params = ChannelGroupParams { engine, ..Default::default() };
        // The size of the parameters is left to the class, as the real library does.
        self.alloc_with(self.device, CLASS_CHANNEL_GROUP, (&raw mut params).cast(), 0)
    }

    fn control<P>(&self, object: u32, cmd: u32, params: &mut P) -> u32 {
        let (params, params_size) = (&raw mut *params as u64, size_of::<P>() as u32);
        let mut ask = Nvos54 { client: self.client, object, cmd, params, params_size, ..Default::default() };
        self.rm_call(RmEscape::Control, &mut ask).expect("looked at");
        ask.status
    }

    fn slice(&self, group: u32) -> Result<u64, u32> {
        let mut slice = TimeSlice::default();
        match self.control(group, GET_TIMESLICE, &mut slice) {
            NV_OK => Ok(slice.micros),
            status => Err(status),
        }
    }

    fn disable(&self, channels: &[u32], count: u32) -> u32 {
        let mut asked = DisableChannels {
            disable: 1,
            reserved: [0; 3],
            count,
            only_scheduling: 0,
            rewind: 0,
            reserved2: [0; 6],
            event: 0,
            clients: [self.client; MOST_CHANNELS],
            channels: [0; MOST_CHANNELS],
        };
        asked.channels[..channels.len()].copy_from_slice(channels);
        self.control(self.subdevice, DISABLE_CHANNELS, &mut asked)
    }

    fn is_stopped(&self, group: u32) -> bool {
        let rm = self.modules.rm.lock().expect("sound");
        rm.group(self.client, group).expect("a group").is_stopped()
    }
}

fn process() -> Process {
    Process::new(Bytes::mib(4), 16)
}

#[test]
fn groups_are_for_gr0_and_copy_engines_and_have_channels() {
    let p = process();
    assert_eq!([0, 2, 0x13].map(|engine| p.group(engine)), [Err(NV_ERR_INVALID_ARGUMENT); 3]);
    assert_eq!(p.alloc(p.device, CLASS_CHANNEL_GROUP), Err(NV_ERR_INVALID_ARGUMENT), "no engine");
    let group = p.group(ENGINE_GR0).expect("a group");
    assert!(p.group(ENGINE_COPY0 + 2).is_ok());
    let channel = p.alloc(group, CLASS_HOPPER_CHANNEL).expect("a channel");
    assert!(p.alloc(channel, super::super::rm::groups::CLASS_COPY).is_ok());
    assert_eq!(p.alloc(p.device, CLASS_HOPPER_CHANNEL), Err(0x36), "no group");
    assert_eq!(p.alloc(group, super::super::rm::groups::CLASS_COPY), Err(0x36), "no channel");
    assert_eq!(p.free(group), NV_OK);
    assert_eq!(p.free(channel), NV_ERR_OBJECT_NOT_FOUND, "channels go with their group");
}

#[test]
fn a_slice_is_what_was_asked_for_last() {
    let p = process();
    let group = p.group(ENGINE_GR0).expect("a group");
    assert_eq!(p.slice(group), Ok(1024));
    for micros in [1, 0, 2048] {
        assert_eq!(p.control(group, SET_TIMESLICE, &mut TimeSlice { micros }), NV_OK);
        assert_eq!(p.slice(group), Ok(micros));
    }
    assert_eq!(p.control(group, SET_TIMESLICE, &mut 1u32), NV_ERR_INVALID_PARAM_STRUCT);
    assert_eq!(p.control(group, GET_TIMESLICE, &mut [0u64; 2]), NV_ERR_INVALID_PARAM_STRUCT);
    assert_eq!(p.slice(group), Ok(2048), "a refusal changes nothing");
    assert_eq!(p.slice(p.device), Err(NV_ERR_NOT_SUPPORTED));
    assert_eq!(p.slice(0x1234), Err(NV_ERR_OBJECT_NOT_FOUND));
}

#[test]
fn other_controls_are_accepted_or_refused_as_the_kernel_does() {
    let p = process();
    let group = p.group(ENGINE_GR0).expect("a group");
    assert_eq!(p.control(group, 0xA06C_0101, &mut [1u8, 0, 0]), NV_OK);
    assert_eq!(p.control(group, 0xA06C_0101, &mut [1u8, 0]), NV_ERR_INVALID_PARAM_STRUCT);
    assert_eq!(p.control(group, 0xA06C_0107, &mut 2u32), NV_ERR_INSUFFICIENT_PERMISSIONS);
    assert_eq!(p.control(group, 0xA06C_0108, &mut 2u32), NV_ERR_NOT_SUPPORTED);
    assert_eq!(p.control(p.subdevice, 0x2080_1210, &mut [0u8; 32]), NV_OK);
    assert_eq!(p.control(p.subdevice, 0x2080_1210, &mut [0u8; 24]), NV_ERR_INVALID_PARAM_STRUCT);
    let mut info = GidInfo::default();
    assert_eq!(p.control(p.subdevice, GET_GID_INFO, &mut info), NV_OK);
    assert_eq!((info.length, &info.data[..16]), (16, &p.modules.machine.spec().uuid[..]));
    assert_eq!(p.control(p.subdevice, GET_GID_INFO, &mut [0u8; 267]), NV_ERR_INVALID_PARAM_STRUCT);
}

#[test]
fn a_group_is_stopped_while_all_its_channels_are_disabled() {
    let p = process();
    let group = p.group(ENGINE_COPY0 + 2).expect("a group");
    let channels = [0; 2].map(|_| p.alloc(group, CLASS_HOPPER_CHANNEL).expect("a channel"));
    assert_eq!(p.disable(&[channels[0], 0x1234], 2), NV_ERR_OBJECT_NOT_FOUND);
    assert_eq!(p.disable(&[channels[0], group], 2), NV_ERR_OBJECT_NOT_FOUND, "no channel");
    assert_eq!(p.disable(&channels, 65), NV_ERR_INVALID_ARGUMENT);
    assert_eq!(p.control(p.subdevice, DISABLE_CHANNELS, &mut [0u8; 528]), NV_ERR_INVALID_PARAM_STRUCT);
    assert_eq!(p.disable(&channels[1..], 1), NV_OK);
    assert!(!p.is_stopped(group), "a refusal left the first one as it was");
    assert_eq!(p.disable(&channels[..1], 1), NV_OK);
    assert!(p.is_stopped(group));
    assert!(p.alloc(group, CLASS_HOPPER_CHANNEL).is_ok());
    assert!(!p.is_stopped(group), "the new channel is not disabled");
}

#[test]
fn a_duplicate_is_the_same_group() {
    let p = process();
    let group = p.group(ENGINE_GR0).expect("a group");
    let duplicate = |source_client, source| {
        let (client, parent) = (p.client, p.device);
        let mut asked =
            super::super::rm::groups::Duplicate { client, parent, source_client, source, ..Default::default() };
        p.rm_call(RmEscape::DupObject, &mut asked).expect("looked at");
        (asked.status, asked.object)
    };
    let (status, twin) = duplicate(p.client, group);
    assert_eq!(status, NV_OK);
    assert_eq!(p.control(twin, SET_TIMESLICE, &mut TimeSlice { micros: 7 }), NV_OK);
    assert_eq!(p.slice(group), Ok(7));
    let channels = [group, twin].map(|parent| p.alloc(parent, CLASS_HOPPER_CHANNEL).expect("a channel"));
    assert_eq!(p.disable(&channels[..1], 1), NV_OK);
    assert!(!p.is_stopped(group), "the channel under its other handle goes on");
    assert_eq!(p.disable(&channels[1..], 1), NV_OK);
    assert!(p.is_stopped(group) && p.is_stopped(twin));
    assert_eq!(p.free(group), NV_OK);
    assert_eq!(p.slice(twin), Ok(7), "it lives on");
    assert_eq!(duplicate(p.client, 0x1234).0, NV_ERR_OBJECT_NOT_FOUND);
    assert_eq!(duplicate(0x1234, twin).0, NV_ERR_INVALID_CLIENT);
}

#[test]
fn controls_can_be_had_refused() {
    let mut p = process();
    p.modules.faults =
        Some(Faults::parse("slice:1:status=0x56,get_slice:2:status=0x1B,stop:1:errno=12").expect("rules"));
    let group = p.group(ENGINE_COPY0).expect("a group");
    let channel = p.alloc(group, CLASS_HOPPER_CHANNEL).expect("a channel");
    let mut one = TimeSlice { micros: 1 };
    assert_eq!(p.control(group, SET_TIMESLICE, &mut one), NV_ERR_NOT_SUPPORTED);
    assert_eq!((p.slice(group), p.slice(group)), (Ok(1024), Err(NV_ERR_INSUFFICIENT_PERMISSIONS)));
    let mut asked = Nvos54 { client: p.client, object: p.subdevice, cmd: DISABLE_CHANNELS, ..Default::default() };
    assert_eq!(p.rm_call(RmEscape::Control, &mut asked), Err(Errno(libc::ENOMEM)));
    assert_eq!(p.disable(&[channel], 1), NV_OK);
    assert_eq!(p.control(group, SET_TIMESLICE, &mut one), NV_OK);
}
