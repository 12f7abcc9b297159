//! Device memory: `cuMemAlloc` and what belongs to it.
//!
//! An allocation of 2 MiB or more is an object of its own, mapped in one call. Smaller ones share slabs. What comes from
//! a pool is only noted here.

mod slab;

use super::requests::{HUGE_PAGE, Purpose, Rm};
use super::{Outcome, lock};
use crate::machine::Machine;
use crate::os::for_each_page_run;
use abi::cuda::*;
use slab::Slab;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use units::{Bytes, DeviceVa};

/// The beginning of device addresses: above everything that a non-relocatable program has, far below mapped libraries, so
/// that an address says by itself whether it is the host's or the device's.
const FIRST_VA: u64 = 0x3_0000_0000;
/// Their end: below the addresses at which relocatable programs are loaded.
const LAST_VA: u64 = 0x5000_0000_0000;

/// The process's device memory.
pub(crate) struct Memory {
    machine: &'static Machine,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    /// How many bytes of addresses were given out. They are never given out again: a stale pointer must fault and
    /// not find somebody else's data.
    addresses_used: u64,
    allocations: BTreeMap<u64, Allocation>,
    slabs: BTreeMap<u64, Slab>,
}

/// Whatever memory came from that is only noted here, as a pool.
pub(crate) trait Source: Send + Sync {
    /// Takes memory back, which is in no books any more.
    fn give_back(&self, va: DeviceVa, bytes: Bytes);
}

/// A stretch that the program knows by its address.
#[derive(Clone)]
pub(crate) struct Allocation {
    pub(crate) va: DeviceVa,
    pub(crate) bytes: Bytes,
    /// The context it belongs to.
    owner: CUcontext,
    backing: Backing,
}

#[derive(Clone)]
enum Backing {
    /// An object, mapped as a whole.
    Object(Object),
    /// A part of the slab at that address.
    Slab(u64),
    /// A part of a pool.
    Pool(Arc<dyn Source>),
    /// An address range that the program itself maps objects in.
    Reservation,
}

/// An object that is mapped as a whole.
#[derive(Clone, Copy, Debug)]
struct Object {
    handle: u32,
    mapped: Bytes,
}

impl Object {
    fn create(rm: &Rm, va: DeviceVa, bytes: Bytes) -> Outcome<Self> {
        let object = Object { handle: rm.alloc_memory(bytes, Purpose::Allocation)?, mapped: bytes };
        let mapped = rm.create_range(va, bytes).and_then(|()| rm.map(va, bytes, Bytes::ZERO, object.handle));
        if let Err(code) = mapped {
            object.release(rm, va);
            return Err(code);
        }
        Ok(object)
    }

    fn release(self, rm: &Rm, va: DeviceVa) {
        rm.free_range(va, self.mapped);
        rm.free(self.handle);
    }
}

/// The rest of an allocation that is to be given back.
enum Left {
    Object(DeviceVa, Object),
    Pooled(Allocation, Arc<dyn Source>),
}

impl Left {
    fn give_back(self, rm: &Rm) {
        match self {
            Left::Object(va, object) => object.release(rm, va),
            Left::Pooled(gone, source) => source.give_back(gone.va, gone.bytes),
        }
    }
}

impl Memory {
    /// The books of a process that has no memory yet.
    pub(crate) fn new(machine: &'static Machine) -> Self {
        Memory { machine, books: Mutex::default() }
    }

