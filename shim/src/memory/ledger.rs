//! The ledger of the process's VRAM: objects, where they are mapped, and which of them are coloured.

use super::backing::overlay::Overlay;
use super::decision::Wish;
use crate::base::lock::Lock;
use crate::driver::objects::ObjectId;
use abi::rm::MemoryParams;
use abi::uvm::MapExternalAllocation;
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::{Arc, MutexGuard};
use units::{Bytes, DeviceVa, PhysAddr};

/// An object of VRAM.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) fd: c_int,
    pub(crate) parent: u32,
    pub(crate) size: Bytes,
    pub(crate) phys: PhysAddr,
    pub(crate) contiguous: bool,
    pub(crate) compressible: bool,
    pub(crate) wish: Wish,
    /// Whether allocations of a pool are cut out of it.
    pub(crate) pooled: bool,
    /// The pages that it shows, once it is coloured.
    pub(crate) overlay: Option<Arc<Overlay>>,
}

impl Object {
    pub(crate) fn new(fd: c_int, parent: u32, memory: &MemoryParams, wish: Wish, pooled: bool) -> Self {
        Object {
            fd,
            parent,
            size: Bytes::new(memory.size),
            phys: PhysAddr::new(memory.offset),
            contiguous: memory.is_vidmem() && memory.is_contiguous(),
            compressible: memory.is_compressible(),
            wish,
            pooled,
            overlay: None,
        }
    }
}

/// A part of an object at an address.
#[derive(Clone, Debug)]
pub(crate) struct Mapping {
    pub(crate) len: Bytes,
    pub(crate) client: u32,
    pub(crate) memory: u32,
    pub(crate) offset: Bytes,
    /// The object's overlay, and the driver's own request with the descriptor that it came by, which puts the range
    /// back as it was; where the range shows the overlay.
    pub(crate) shown: Option<Shown>,
}

#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) overlay: Arc<Overlay>,
    pub(crate) stock: Arc<MapExternalAllocation>,
    pub(crate) fd: c_int,
}

/// The process's VRAM.
pub(crate) struct Ledger {
    /// Device and inode of every open UVM file: its requests are bare numbers, which other drivers use too.
    uvm_files: Vec<(u64, u64)>,
    objects: BTreeMap<ObjectId, Object>,
    mappings: BTreeMap<DeviceVa, Mapping>,
}

/// The objects and mappings that go with an object or a whole client.
#[derive(Default)]
pub(crate) struct Gone {
    pub(crate) objects: Vec<(ObjectId, Object)>,
    pub(crate) mappings: Vec<(DeviceVa, Mapping)>,
}

static LEDGER: Lock<Ledger> = Lock::new(Ledger::new());

/// The ledger. Never held across a call to the kernel or the driver.
pub(crate) fn ledger() -> MutexGuard<'static, Ledger> {
    LEDGER.lock()
}

impl Ledger {
    pub(crate) const fn new() -> Self {
        Ledger { uvm_files: Vec::new(), objects: BTreeMap::new(), mappings: BTreeMap::new() }
    }

    pub(crate) fn uvm_opened(&mut self, fd: c_int) {
        if let Some(file) = identity(fd)
            && !self.uvm_files.contains(&file)
        {
            self.uvm_files.push(file);
        }
    }

    pub(crate) fn is_uvm(&self, fd: c_int) -> bool {
        !self.uvm_files.is_empty() && identity(fd).is_some_and(|file| self.uvm_files.contains(&file))
    }

    pub(crate) fn object_made(&mut self, client: u32, handle: u32, object: Object) {
        self.objects.insert((client, handle), object);
    }

    pub(crate) fn object(&self, client: u32, handle: u32) -> Option<&Object> {
        self.objects.get(&(client, handle))
    }

    /// Sets what becomes of an object.
    pub(crate) fn wish(&mut self, client: u32, handle: u32, wish: Wish) {
        if let Some(object) = self.objects.get_mut(&(client, handle)) {
            object.wish = wish;
        }
    }

    /// The object is coloured, or not any more; its size, and the overlay that it had.
    pub(crate) fn color(
        &mut self,
        client: u32,
        handle: u32,
        overlay: Option<Arc<Overlay>>,
    ) -> Option<(Bytes, Option<Arc<Overlay>>)> {
        let object = self.objects.get_mut(&(client, handle))?;
        object.wish = if overlay.is_some() { Wish::Color } else { Wish::Stock };
        Some((object.size, std::mem::replace(&mut object.overlay, overlay)))
    }

    /// Takes out an object or, where it is a client's own handle, everything of that client.
    pub(crate) fn object_taken(&mut self, client: u32, handle: u32) -> Gone {
        let whole = client == handle;
        let is_it = |id: &ObjectId| if whole { id.0 == client } else { *id == (client, handle) };
        let objects: Vec<ObjectId> = self.objects.keys().filter(|id| is_it(id)).copied().collect();
        let its = self.mappings.iter().filter(|(_, mapping)| whole && mapping.client == client);
        let mappings: Vec<DeviceVa> = its.map(|(va, _)| *va).collect();
        Gone {
            objects: objects.iter().filter_map(|id| self.objects.remove_entry(id)).collect(),
            mappings: mappings.iter().filter_map(|va| self.mappings.remove_entry(va)).collect(),
        }
    }

