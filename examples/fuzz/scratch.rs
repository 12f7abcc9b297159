//! Room for what arguments point to: filled with a pattern before a call, compared after it.

use crate::pools::Pools;
use crate::random::Digest;

/// The word that fills the room until something is written.
const UNTOUCHED: u64 = 0xA5A5_A5A5_A5A5_A5A5;
const WORDS: usize = 4096;

/// Words that one call's arguments may point to.
pub struct Scratch {
    words: Box<[u64]>,
    /// Their content before the call.
    before: Box<[u64]>,
    used: usize,
}

impl Scratch {
    /// Empty room.
    pub fn new() -> Scratch {
        let words: Box<[u64]> = vec![UNTOUCHED; WORDS].into();
        Scratch { before: words.clone(), words, used: 0 }
    }

    /// Takes everything back.
    pub fn clear(&mut self) {
        self.words[..self.used].fill(UNTOUCHED);
        self.used = 0;
    }

    /// Takes room for words that the call may write; returns its address.
    pub fn room(&mut self, words: usize) -> u64 {
        self.place(words, &[])
    }

    /// Places words, with room behind them for a call that reads or writes more than it should.
    pub fn put(&mut self, words: &[u64]) -> u64 {
        self.place(words.len() + 8, words)
    }

    /// Places a structure.
    pub fn put_struct<T: Copy>(&mut self, value: T) -> u64 {
        let at = self.room(size_of::<T>().div_ceil(8) + 8);
        // SAFETY: that much room was just taken, and is aligned for words, as structures of the driver's are.
        unsafe { (at as usize as *mut T).write(value) };
        at
    }

    fn place(&mut self, room: usize, words: &[u64]) -> u64 {
        let start = self.used;
        self.used += room;
        self.words[start..start + words.len()].copy_from_slice(words);
        // From the whole, so that the address is good for all of the room.
        (self.words.as_mut_ptr() as usize + start * 8) as u64
    }

    /// The word at an address in here that the call wrote; `None` where it did not.
    pub fn written(&self, at: u64) -> Option<u64> {
        let index = (at as usize).checked_sub(self.words.as_ptr() as usize)? / 8;
        // SAFETY: the index is checked by the slice; volatile, as the driver wrote through an address.
        let word = unsafe { std::ptr::from_ref(self.words.get(index)?).read_volatile() };
        (word != UNTOUCHED).then_some(word)
    }

    /// Notes what is there, before the call.
    pub fn note(&mut self) {
        let used = self.used;
        self.before[..used].copy_from_slice(&self.words[..used]);
    }

    /// Folds what the call wrote, and where. Where `only_whether`, a number written counts as written and no more. What
    /// was placed and is as it was says nothing: the gaps of a structure hold whatever was there.
    pub fn digest(&self, pools: &Pools, only_whether: bool) -> u64 {
        let mut digest = Digest::default();
        for (word, before) in self.words[..self.used].iter().zip(&self.before) {
            // SAFETY: a reference to a word; volatile, as above.
            let word = unsafe { std::ptr::from_ref(word).read_volatile() };
            digest.fold(match word {
                same if same == *before => UNTOUCHED,
                _ if only_whether => 1,
                word => pools.meaning(word),
            });
        }
        digest.0
    }
}
