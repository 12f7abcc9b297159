//! A hash without structure: some address bits choose the channel, and nothing short of a table says how.

use super::{BadHash, Hash, check_masks, ensure};
use crate::mix::mix;
use crate::spec::text;
use serde::Deserialize;
use units::PhysAddr;

/// A pseudo-random function of some address bits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scrambled {
    /// The address bits that matter.
    #[serde(deserialize_with = "text::mask")]
    bits: u64,
    /// How many channels there are.
    pub(super) classes: u32,
    /// Which function it is.
    seed: u64,
}

impl Scrambled {
    pub(super) fn channel_of(&self, at: PhysAddr) -> u32 {
        let (mut index, mut left) = (0u64, self.bits);
        let mut place = 0;
        while left != 0 {
            index |= (at.get() >> left.trailing_zeros() & 1) << place;
            left &= left - 1;
            place += 1;
        }
        (mix(index ^ mix(self.seed)) % u64::from(self.classes)) as u32
    }

    pub(super) fn check(&self) -> Result<(), BadHash> {
        check_masks("hash.channels.bits", &[self.bits])?;
        ensure(
            (1..=Hash::MAX_SLICES).contains(&self.classes),
            "hash.channels.classes",
            &self.classes,
            "there are 1 to 1024 channels",
        )
    }
}
