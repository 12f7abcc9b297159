//! A lookup over the address bits that matter, compressed.
//!
//! The bits that matter, put together, are an index. Its lowest bits, at most [`BLOCK_BITS`], number the entry within
//! a block; the others number the block. Equal blocks are kept once, and blocks of which no entry is known not at all.
//! The domain is what is known: addresses between the lowest and the highest measured, with an index that was
//! measured.

use crate::Mask;
use crate::level::hex_address;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use units::PhysAddr;

/// How many bits of an index lie within a block.
const BLOCK_BITS: u32 = 8;
/// An entry that is not known.
const UNKNOWN: u32 = u32::MAX;
/// The first bytes, which name the format.
const MAGIC: &[u8; 8] = b"HASHLUT1";

/// A table from the address bits that matter to a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Lut {
    bits: u64,
    classes: u32,
    lowest: PhysAddr,
    highest: PhysAddr,
    /// Which block the upper bits of an index name.
    index: BTreeMap<u64, u32>,
    blocks: Vec<Vec<u32>>,
}

/// The entry of a lookup in a table file; the data are elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LutInfo {
    /// The address bits that matter.
    pub bits: Mask,
    /// How many classes there are.
    pub classes: u32,
    /// The domain: the lowest address measured,
    #[serde(with = "hex_address")]
    pub lowest: PhysAddr,
    /// and the highest.
    #[serde(with = "hex_address")]
    pub highest: PhysAddr,
    /// How many values of the bits that matter are known; of 2^bits there are.
    pub entries: u64,
    /// The checksum of the data.
    pub crc32: u32,
}

/// Bytes that are no lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the data of a lookup: {0}")]
pub struct BadLut(&'static str);

impl Lut {
    /// A lookup over `bits` for addresses from `lowest` to `highest` from what is known of some indices (see
    /// [`index_of`]). All classes are less than `classes`.
    pub(crate) fn new(
        bits: u64,
        classes: u32,
        (lowest, highest): (PhysAddr, PhysAddr),
        entries: impl IntoIterator<Item = (u64, u32)>,
    ) -> Lut {
        let mut whole: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        let block_bits = bits.count_ones().min(BLOCK_BITS);
        for (index, class) in entries {
            let block = whole.entry(index >> block_bits).or_insert_with(|| vec![UNKNOWN; 1 << block_bits]);
            block[(index & ((1 << block_bits) - 1)) as usize] = class;
        }
        let mut numbers: HashMap<Vec<u32>, u32> = HashMap::new();
        let mut blocks = Vec::new();
        let mut index = BTreeMap::new();
        for (upper, block) in whole {
            let number = *numbers.entry(block).or_insert_with_key(|block| {
                blocks.push(block.clone());
                blocks.len() as u32 - 1
            });
            index.insert(upper, number);
        }
        Lut { bits, classes, lowest, highest, index, blocks }
    }

    /// The class; `None` outside the domain.
    pub fn class_of(&self, address: PhysAddr) -> Option<u32> {
        if address < self.lowest || address > self.highest {
            return None;
        }
        let block_bits = self.block_bits();
        let index = index_of(self.bits, address);
        let block = &self.blocks[*self.index.get(&(index >> block_bits))? as usize];
        Some(block[(index & ((1 << block_bits) - 1)) as usize]).filter(|&class| class != UNKNOWN)
    }

    /// The address bits that matter.
    pub fn bits(&self) -> u64 {
        self.bits
    }

    /// How many classes there are.
    pub fn classes(&self) -> u32 {
        self.classes
    }

    /// The description without the data.
    pub fn info(&self) -> LutInfo {
        let known = |block: &u32| self.blocks[*block as usize].iter().filter(|&&class| class != UNKNOWN).count();
        LutInfo {
            bits: Mask(self.bits),
            classes: self.classes,
            lowest: self.lowest,
            highest: self.highest,
            entries: self.index.values().map(|block| known(block) as u64).sum(),
            crc32: crc32fast::hash(&self.to_bytes()),
        }
    }

    fn block_bits(&self) -> u32 {
        self.bits.count_ones().min(BLOCK_BITS)
    }

    /// The data: a word that names the format, then numbers in LEB128 (bits, classes, lowest, highest, blocks; each
    /// block as runs of a length and a class plus one, 0 for unknown; then the index as steps and block numbers), and
    /// at the end the CRC-32 of all that, 4 bytes, little endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let header = [self.bits, self.classes.into(), self.lowest.get(), self.highest.get(), self.blocks.len() as u64];
        header.into_iter().for_each(|number| put(&mut bytes, number));
        for block in &self.blocks {
            for run in block.chunk_by(|a, b| a == b) {
                put(&mut bytes, run.len() as u64);
                put(&mut bytes, run[0].wrapping_add(1).into());
            }
        }
        put(&mut bytes, self.index.len() as u64);
        let mut last = 0;
        for (&upper, &block) in &self.index {
            put(&mut bytes, upper - last);
            put(&mut bytes, block.into());
            last = upper;
        }
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// Reads what [`Lut::to_bytes`] wrote; an error where that cannot have been it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Lut, BadLut> {
        let (content, checksum) = bytes.split_last_chunk::<4>().ok_or(BadLut("they are too short"))?;
        if crc32fast::hash(content) != u32::from_le_bytes(*checksum) {
            return Err(BadLut("their checksum is wrong"));
        }
        let mut rest = content.strip_prefix(MAGIC).ok_or(BadLut("they are of another format"))?;
        let short = BadLut("they end too soon");
        let mut next = || take(&mut rest).ok_or(short);
        let (bits, classes, lowest, highest, count) = (next()?, next()?, next()?, next()?, next()?);
        let classes = u32::try_from(classes).map_err(|_| BadLut("there are too many classes"))?;
        let size = 1usize << bits.count_ones().min(BLOCK_BITS);
        let mut blocks = Vec::new();
        for _ in 0..count {
            let mut block = Vec::with_capacity(size);
            while block.len() < size {
                let (run, class) = (next()?, next()?);
                if run == 0 || run > (size - block.len()) as u64 || class > classes.into() {
                    return Err(BadLut("a block is of the wrong size, or a class too large"));
                }
                block.resize(block.len() + run as usize, (class as u32).wrapping_sub(1));
            }
            blocks.push(block);
        }
        let (mut index, mut upper) = (BTreeMap::new(), 0u64);
        for _ in 0..next()? {
            upper = upper.checked_add(next()?).ok_or(BadLut("an index is too large"))?;
            let block = next()?;
            if block >= count {
                return Err(BadLut("a block is missing"));
            }
            index.insert(upper, block as u32);
        }
        let (lowest, highest) = (PhysAddr::new(lowest), PhysAddr::new(highest));
        rest.is_empty().then_some(Lut { bits, classes, lowest, highest, index, blocks }).ok_or(BadLut("they go on"))
    }
}

/// The bits of an address that are set in `bits`, put together: the lowest of them is bit 0.
pub(crate) fn index_of(bits: u64, address: PhysAddr) -> u64 {
    let (mut left, mut index) = (bits, 0);
    for at in 0..bits.count_ones() {
        index |= (address.get() >> left.trailing_zeros() & 1) << at;
        left &= left - 1;
    }
    index
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}
