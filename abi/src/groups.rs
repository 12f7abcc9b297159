//! Channel groups and the calls that govern their turns on an engine.
//!
//! A context's work goes to the GPU through channels; the channels of one engine form a group (class
//! `KEPLER_CHANNEL_GROUP_A`), and the hardware gives groups turns of at most a time slice. Structures and numbers are the
//! same in all driver branches from 535 to 595, so nothing here depends on the version: a mismatch is answered with
//! [`NV_ERR_INVALID_PARAM_STRUCT`] or [`NV_ERR_NOT_SUPPORTED`](crate::rm::NV_ERR_NOT_SUPPORTED), without effect.
//!
//! Sources: open-gpu-kernel-modules 580.142, `nvos.h:2904`, `alloc/alloc_channel.h:296`, `ctrl/ctrla06c.h:131`,
//! `ctrl/ctrl2080/ctrl2080fifo.h:301`, `ctrl/ctrl2080/ctrl2080gpu.h`, `class/cl2080_notification.h:281`.

/// `NV_ERR_INVALID_PARAM_STRUCT`: the parameter has another size than the command's.
pub const NV_ERR_INVALID_PARAM_STRUCT: u32 = 0x3A;

/// Class `KEPLER_CHANNEL_GROUP_A`, the only class of channel groups from Kepler to Blackwell.
pub const CLASS_CHANNEL_GROUP: u32 = 0xA06C;
/// Class `HOPPER_CHANNEL_GPFIFO_A`.
pub const CLASS_HOPPER_CHANNEL: u32 = 0xC86F;
/// Classes of channels, Kepler to Blackwell. Others that end in `6F` are no channels.
const CHANNEL_CLASSES: [u32; 11] =
    [0xA06F, 0xA16F, 0xA26F, 0xB06F, 0xC06F, 0xC36F, 0xC46F, 0xC56F, CLASS_HOPPER_CHANNEL, 0xC96F, 0xCA6F];

/// Whether objects of the class are channels.
pub const fn is_channel_class(class: u32) -> bool {
    let mut i = 0;
    while i < CHANNEL_CLASSES.len() {
        if CHANNEL_CLASSES[i] == class {
            return true;
        }
        i += 1;
    }
    false
}

/// `NVA06C_CTRL_CMD_SET_TIMESLICE`, [`TimeSlice`], to a group. The hardware rounds down to steps of 1.024 us with eight
/// significant bits; 0 counts as 1 us.
pub const SET_TIMESLICE: u32 = 0xA06C_0103;
/// `NVA06C_CTRL_CMD_GET_TIMESLICE`, [`TimeSlice`], to a group: what was asked for last.
pub const GET_TIMESLICE: u32 = 0xA06C_0104;
/// `NVA06C_CTRL_CMD_GPFIFO_SCHEDULE`, to a group: it gets turns from now on, or no more.
pub const GPFIFO_SCHEDULE: u32 = 0xA06C_0101;
/// `NV2080_CTRL_CMD_FIFO_DISABLE_CHANNELS`, [`DisableChannels`], to a subdevice.
pub const DISABLE_CHANNELS: u32 = 0x2080_110B;
/// `NV2080_CTRL_CMD_GPU_GET_GID_INFO`, [`GidInfo`], to a subdevice.
pub const GET_GID_INFO: u32 = 0x2080_014A;

/// `NV_CHANNEL_GROUP_ALLOCATION_PARAMETERS`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct ChannelGroupParams {
    /// The object that errors are noted in.
    pub error: u32,
    /// The same for ECC errors.
    pub ecc_error: u32,
    /// The address space.
    pub vaspace: u32,
    /// `NV2080_ENGINE_TYPE_…`, see [`is_graphics`] and [`is_copy`].
    pub engine: u32,
    /// Whether a vGPU plugin asks; then three bytes of padding.
    pub from_plugin: u32,
}

/// Parameter of [`SET_TIMESLICE`] and [`GET_TIMESLICE`].
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct TimeSlice {
    /// The slice in microseconds.
    pub micros: u64,
}

/// The most channels that one [`DISABLE_CHANNELS`] takes.
pub const MOST_CHANNELS: usize = 64;

/// Parameter of [`DISABLE_CHANNELS`].
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct DisableChannels {
    /// 1 stops the channels, and preempts them where they run; 0 lets them go on.
    pub disable: u8,
    /// Padding.
    pub reserved: [u8; 3],
    /// The number of handles below that count.
    pub count: u32,
    /// 1 leaves channels that run alone until their turn ends.
    pub only_scheduling: u8,
    /// 1 throws submitted work away: always 0 here.
    pub rewind: u8,
    /// Padding.
    pub reserved2: [u8; 6],
    /// For kernel clients: always 0 here.
    pub event: u64,
    /// The clients that the channels belong to.
    pub clients: [u32; MOST_CHANNELS],
    /// The channels.
    pub channels: [u32; MOST_CHANNELS],
}

/// Asks for the 16 bytes of a SHA-1 UUID in [`GidInfo`] (`…_FORMAT_BINARY`).
pub const GID_BINARY: u32 = 2;

/// Parameter of [`GET_GID_INFO`].
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct GidInfo {
    /// Always 0.
    pub index: u32,
    /// [`GID_BINARY`].
    pub flags: u32,
    /// Out: how many bytes of `data` count.
    pub length: u32,
    /// Out: the UUID.
    pub data: [u8; 256],
}

impl Default for GidInfo {
    fn default() -> Self {
        GidInfo { index: 0, flags: GID_BINARY, length: 0, data: [0; 256] }
    }
}

/// `NV2080_ENGINE_TYPE_GR0`.
pub const ENGINE_GR0: u32 = 1;
/// `NV2080_ENGINE_TYPE_COPY0`; the ten copy engines follow each other.
pub const ENGINE_COPY0: u32 = 9;

/// Whether an `NV2080_ENGINE_TYPE_…` is GR0, which runs kernels. The other GRs are there under MIG only.
pub const fn is_graphics(engine: u32) -> bool {
    engine == ENGINE_GR0
}

/// Whether an `NV2080_ENGINE_TYPE_…` is a copy engine: COPY0 to COPY9, or COPY10 to COPY19, known from branch 560 on.
pub const fn is_copy(engine: u32) -> bool {
    matches!(engine, ENGINE_COPY0..=18 | 0x34..=0x3D)
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<ChannelGroupParams>() == 20 && offset_of!(ChannelGroupParams, engine) == 12);
    assert!(size_of::<TimeSlice>() == 8);
    assert!(size_of::<DisableChannels>() == 536 && offset_of!(DisableChannels, count) == 4);
    assert!(offset_of!(DisableChannels, only_scheduling) == 8 && offset_of!(DisableChannels, event) == 16);
    assert!(offset_of!(DisableChannels, clients) == 24 && offset_of!(DisableChannels, channels) == 280);
    assert!(size_of::<GidInfo>() == 268 && offset_of!(GidInfo, data) == 12);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_told_apart_by_their_type() {
        assert_eq!([0, 1, 2, 9].map(is_graphics), [false, true, false, false]);
        let ends = [1, 8, 9, 11, 18, 19, 0x33, 0x34, 0x3D, 0x3E].map(is_copy);
        assert_eq!(ends, [false, false, true, true, true, false, false, true, true, false]);
    }

    #[test]
    fn only_gpfifo_classes_are_channels() {
        assert!(is_channel_class(CLASS_HOPPER_CHANNEL) && is_channel_class(0xC56F));
        assert!(!is_channel_class(0x506F) && !is_channel_class(0xC572));
    }
}