    /// Takes `bytes` for the context `owner`.
    pub(crate) fn alloc(&self, rm: &Rm, bytes: Bytes, owner: CUcontext) -> Outcome<DeviceVa> {
        if bytes == Bytes::ZERO {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        if bytes < HUGE_PAGE {
            return self.alloc_small(rm, bytes, owner);
        }
        let mapped = bytes.checked_round_up(HUGE_PAGE).ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
        // What can never be had costs no addresses.
        if mapped > self.machine.spec().vram {
            return Err(CUDA_ERROR_OUT_OF_MEMORY);
        }
        let va = self.take_addresses(mapped, HUGE_PAGE)?;
        // No lock is held across requests to the kernel modules: whoever interposes them may take long.
        let backing = Backing::Object(Object::create(rm, va, mapped)?);
        lock(&self.books).allocations.insert(va.get(), Allocation { va, bytes, owner, backing });
        Ok(va)
    }

    fn alloc_small(&self, rm: &Rm, bytes: Bytes, owner: CUcontext) -> Outcome<DeviceVa> {
        loop {
            let mut books = lock(&self.books);
            let place = books.slabs.iter_mut().find_map(|(&base, slab)| Some((base, slab.take(bytes)?)));
            if let Some((base, offset)) = place {
                let va = DeviceVa::new(base) + offset;
                let backing = Backing::Slab(base);
                books.allocations.insert(va.get(), Allocation { va, bytes, owner, backing });
                return Ok(va);
            }
            drop(books);
            let va = self.take_addresses(HUGE_PAGE, HUGE_PAGE)?;
            let slab = Slab::new(Object::create(rm, va, HUGE_PAGE)?);
            lock(&self.books).slabs.insert(va.get(), slab);
        }
    }

    /// Frees an allocation.
    pub(crate) fn free(&self, rm: &Rm, va: DeviceVa) -> Outcome {
        let mut books = lock(&self.books);
        match books.allocations.get(&va.get()) {
            Some(allocation) if allocation.is_backed() => {}
            _ => return Err(CUDA_ERROR_INVALID_VALUE),
        }
        let left = books.remove(va);
        drop(books);
        if let Some(left) = left {
            left.give_back(rm);
        }
        Ok(())
    }

    /// Frees what a context left.
    pub(crate) fn release_all(&self, rm: &Rm, owner: CUcontext) {
        let mut books = lock(&self.books);
        let owned = |it: &&Allocation| it.owner == owner && it.is_backed();
        let ended: Vec<DeviceVa> = books.allocations.values().filter(owned).map(|it| it.va).collect();
        let left: Vec<Left> = ended.into_iter().filter_map(|va| books.remove(va)).collect();
        drop(books);
        for left in left {
            left.give_back(rm);
        }
    }

    /// Notes what was allocated from a pool.
    pub(crate) fn add_pooled(&self, va: DeviceVa, bytes: Bytes, owner: CUcontext, source: Arc<dyn Source>) {
        let allocation = Allocation { va, bytes, owner, backing: Backing::Pool(source) };
        lock(&self.books).allocations.insert(va.get(), allocation);
    }

    /// Sets addresses aside for the program to map objects in.
    pub(crate) fn reserve(&self, bytes: Bytes, alignment: Bytes) -> Outcome<DeviceVa> {
        let va = self.take_addresses(bytes, alignment)?;
        let reserved = Allocation { va, bytes, owner: CUcontext::NULL, backing: Backing::Reservation };
        lock(&self.books).allocations.insert(va.get(), reserved);
        Ok(va)
    }

    /// Gives a reservation back; it must be named exactly.
    pub(crate) fn unreserve(&self, va: DeviceVa, bytes: Bytes) -> Outcome {
        let mut books = lock(&self.books);
        match books.allocations.get(&va.get()) {
            Some(it) if matches!(it.backing, Backing::Reservation) && it.bytes == bytes => {
                books.allocations.remove(&va.get());
                Ok(())
            }
            _ => Err(CUDA_ERROR_INVALID_VALUE),
        }
    }

    /// The allocation or reservation that an address lies in.
    pub(crate) fn find(&self, va: DeviceVa) -> Option<Allocation> {
        let books = lock(&self.books);
        let (_, found) = books.allocations.range(..=va.get()).next_back()?;
        (va.get() - found.va.get() < found.bytes.get()).then(|| found.clone())
    }

    /// Whether an address was ever the device's.
    pub(crate) fn was_given_out(&self, va: DeviceVa) -> bool {
        (FIRST_VA..FIRST_VA + lock(&self.books).addresses_used).contains(&va.get())
    }

    /// Fails unless the stretch lies in one allocation, or in a reservation with memory behind all of it.
    pub(crate) fn check(&self, va: DeviceVa, bytes: Bytes) -> Outcome {
        self.check_addresses(va, bytes)?;
        if self.find(va).is_some_and(|it| !it.is_backed()) {
            for_each_page_run(va, bytes, &mut |_, _, _| ()).map_err(|_| CUDA_ERROR_INVALID_VALUE)?;
        }
        Ok(())
    }

    /// Fails unless the stretch lies in one allocation or reservation.
    pub(crate) fn check_addresses(&self, va: DeviceVa, bytes: Bytes) -> Outcome {
        let room = |it: &Allocation| it.bytes.get() - (va.get() - it.va.get());
        match self.find(va) {
            Some(it) if bytes.get() <= room(&it) => Ok(()),
            _ => Err(CUDA_ERROR_INVALID_VALUE),
        }
    }

    /// Takes addresses that nobody else gets, ever.
    pub(crate) fn take_addresses(&self, bytes: Bytes, alignment: Bytes) -> Outcome<DeviceVa> {
        let mut books = lock(&self.books);
        let start = (FIRST_VA + books.addresses_used).checked_next_multiple_of(alignment.get());
        let start = start.ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
        // One unused page between allocations, so that an overrun faults.
        let end = start.checked_add(bytes.get()).and_then(|end| end.checked_add(HUGE_PAGE.get()));
        let end = end.filter(|&end| end <= LAST_VA).ok_or(CUDA_ERROR_OUT_OF_MEMORY)?;
        books.addresses_used = end - FIRST_VA;
        Ok(DeviceVa::new(start))
    }
}

impl Allocation {
    /// Whether memory is behind it from the start.
    pub(crate) fn is_backed(&self) -> bool {
        !matches!(self.backing, Backing::Reservation)
    }
}

impl Books {
    /// Removes an allocation; returns what is to be given back, once nobody holds the books.
    fn remove(&mut self, va: DeviceVa) -> Option<Left> {
        let gone = self.allocations.remove(&va.get())?;
        match gone.backing.clone() {
            Backing::Object(object) => Some(Left::Object(va, object)),
            Backing::Pool(source) => Some(Left::Pooled(gone, source)),
            Backing::Reservation => None,
            Backing::Slab(base) => {
                // One empty slab is kept, for a program that allocates and frees in turn.
                let spare = self.slabs.iter().any(|(&at, slab)| at != base && slab.is_empty());
                let slab = self.slabs.get_mut(&base)?;
                slab.give_back(va - DeviceVa::new(base));
                if !slab.is_empty() || !spare {
                    return None;
                }
                self.slabs.remove(&base).map(|slab| Left::Object(DeviceVa::new(base), slab.object))
            }
        }
    }
}
