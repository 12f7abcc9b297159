//! The client's host memory: longer than anything on the device, so that no copy that the driver lets pass overruns it.

use crate::random::{Digest, Random};
use abi::cuda::CUDA_SUCCESS;

/// Two buffers that live as long as the process: one of its own, one that the driver pinned.
#[derive(Default)]
pub struct Hosts {
    pageable: Vec<u64>,
    pinned: u64,
}

impl Hosts {
    /// The bytes of a buffer.
    pub const BYTES: u64 = 16 << 20;
    /// Addresses drawn lie below this offset.
    pub const OFFSETS: u64 = 4 << 20;

    /// Takes the buffers; the pinned one by a function that is given a size and answers with an address.
    pub fn take(&mut self, pin: impl FnOnce(u64) -> (u32, u64)) {
        self.pageable = vec![0; Self::BYTES as usize / 8];
        let (code, pinned) = pin(Self::BYTES);
        self.pinned = if code == CUDA_SUCCESS { pinned } else { 0 };
    }

    /// An address and the bytes from there to the end: in the pinned buffer for 0, else in the other.
    pub fn at(&self, which: u64, offset: u64) -> (u64, u64) {
        let base = if which == 0 && self.pinned != 0 { self.pinned } else { self.pageable.as_ptr() as u64 };
        (base + offset, Self::BYTES - offset)
    }

    /// An address in the part that may be registered. No copy comes there: what a stream may still write and what the
    /// driver reads at once would overlap otherwise.
    pub fn to_register(&self, offset: u64) -> u64 {
        self.pageable.as_ptr() as u64 + Self::BYTES - (4 << 20) + offset
    }

    /// Fills both with numbers that follow from a seed.
    pub fn fill(&mut self, seed: u64) {
        let mut random = Random::new(seed);
        let [own, pinned] = self.bytes();
        for buffer in [own, pinned] {
            for word in buffer.as_chunks_mut::<8>().0 {
                *word = random.next().to_ne_bytes();
            }
        }
    }

    /// All that they hold, as one number.
    pub fn digest(&mut self) -> u64 {
        let mut digest = Digest::default();
        for buffer in self.bytes() {
            digest.fold_bytes(buffer);
        }
        digest.0
    }

    /// Both buffers. Nothing that a stream does uses them at that time, as the client waits for it first.
    fn bytes(&mut self) -> [&mut [u8]; 2] {
        let own = self.pageable.as_mut_ptr().cast::<u8>();
        // SAFETY: the vector's own words.
        let own = unsafe { std::slice::from_raw_parts_mut(own, self.pageable.len() * 8) };
        if self.pinned == 0 {
            return [own, &mut []];
        }
        // SAFETY: memory of that size from the driver, which is never freed and that only the driver knows besides.
        [own, unsafe { std::slice::from_raw_parts_mut(self.pinned as usize as *mut u8, Self::BYTES as usize) }]
    }

    /// A sample of what a copy to host memory brought.
    pub fn sample(address: u64, bytes: u64) -> u64 {
        let mut digest = Digest::default();
        let ends = [0, 1, bytes.wrapping_sub(2), bytes.wrapping_sub(1)];
        for offset in (0..bytes).step_by(4096).chain(ends).filter(|&offset| offset < bytes) {
            // SAFETY: the caller copied that many bytes to its own buffer; volatile, as the driver wrote them.
            digest.fold(u64::from(unsafe { (address as usize as *const u8).add(offset as usize).read_volatile() }));
        }
        digest.0
    }
}
