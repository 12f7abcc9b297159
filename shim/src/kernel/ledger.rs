//! What is known of the process's VRAM: objects, where they are mapped, and what the pager put beneath.

use crate::plan::Run;
use abi::DriverVersion;
use abi::rm::MemoryParams;
use abi::uvm::MapExternalAllocation;
use std::collections::BTreeMap;
use std::ffi::c_int;
use units::{Bytes, DeviceVa, PhysAddr};

/// An object of VRAM.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object {
    pub(crate) fd: c_int,
    pub(crate) parent: u32,
    pub(crate) size: Bytes,
    pub(crate) phys: PhysAddr,
    pub(crate) contiguous: bool,
    pub(crate) compressible: bool,
}

impl Object {
    pub(crate) fn new(fd: c_int, parent: u32, memory: &MemoryParams) -> Self {
        Object {
            fd,
            parent,
            size: Bytes::new(memory.size),
            phys: PhysAddr::new(memory.offset),
            contiguous: memory.is_vidmem() && memory.is_contiguous(),
            compressible: memory.is_compressible(),
        }
    }
}

/// A part of an object at an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapping {
    pub(crate) len: Bytes,
    pub(crate) client: u32,
    pub(crate) memory: u32,
    pub(crate) offset: Bytes,
}

/// An object of the pager's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Donor {
    pub(crate) fd: c_int,
    pub(crate) client: u32,
    pub(crate) parent: u32,
    pub(crate) handle: u32,
    pub(crate) phys: PhysAddr,
    pub(crate) size: Bytes,
}

/// What the pager put beneath a range.
pub(crate) struct Backing {
    pub(crate) len: Bytes,
    /// The driver's own request for the range, and the descriptor that it came by: what puts the range back as it was.
    pub(crate) stock: Box<MapExternalAllocation>,
    pub(crate) fd: c_int,
    pub(crate) donor: Donor,
    pub(crate) runs: Vec<Run>,
}

/// The process's VRAM.
pub(crate) struct Ledger {
    pub(crate) version: Option<DriverVersion>,
    /// Device and inode of every open UVM file: its requests are bare numbers, which other drivers use too.
    uvm_files: Vec<(u64, u64)>,
    objects: BTreeMap<(u32, u32), Object>,
    mappings: BTreeMap<DeviceVa, Mapping>,
    backings: BTreeMap<DeviceVa, Backing>,
}

impl Ledger {
    pub(crate) const fn new() -> Self {
        Ledger {
            version: None,
            uvm_files: Vec::new(),
            objects: BTreeMap::new(),
            mappings: BTreeMap::new(),
            backings: BTreeMap::new(),
        }
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

    pub(crate) fn object(&self, client: u32, handle: u32) -> Option<Object> {
        self.objects.get(&(client, handle)).copied()
    }

    /// An object is gone. If it was a whole client, everything of it is, and its backings are returned.
    pub(crate) fn object_freed(&mut self, client: u32, handle: u32) -> Vec<Backing> {
        if client != handle {
            self.objects.remove(&(client, handle));
            return Vec::new();
        }
        self.objects.retain(|(owner, _), _| *owner != client);
        self.mappings.retain(|_, mapping| mapping.client != client);
        let gone: Vec<DeviceVa> =
            self.backings.iter().filter(|(_, backing)| backing.donor.client == client).map(|(va, _)| *va).collect();
        gone.iter().filter_map(|va| self.backings.remove(va)).collect()
    }

    pub(crate) fn mapped(&mut self, map: &MapExternalAllocation) {
        let mapping = Mapping {
            len: Bytes::new(map.length),
            client: map.client,
            memory: map.memory,
            offset: Bytes::new(map.offset),
        };
        self.mappings.insert(DeviceVa::new(map.base), mapping);
    }

    pub(crate) fn backed(&mut self, va: DeviceVa, backing: Backing) {
        self.backings.insert(va, backing);
    }

    /// Where the coloured range begins that an address lies in.
    pub(crate) fn backed_range(&self, va: DeviceVa) -> Option<DeviceVa> {
        let (base, backing) = self.backings.range(..=va).next_back()?;
        (va < *base + backing.len).then_some(*base)
    }

    /// Where all coloured ranges begin.
    pub(crate) fn backed_ranges(&self) -> Vec<DeviceVa> {
        self.backings.keys().copied().collect()
    }

    /// Takes out the backing of the range that begins at `base`.
    pub(crate) fn take_backing(&mut self, base: DeviceVa) -> Option<Backing> {
        self.backings.remove(&base)
    }

    /// `[base, base + length)` is no longer mapped; returns the backings that lay in it as a whole.
    pub(crate) fn unmapped(&mut self, base: u64, length: u64) -> Vec<Backing> {
        let (from, to) = (DeviceVa::new(base), DeviceVa::new(base.saturating_add(length)));
        self.mappings.retain(|va, mapping| *va < from || *va + mapping.len > to);
        let gone: Vec<DeviceVa> =
            self.backings.range(from..to).filter(|(va, backing)| **va + backing.len <= to).map(|(va, _)| *va).collect();
        gone.iter().filter_map(|va| self.backings.remove(va)).collect()
    }

    /// The range that begins at `base` is gone; returns its backing.
    pub(crate) fn range_freed(&mut self, base: u64) -> Option<Backing> {
        self.mappings.remove(&DeviceVa::new(base));
        self.backings.remove(&DeviceVa::new(base))
    }

    /// How many objects and mappings are known, for who wonders why something is not.
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
            if let Some(backing) = self.backings.get(base) {
                let mut run_at = *base;
                for run in &backing.runs {
                    let (from, to) = (run_at.max(at), (run_at + run.len).min(end));
                    if from < to {
                        extent(from, to - from, backing.donor.phys + run.offset + (from - run_at));
                    }
                    run_at = run_at + run.len;
                }
                at = *base + backing.len;
                continue;
            }
            let Some(object) = self.object(mapping.client, mapping.memory).filter(|object| object.contiguous) else {
                return false;
            };
            let to = (*base + mapping.len).min(end);
            extent(at, to - at, object.phys + mapping.offset + (at - *base));
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
