//! Which part of the memory system serves an address: a slice of the L2, in a channel, on a side.
//!
//! Side, channel and slice are chosen by one function of the physical address each, and a slice is told by all three
//! together. What the channels of a GPU are is known for few; the kinds here are those that have been published or
//! measured, and one that has no structure to find.

mod permutation;
mod ring;
mod scrambled;

use super::text;
use permutation::Permutation;
use ring::Ring;
use scrambled::Scrambled;
use serde::Deserialize;
use units::{Bytes, PhysAddr};

/// A line of the L2: all of it has one slice.
pub const LINE: Bytes = Bytes::new(128);

/// How a physical address chooses its slice.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hash {
    /// Bit `i` of the side is the parity of the address under mask `i`; no masks mean a single side.
    #[serde(default, deserialize_with = "text::masks")]
    side_masks: Vec<u64>,
    /// The channel inside a side; nothing means one channel.
    channels: Option<Channels>,
    /// The slice inside a channel.
    #[serde(default)]
    slices: Slices,
}

/// How a physical address chooses its channel inside a side.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Channels {
    /// Bit `i` of the channel is the parity of the address under mask `i`.
    Xor {
        /// The masks, lowest bit first.
        #[serde(deserialize_with = "text::masks")]
        masks: Vec<u64>,
    },
    /// Consecutive units go through a permutation of the channels.
    Permutation(Permutation),
    /// A sum of weighted parities, modulo the number of channels.
    Ring(Ring),
    /// A function without structure.
    Scrambled(Scrambled),
}

/// How a physical address chooses its slice inside a channel.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slices {
    /// Bit `i` of the slice is the parity of the address under mask `i`; no masks mean one slice a channel.
    #[serde(deserialize_with = "text::masks")]
    masks: Vec<u64>,
}

/// A figure of a hash that makes no sense.
pub(super) struct BadHash {
    pub(super) field: &'static str,
    pub(super) value: String,
    pub(super) rule: &'static str,
}

impl Hash {
    /// Most masks that choose the side.
    pub const MAX_SIDE_MASKS: usize = 4;
    /// Most slices that a GPU can have.
    pub const MAX_SLICES: u32 = 1024;

    /// The masks whose parities are the bits of the side.
    pub fn side_masks(&self) -> &[u64] {
        &self.side_masks
    }

    /// How many sides there are.
    pub fn sides(&self) -> u32 {
        1 << self.side_masks.len()
    }

    /// How many channels a side has.
    pub fn channels(&self) -> u32 {
        match &self.channels {
            None => 1,
            Some(Channels::Xor { masks }) => 1 << masks.len(),
            Some(Channels::Permutation(permutation)) => permutation.channels(),
            Some(Channels::Ring(ring)) => ring.modulus,
            Some(Channels::Scrambled(scrambled)) => scrambled.classes,
        }
    }

    /// How many slices a side has.
    pub fn slices_per_side(&self) -> u32 {
        self.channels() << self.slices.masks.len()
    }

    /// How many slices the GPU has.
    pub fn slices(&self) -> u32 {
        self.sides() * self.slices_per_side()
    }

    /// The side that serves an address.
    pub fn side_of(&self, at: PhysAddr) -> u32 {
        parities(&self.side_masks, at.get())
    }

    /// The channel that serves an address, counted inside its side.
    pub fn channel_of(&self, at: PhysAddr) -> u32 {
        match &self.channels {
            None => 0,
            Some(Channels::Xor { masks }) => parities(masks, at.get()),
            Some(Channels::Permutation(permutation)) => permutation.channel_of(at),
            Some(Channels::Ring(ring)) => ring.channel_of(at),
            Some(Channels::Scrambled(scrambled)) => scrambled.channel_of(at),
        }
    }

    /// The slice that serves an address, counted over the whole GPU: side by side, and channel by channel in a side.
    pub fn slice_of(&self, at: PhysAddr) -> u32 {
        let in_side = self.channel_of(at) << self.slices.masks.len() | parities(&self.slices.masks, at.get());
        self.side_of(at) * self.slices_per_side() + in_side
    }

    pub(super) fn check(&self) -> Result<(), BadHash> {
        check_masks("hash.side_masks", &self.side_masks)?;
        ensure(
            self.side_masks.len() <= Hash::MAX_SIDE_MASKS,
            "hash.side_masks",
            &self.side_masks,
            "at most 4 masks (16 sides) are known",
        )?;
        match &self.channels {
            None => {}
            Some(Channels::Xor { masks }) => {
                check_masks("hash.channels.masks", masks)?;
                ensure(masks.len() <= 10, "hash.channels.masks", masks, "at most 10 masks (1024 channels) are known")?;
            }
            Some(Channels::Permutation(permutation)) => permutation.check()?,
            Some(Channels::Ring(ring)) => ring.check()?,
            Some(Channels::Scrambled(scrambled)) => scrambled.check()?,
        }
        let slices = &self.slices.masks;
        check_masks("hash.slices.masks", slices)?;
        // None of the three is so large that the product overflows.
        ensure(slices.len() <= 10, "hash.slices.masks", slices, "at most 10 masks (1024 slices) are known")?;
        ensure(
            self.slices() <= Hash::MAX_SLICES,
            "hash",
            &format_args!("{} slices", self.slices()),
            "a GPU has at most 1024",
        )
    }
}

/// A number whose bit `i` is the parity of `value` under mask `i`.
fn parities(masks: &[u64], value: u64) -> u32 {
    masks.iter().enumerate().map(|(bit, mask)| parity(value & mask) << bit).sum()
}

fn parity(bits: u64) -> u32 {
    bits.count_ones() & 1
}

fn ensure(good: bool, field: &'static str, value: &dyn std::fmt::Debug, rule: &'static str) -> Result<(), BadHash> {
    if good { Ok(()) } else { Err(BadHash { field, value: format!("{value:?}"), rule }) }
}

/// Checks masks of physical addresses.
fn check_masks(field: &'static str, masks: &[u64]) -> Result<(), BadHash> {
    ensure(!masks.contains(&0), field, &masks, "a mask without bits chooses nothing")?;
    let in_line = masks.iter().any(|mask| mask & (LINE.get() - 1) != 0);
    ensure(!in_line, field, &masks, "the 128 bytes of a line have one slice, so no mask has one of the lowest 7 bits")
}

#[cfg(test)]
mod tests;
