//! The names of GPUs, and what a channel hash is.

use std::num::NonZeroU64;

/// The most XOR masks that a published hash may have (so up to 2^8 colours).
pub(crate) const MAX_MASKS: usize = 8;

/// The name of a GPU in the region: 64 bits made from its UUID, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GpuKey(NonZeroU64);

impl GpuKey {
    /// The key of the GPU with this UUID. Two halves are folded, so that both count; a collision between the few GPUs
    /// of one machine has a chance of about 2^-60.
    pub const fn from_uuid(uuid: [u8; 16]) -> Self {
        let (mut low, mut high) = ([0; 8], [0; 8]);
        let mut i = 0;
        while i < 8 {
            low[i] = uuid[i];
            high[i] = uuid[i + 8];
            i += 1;
        }
        let key = u64::from_le_bytes(low) ^ u64::from_le_bytes(high).rotate_left(29);
        match NonZeroU64::new(key) {
            Some(key) => GpuKey(key),
            None => GpuKey(NonZeroU64::MIN),
        }
    }

    /// The plain number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The key that a number of the region is; 0 is none.
    pub(crate) fn from_code(code: u64) -> Option<Self> {
        NonZeroU64::new(code).map(GpuKey)
    }
}

/// A channel hash made of XOR masks: bit `i` of a page's colour is the parity of its physical address and mask `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashTable {
    /// The size in bytes of the smallest page that lies within one colour.
    pub page_bytes: u32,
    masks: [u64; MAX_MASKS],
    used: usize,
    /// Whether the colours are the sides of an L2, each of which is half of the DRAM and near to half of the SMs.
    pub by_side: bool,
}

impl HashTable {
    /// A hash with these masks, or `None` where the masks are none, too many or zero, or the page is no power of two
    /// of 4 KiB or more.
    pub fn new(page_bytes: u32, masks: &[u64]) -> Option<Self> {
        let fits = (1..=MAX_MASKS).contains(&masks.len()) && masks.iter().all(|&mask| mask != 0);
        if !fits || !page_bytes.is_power_of_two() || page_bytes < 4096 {
            return None;
        }
        let mut table = HashTable { page_bytes, masks: [0; MAX_MASKS], used: masks.len(), by_side: false };
        table.masks[..masks.len()].copy_from_slice(masks);
        Some(table)
    }

    /// The same hash, whose colours are the sides of an L2 or are not.
    pub const fn of_sides(mut self, by_side: bool) -> Self {
        self.by_side = by_side;
        self
    }

    /// The number of colours.
    pub const fn colors(&self) -> u32 {
        1 << self.used
    }

    /// The masks.
    pub fn masks(&self) -> &[u64] {
        &self.masks[..self.used]
    }

    /// The colour of the page at a physical address.
    #[inline]
    pub fn color_of(&self, phys: u64) -> u32 {
        self.masks().iter().enumerate().map(|(bit, mask)| ((phys & mask).count_ones() & 1) << bit).sum()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_color_is_the_parity_under_each_mask() {
        let table = HashTable::new(4096, &[0x1000, 0x6000]).expect("a table");
        assert_eq!(table.colors(), 4);
        assert_eq!([0, 0x1000, 0x2000, 0x6000, 0x3000].map(|phys| table.color_of(phys)), [0, 1, 2, 0, 3]);
    }

    #[test]
    fn tables_that_make_no_sense_are_refused() {
        assert_eq!(HashTable::new(4096, &[]), None);
        assert_eq!(HashTable::new(4096, &[0]), None);
        assert_eq!(HashTable::new(4096, &[1; MAX_MASKS + 1]), None);
        assert_eq!(HashTable::new(5000, &[1]), None);
    }
}
