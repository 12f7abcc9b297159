//! Permutations of the channels: how GPUs whose channels are no power of two in number deal out consecutive units.
//!
//! The memory is a sequence of units, and `m` of them are a block. A block's units go to the channels in one of a few
//! orders, and parities of the address choose which. Source: "Missile: Fine-Grained, Hardware-Level GPU Resource
//! Isolation for Multi-Tenant DNN Inference", arXiv 2407.13996, which found this on P40, A2000 and A5500.

use super::{BadHash, LINE, check_masks, ensure, parities};
use crate::spec::text;
use serde::Deserialize;
use units::{Bytes, PhysAddr};

/// The channels of consecutive units, in an order that parities choose.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Permutation {
    /// The stretch that has one channel.
    #[serde(deserialize_with = "text::bytes")]
    unit: Bytes,
    /// The bits that the selectors are parities of.
    over: Over,
    /// The masks whose parities number the sequence, lowest bit first.
    #[serde(default, deserialize_with = "text::masks")]
    selectors: Vec<u64>,
    /// The channels of the units of a block, for each value of the selectors.
    sequences: Vec<Vec<u32>>,
}

/// The bits that the selectors of a [`Permutation`] are parities of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Over {
    /// The number of the block: the unit's number over the units of a block.
    Block,
    /// The physical address.
    Address,
}

impl Permutation {
    pub(super) fn channels(&self) -> u32 {
        self.sequences.iter().flatten().max().map_or(0, |last| last.saturating_add(1))
    }

    pub(super) fn channel_of(&self, at: PhysAddr) -> u32 {
        let units = self.sequences[0].len() as u64;
        let unit = at.get() / self.unit.get();
        let chooses = match self.over {
            Over::Block => unit / units,
            Over::Address => at.get(),
        };
        self.sequences[parities(&self.selectors, chooses) as usize][(unit % units) as usize]
    }

    pub(super) fn check(&self) -> Result<(), BadHash> {
        ensure(
            self.unit.get().is_power_of_two() && self.unit >= LINE,
            "hash.channels.unit",
            &self.unit.get(),
            "it is a power of two of at least 128 bytes, the size of a line",
        )?;
        let selectors = &self.selectors;
        ensure(selectors.len() <= 8, "hash.channels.selectors", selectors, "at most 8 (256 sequences) are known")?;
        match self.over {
            Over::Block => {
                let empty = selectors.contains(&0);
                ensure(!empty, "hash.channels.selectors", selectors, "a mask without bits chooses nothing")?;
            }
            Over::Address => check_masks("hash.channels.selectors", selectors)?,
        }
        let sequences = &self.sequences;
        let told = |good, rule| ensure(good, "hash.channels.sequences", sequences, rule);
        told(sequences.len() == 1 << selectors.len(), "each value of the selectors has one")?;
        let length = sequences[0].len();
        told((1..=256).contains(&length), "a block has 1 to 256 units")?;
        told(sequences.iter().all(|sequence| sequence.len() == length), "all have the same length")?;
        let mut channels: Vec<u32> = sequences.iter().flatten().copied().collect();
        channels.sort_unstable();
        channels.dedup();
        told(
            channels.len() <= 1024 && channels.iter().copied().eq(0..channels.len() as u32),
            "their channels are 0, 1 and so on, without a gap",
        )
    }
}
