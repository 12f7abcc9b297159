//! Which part of the memory system serves an address.

use super::text;
use serde::Deserialize;
use units::PhysAddr;

/// How a physical address chooses its side of the memory system.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Hash {
    /// Bit `i` of the side is the parity of the address under mask `i`.
    Xor {
        /// The masks, lowest bit of the side first; none means a single side.
        #[serde(deserialize_with = "text::masks")]
        side_masks: Vec<u64>,
    },
}

impl Hash {
    /// Most masks that a description may have.
    pub const MAX_SIDE_MASKS: usize = 4;

    /// The masks whose parities are the bits of the side.
    pub fn side_masks(&self) -> &[u64] {
        let Hash::Xor { side_masks } = self;
        side_masks
    }

    pub(super) fn sides(&self) -> u32 {
        1 << self.side_masks().len()
    }

    pub(super) fn side_of(&self, at: PhysAddr) -> u32 {
        let parity = |mask: &u64| (at.get() & mask).count_ones() & 1;
        self.side_masks().iter().enumerate().map(|(bit, mask)| parity(mask) << bit).sum()
    }
}
