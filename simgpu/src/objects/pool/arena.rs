//! A pool's memory: one range of addresses, with objects mapped side by side where allocations need them.
//!
//! An allocation takes the first gap among the addresses, and objects come under it where there are none. Objects that
//! nothing is allocated on any more stay for later allocations, until the pool is trimmed.

use crate::objects::driver::{Driver, driver};
use crate::objects::first_fit::FirstFit;
use crate::objects::requests::{Purpose, Rm};
use crate::objects::{Outcome, lock};
use abi::cuda::*;
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError, TryLockError};
use units::{Bytes, DeviceVa};

/// The size of an object, as with the real driver.
const PIECE: Bytes = Bytes::mib(32);

/// A pool's memory.
pub(super) struct Arena {
    /// The most bytes that are allocated at a time, if there is such a limit.
    most: Option<Bytes>,
    /// The addresses, from when they are first needed.
    range: OnceLock<Range>,
    /// The object of each piece of the range that has one, by the piece's number. This is held across requests to the
    /// kernel, by whoever allocates or trims; whoever frees or asks does not need it.
    objects: Mutex<BTreeMap<u64, u32>>,
    /// Never held across a request.
    books: Mutex<Books>,
}

#[derive(Clone, Copy)]
struct Range {
    start: DeviceVa,
    bytes: Bytes,
}

/// The allocated parts, and how much memory is held for it.
#[derive(Default)]
struct Books {
    taken: FirstFit,
    used: Level,
    reserved: Level,
}

/// A number of bytes, and the highest that it was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Level {
    pub(crate) now: Bytes,
    pub(crate) high: Bytes,
}

/// The ranges of pools that are no more. Addresses of pools are used again anyway, and there are not enough for a
/// program that makes pools without end.
static RETIRED: Mutex<Vec<Range>> = Mutex::new(Vec::new());

impl Level {
    fn rise(&mut self, by: Bytes) {
        self.now += by;
        self.high = self.high.max(self.now);
    }

    fn fall(&mut self, by: Bytes) {
        self.now = self.now - by;
    }
}

impl Range {
    fn new(driver: &Driver, most: Option<Bytes>) -> Outcome<Self> {
        // Twice what can be allocated, as with the real driver: gaps are not always of the right size.
        let vram = driver.machine.spec().vram;
        let fits = most.filter(|&most| most < vram).unwrap_or(vram);
        let bytes = (fits + fits).checked_round_up(PIECE).ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
        let mut retired = lock(&RETIRED);
        let again = retired.iter().position(|range| range.bytes == bytes).map(|at| retired.swap_remove(at));
        drop(retired);
        let range = match again {
            Some(range) => range,
            None => Range { start: driver.memory.take_addresses(bytes, PIECE)?, bytes },
        };
        driver.rm.create_range(range.start, bytes)?;
        Ok(range)
    }

    fn piece(self, number: u64) -> DeviceVa {
        self.start + Bytes::new(number * PIECE.get())
    }
}

impl Arena {
    pub(super) fn new(most: Option<Bytes>) -> Self {
        Arena { most, range: OnceLock::new(), objects: Mutex::default(), books: Mutex::default() }
    }

    pub(super) fn used(&self) -> Level {
        lock(&self.books).used
    }

    pub(super) fn reserved(&self) -> Level {
        lock(&self.books).reserved
    }

    /// Forgets how high the number of allocated bytes was.
    pub(super) fn reset_used(&self) {
        let used = &mut lock(&self.books).used;
        used.high = used.now;
    }

    /// Forgets how high the number of reserved bytes was.
    pub(super) fn reset_reserved(&self) {
        let reserved = &mut lock(&self.books).reserved;
        reserved.high = reserved.now;
    }

