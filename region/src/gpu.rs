//! One GPU, as tenants and arbiter share it: its channel hash, its TPCs and its bus.

use crate::allowed::Permission;
use crate::bus::Bus;
use crate::hash::{GpuKey, HashTable, MAX_MASKS};
use crate::shared::shared;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::terms::{Class, Direction, SlotSet};
use crate::tpcs::{PublishedTpcs, Tpcs};
use units::Nanos;

shared! {
    /// One GPU of the machine.
    pub struct Gpu: 256, align 256 => {
        /// The GPU's key; 0 while the entry is free. Set once by compare-and-swap, by the first process that names the GPU.
        0 key: AtomicU64,
        /// Odd while the hash below is being changed, 0 while there is none. Written by the arbiter.
        8 generation: AtomicU32,
        /// The size in bytes of the smallest page that lies within one colour. Written by the arbiter, under the generation.
        12 page_bytes: AtomicU32,
        /// The masks, as many as are not zero. Written by the arbiter, under the generation.
        16 masks: [AtomicU64; MAX_MASKS],
        /// 1 where the colours are the sides of an L2. Written by the arbiter, under the generation.
        80 by_side: AtomicU32,
        84 reserved: AtomicU32,
        /// The two directions of the bus, by [`Direction`].
        88 buses: [Bus; 2],
        /// Its latency-sensitive tenants, as bits by slot. Written by the arbiter.
        120 latency_sensitive: AtomicU64,
        /// Its best-effort tenants, as bits by slot. Written by the arbiter.
        128 best_effort: AtomicU64,
        /// The TPCs that a launch can be kept from. Written by the arbiter.
        136 tpcs: PublishedTpcs,
        /// The permission of best-effort tenants. Written by the arbiter.
        176 permission: Permission,
    }
}

impl Gpu {
    /// The GPU's key, if the entry is in use.
    pub fn key(&self) -> Option<GpuKey> {
        GpuKey::from_code(self.key.load(Ordering::Acquire))
    }

    /// Takes the entry for the GPU. True if it is that GPU's now.
    pub(crate) fn claim(&self, key: GpuKey) -> bool {
        match self.key.compare_exchange(0, key.get(), Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(holder) => holder == key.get(),
        }
    }

    /// One direction of the bus.
    pub fn bus(&self, direction: Direction) -> &Bus {
        &self.buses[direction as usize]
    }

    /// Arbiter: says which tenants of a class give it work.
    pub fn set_tenants(&self, class: Class, slots: SlotSet) {
        self.tenants_word(class).store(slots.0, Ordering::Relaxed);
    }

    /// Arbiter: says how much work its best-effort tenants may have queued, or that no target says; and until when all of
    /// them are to be quiet.
    pub fn allow(&self, ahead: Option<Nanos>, quiet_until: Nanos) {
        self.permission.publish(ahead, quiet_until);
    }

    /// Work that its best-effort tenants may have queued, where a target says.
    #[inline]
    pub fn ahead(&self) -> Option<Nanos> {
        self.permission.ahead()
    }

    /// The end of a time in which no best-effort launch goes on. The clock is read only where one was said.
    #[inline]
    pub fn quiet_until(&self, now: impl FnOnce() -> Nanos) -> Option<Nanos> {
        self.permission.quiet_until(now)
    }

    /// The tenants of a class that give it work.
    #[inline]
    pub fn tenants(&self, class: Class) -> SlotSet {
        SlotSet(self.tenants_word(class).load(Ordering::Relaxed))
    }

    fn tenants_word(&self, class: Class) -> &AtomicU64 {
        match class {
            Class::Ls => &self.latency_sensitive,
            Class::Be => &self.best_effort,
        }
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

    /// Arbiter: publishes the GPU's TPCs, or takes them back.
    pub fn publish_tpcs(&self, tpcs: Option<&Tpcs>) {
        self.tpcs.publish(tpcs);
    }

    /// The published TPCs, if there are any and they hold together: at least one bit on side 0, and none on both.
    pub fn tpcs(&self) -> Option<Tpcs> {
        self.tpcs.read()
    }
}
