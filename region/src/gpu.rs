//! What tenants and the arbiter share about one GPU: its channel hash and its bus.

use crate::bus::Bus;
use crate::slot::Direction;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// How many XOR masks a published hash may have (so up to 2^8 colours).
pub const MAX_MASKS: usize = 8;

/// Names a GPU in the region: 64 bits made from its UUID, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GpuKey(u64);

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
        GpuKey(if key == 0 { 1 } else { key })
    }

    /// The plain number.
    pub const fn get(self) -> u64 {
        self.0
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

    /// How many colours there are.
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

/// One GPU of the machine.
#[repr(C, align(256))]
pub struct Gpu {
    /// The GPU's key; 0 while the entry is free. Set once by compare-and-swap, by whoever names the GPU first.
    key: AtomicU64,
    /// Odd while the hash below is being changed, 0 while there is none. Written by the arbiter.
    generation: AtomicU32,
    /// Written by the arbiter, under the generation.
    page_bytes: AtomicU32,
    /// Written by the arbiter, under the generation.
    masks: [AtomicU64; MAX_MASKS],
    /// 1 where the colours are the sides of an L2. Written by the arbiter, under the generation.
    by_side: AtomicU32,
    reserved: AtomicU32,
    /// The two directions of the bus, by [`Direction`].
    buses: [Bus; 2],
}

impl Gpu {
    /// The GPU's key, if the entry is in use.
    pub fn key(&self) -> Option<GpuKey> {
        match self.key.load(Ordering::Acquire) {
            0 => None,
            key => Some(GpuKey(key)),
        }
    }

    /// Takes the entry for the GPU. True if it is that GPU's now.
    pub(crate) fn claim(&self, key: GpuKey) -> bool {
        match self.key.compare_exchange(0, key.0, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(holder) => holder == key.0,
        }
    }

    /// One direction of the bus.
    pub fn bus(&self, direction: Direction) -> &Bus {
        &self.buses[direction as usize]
    }

    /// Arbiter: publishes the GPU's hash, or takes it back.
    pub fn publish(&self, table: Option<&HashTable>) {
        let generation = self.generation.load(Ordering::Relaxed);
        self.generation.store(generation | 1, Ordering::Relaxed);
        crate::sync::fence(Ordering::Release);
        for (i, word) in self.masks.iter().enumerate() {
            word.store(table.and_then(|t| t.masks().get(i).copied()).unwrap_or(0), Ordering::Relaxed);
        }
        self.page_bytes.store(table.map_or(0, |t| t.page_bytes), Ordering::Relaxed);
        self.by_side.store(table.is_some_and(|t| t.by_side).into(), Ordering::Relaxed);
        // Never back to 0 once something was published: a reader between two publications must see a change.
        self.generation.store((generation | 1).wrapping_add(1), Ordering::Release);
    }

    /// The published hash, if there is one and it holds together.
    pub fn hash(&self) -> Option<HashTable> {
        for _ in 0..8 {
            let before = self.generation.load(Ordering::Acquire);
            if before & 1 == 1 {
                std::hint::spin_loop();
                continue;
            }
            let page_bytes = self.page_bytes.load(Ordering::Relaxed);
            let masks: [u64; MAX_MASKS] = std::array::from_fn(|i| self.masks[i].load(Ordering::Relaxed));
            let by_side = self.by_side.load(Ordering::Relaxed) == 1;
            crate::sync::fence(Ordering::Acquire);
            if self.generation.load(Ordering::Relaxed) == before {
                let used = masks.iter().position(|&mask| mask == 0).unwrap_or(MAX_MASKS);
                return HashTable::new(page_bytes, &masks[..used]).map(|table| table.of_sides(by_side));
            }
        }
        None
    }
}

impl crate::Layout {
    /// The index of the GPU's entry, which is taken if the GPU has none yet. `None` where all entries are taken.
    pub fn gpu_index(&self, key: GpuKey) -> Option<usize> {
        self.header.gpus.iter().position(|gpu| gpu.claim(key))
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