    /// Allocates.
    pub(super) fn take(&self, driver: &Driver, bytes: Bytes) -> Outcome<DeviceVa> {
        let mut objects = lock(&self.objects);
        let range = match self.range.get() {
            Some(&range) => range,
            // Whoever sets it holds the lock.
            None => {
                let range = Range::new(driver, self.most)?;
                *self.range.get_or_init(|| range)
            }
        };
        let offset = lock(&self.books).take(bytes, range.bytes, self.most).ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
        let (first, last) = (offset.get() / PIECE.get(), (offset + bytes).get().div_ceil(PIECE.get()));
        let missing: Vec<u64> = (first..last).filter(|number| !objects.contains_key(number)).collect();
        for &number in &missing {
            match back(&driver.rm, range.piece(number)) {
                Ok(object) => {
                    objects.insert(number, object);
                    lock(&self.books).reserved.rise(PIECE);
                }
                Err(code) => {
                    lock(&self.books).give_back(offset, bytes);
                    for number in missing {
                        self.release(&driver.rm, range, &mut objects, number);
                    }
                    return Err(code);
                }
            }
        }
        Ok(range.start + offset)
    }

    /// Frees, and keeps the memory for later allocations.
    pub(super) fn give_back(&self, va: DeviceVa, bytes: Bytes) {
        if let Some(range) = self.range.get() {
            lock(&self.books).give_back(va - range.start, bytes);
        }
    }

    /// Gives memory back that nothing is allocated on, as far as more than `keep` is reserved.
    pub(super) fn trim(&self, rm: &Rm, keep: Bytes) {
        self.trim_locked(rm, keep, &mut lock(&self.objects));
    }

    /// The same, but nothing where another thread allocates or trims just now.
    pub(super) fn trim_if_idle(&self, rm: &Rm, keep: Bytes) {
        match self.objects.try_lock() {
            Ok(mut objects) => self.trim_locked(rm, keep, &mut objects),
            Err(TryLockError::Poisoned(poisoned)) => self.trim_locked(rm, keep, &mut poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    fn trim_locked(&self, rm: &Rm, keep: Bytes, objects: &mut BTreeMap<u64, u32>) {
        let Some(&range) = self.range.get() else { return };
        // From the end, as allocations take the first gap.
        let numbers: Vec<u64> = objects.keys().rev().copied().collect();
        for number in numbers {
            let books = lock(&self.books);
            if books.reserved.now <= keep {
                return;
            }
            let is_free = books.taken.is_free(Bytes::new(number * PIECE.get()), PIECE);
            drop(books);
            if is_free {
                self.release(rm, range, objects, number);
            }
        }
    }

    /// Gives one piece's object back, if it has one. Nothing is allocated on it, and nothing comes to be while
    /// `objects` is locked. An object that cannot be unmapped stays.
    fn release(&self, rm: &Rm, range: Range, objects: &mut BTreeMap<u64, u32>, number: u64) {
        let Some(&object) = objects.get(&number) else { return };
        if rm.unmap(range.piece(number), PIECE).is_ok() {
            rm.free(object);
            objects.remove(&number);
            lock(&self.books).reserved.fall(PIECE);
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let (Ok(driver), Some(&range)) = (driver(), self.range.get()) else { return };
        self.trim(&driver.rm, Bytes::ZERO);
        driver.rm.free_range(range.start, range.bytes);
        let left = std::mem::take(self.objects.get_mut().unwrap_or_else(PoisonError::into_inner));
        left.into_values().for_each(|object| driver.rm.free(object));
        lock(&RETIRED).push(range);
    }
}

impl Books {
    fn take(&mut self, bytes: Bytes, room: Bytes, most: Option<Bytes>) -> Option<Bytes> {
        if most.is_some_and(|most| self.used.now.saturating_add(bytes) > most) {
            return None;
        }
        let offset = self.taken.take(bytes, room)?;
        self.used.rise(bytes);
        Some(offset)
    }

    fn give_back(&mut self, offset: Bytes, bytes: Bytes) {
        self.taken.give_back(offset);
        self.used.fall(bytes);
    }
}

/// Maps a new object.
fn back(rm: &Rm, va: DeviceVa) -> Outcome<u32> {
    let object = rm.alloc_memory(PIECE, Purpose::Piece)?;
    rm.map(va, PIECE, Bytes::ZERO, object).inspect_err(|_| rm.free(object))?;
    Ok(object)
}