    /// Puts back what was not freed, where nothing new is in its place.
    pub(crate) fn put_back(&mut self, gone: Gone) {
        for (id, object) in gone.objects {
            self.objects.entry(id).or_insert(object);
        }
        for (va, mapping) in gone.mappings {
            self.mappings.entry(va).or_insert(mapping);
        }
    }

    /// A part of an object is mapped; the mappings that were there before.
    pub(crate) fn mapped(&mut self, map: &MapExternalAllocation) -> Vec<Mapping> {
        let replaced = self.unmapped(map.base, map.length);
        let mapping = Mapping {
            len: Bytes::new(map.length),
            client: map.client,
            memory: map.memory,
            offset: Bytes::new(map.offset),
            shown: None,
        };
        self.mappings.insert(DeviceVa::new(map.base), mapping);
        replaced
    }

    /// The mapping at an address shows the overlay of its object, or its own pages again.
    pub(crate) fn shows(&mut self, va: DeviceVa, shown: Option<Shown>) -> Option<Shown> {
        let mapping = self.mappings.get_mut(&va)?;
        std::mem::replace(&mut mapping.shown, shown)
    }

    /// The coloured mapping that an address lies in, and where it begins.
    pub(crate) fn colored_at(&self, va: DeviceVa) -> Option<(DeviceVa, Mapping)> {
        let (base, mapping) = self.mappings.range(..=va).next_back()?;
        (va < *base + mapping.len && mapping.shown.is_some()).then(|| (*base, mapping.clone()))
    }

    /// The object mapped at an address: its client and its handle there.
    pub(crate) fn object_at(&self, va: DeviceVa) -> Option<(u32, u32)> {
        let (base, mapping) = self.mappings.range(..=va).next_back()?;
        (va < *base + mapping.len).then_some((mapping.client, mapping.memory))
    }

    /// The first coloured mapping of an object, and where it begins.
    pub(crate) fn colored_of(&self, client: u32, memory: u32) -> Option<(DeviceVa, Mapping)> {
        let is_it = |mapping: &Mapping| (mapping.client, mapping.memory) == (client, memory) && mapping.shown.is_some();
        self.mappings.iter().find(|(_, mapping)| is_it(mapping)).map(|(va, mapping)| (*va, mapping.clone()))
    }

    /// The addresses of all coloured mappings.
    pub(crate) fn colored(&self) -> Vec<DeviceVa> {
        self.mappings.iter().filter(|(_, mapping)| mapping.shown.is_some()).map(|(va, _)| *va).collect()
    }

    /// `[base, base + length)` is no longer mapped; the mappings that lay in it as a whole.
    pub(crate) fn unmapped(&mut self, base: u64, length: u64) -> Vec<Mapping> {
        let (from, to) = (DeviceVa::new(base), DeviceVa::new(base.saturating_add(length)));
        let inside: Vec<DeviceVa> =
            self.mappings.range(from..to).filter(|(va, mapping)| **va + mapping.len <= to).map(|(va, _)| *va).collect();
        inside.iter().filter_map(|va| self.mappings.remove(va)).collect()
    }

    /// Numbers of objects and mappings that are known, for a message that says that something is not.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.objects.len(), self.mappings.len())
    }

    /// Visits the VRAM behind `[va, va + bytes)` in rising order. False where a part of it is not known.
    pub(crate) fn visit(&self, va: DeviceVa, bytes: Bytes, mut extent: impl FnMut(DeviceVa, Bytes, PhysAddr)) -> bool {
        let (mut at, end) = (va, va + bytes);
        while at < end {
            let Some((base, mapping)) = self.mappings.range(..=at).next_back() else { return false };
            if *base + mapping.len <= at {
                return false;
            }
            let Some(object) = self.object(mapping.client, mapping.memory).filter(|object| object.contiguous) else {
                return false;
            };
            let to = (*base + mapping.len).min(end);
            let offset = mapping.offset + (at - *base);
            match &mapping.shown {
                Some(shown) => shown.overlay.extents(object.phys, offset, to - at, |from, len, phys| {
                    extent(at + (from - offset), len, phys);
                }),
                None => extent(at, to - at, object.phys + offset),
            }
            at = to;
        }
        true
    }
}

fn identity(fd: c_int) -> Option<(u64, u64)> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fstat writes the structure, or fails.
    if unsafe { libc::fstat(fd, stat.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: fstat succeeded.
    let stat = unsafe { stat.assume_init() };
    // Every open of a device node has the node's inode: which device it is, is what matters.
    Some((stat.st_dev, stat.st_ino))
}
