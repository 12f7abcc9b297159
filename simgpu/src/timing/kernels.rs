//! Kernels that run at the same time: they share the SMs and the DRAM bandwidth of each side.
//!
//! Each running kernel has an entry in a shared table that says what it would take if it were alone. Everybody
//! computes its own rate from all entries, and sleeps on a futex that is woken whenever an entry comes or goes. An
//! entry is held by a lease, so that one of a killed process counts for at most [`LEASE`] longer. Kernels of contexts
//! that take turns do not run at the same time, so each counts those of its own context only.

use super::clock::now;
use super::futex;
use super::pace::Pace;
use crate::spec::GpuSpec;
use abi::qmd::TpcMask;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use units::{Bytes, Nanos};

/// The most sides that the model tells apart; a GPU's further sides count as the last one.
pub(crate) const MAX_SIDES: usize = 16;
const ENTRIES: usize = 64;
/// Bits of a launch's mask.
const BITS: usize = u128::BITS as usize;
const LEASE: Nanos = Nanos::from_millis(50);
const RECHECK: Nanos = Nanos::from_millis(5);

/// The resources that one kernel takes while it runs.
#[repr(C)]
struct Entry {
    /// 0 when free; else the lease's end in microseconds of `CLOCK_MONOTONIC`, times 2^16, plus the process's slot
    /// plus 1. One word, so that claiming, renewing and taking over are each one compare-and-swap.
    claim: AtomicU64,
    /// The channel group that it runs in, if groups take turns; else 0.
    group: AtomicU64,
    /// How many SMs it occupies.
    sms: AtomicU32,
    _pad: u32,
    /// The two halves of the mask of the TPCs that it may not run on.
    mask: [AtomicU64; 2],
    /// The rate at which it would read from each side if nothing else ran, in MB/s.
    demand: [AtomicU32; MAX_SIDES],
}

/// All kernels that run now.
#[repr(C)]
pub(crate) struct Table {
    /// Changes whenever a kernel starts or ends; a futex.
    epoch: AtomicU32,
    _pad: u32,
    entries: [Entry; ENTRIES],
}

/// The work of a kernel.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    /// How many SMs it occupies.
    pub(crate) sms: u32,
    /// The TPCs that it may not run on.
    pub(crate) mask: TpcMask,
    /// How long it computes with those SMs to itself.
    pub(crate) compute: Nanos,
    /// How much it reads from each side.
    pub(crate) bytes: [Bytes; MAX_SIDES],
}

/// The GPU as the model sees it. Rates are in bytes a nanosecond, which is GB/s.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many SMs answer to each bit of a mask.
    sms: [u8; BITS],
    sides: usize,
    side_rate: f64,
    sm_rate: f64,
}

impl Limits {
    /// The limits of a GPU.
    pub(crate) fn of(spec: &GpuSpec) -> Self {
        let sides = (spec.sides() as usize).clamp(1, MAX_SIDES);
        let mut sms = [0; BITS];
        (0..spec.sms).for_each(|sm| sms[spec.tpc_bit(sm) as usize] += 1);
        Limits { sms, sides, side_rate: spec.dram.gbps / sides as f64, sm_rate: spec.dram.sm_gbps }
    }
}

impl Limits {
    /// How many SMs each bit has of those that a mask leaves.
    fn left(&self, mask: TpcMask) -> impl Iterator<Item = u32> {
        self.sms.iter().enumerate().map(move |(bit, &sms)| if mask.bits() & 1 << bit == 0 { sms.into() } else { 0 })
    }
}

/// The SMs that a kernel occupies at each bit: its blocks are spread evenly over all that its mask leaves.
fn places(sms: u32, mask: TpcMask, limits: &Limits) -> [f64; BITS] {
    let share = f64::from(sms) / f64::from(limits.left(mask).sum::<u32>().max(1));
    let mut places = [0.0; BITS];
    for (place, left) in places.iter_mut().zip(limits.left(mask)) {
        *place = f64::from(left) * share;
    }
    places
}

/// A kernel's times when it has its SMs and the DRAM to itself, in nanoseconds.
struct Alone {
    /// The SMs that it occupies at each bit of a mask.
    places: [f64; BITS],
    /// Until its SMs are through, with computing and with asking for memory.
    sms: f64,
    /// The demand on each side that follows, in bytes a nanosecond.
    demand: [f64; MAX_SIDES],
}

impl Work {
    fn alone(&self, limits: &Limits) -> Alone {
        let total: f64 = self.bytes.iter().map(|bytes| bytes.get() as f64).sum();
        let asked = total / (f64::from(self.sms.max(1)) * limits.sm_rate).max(1e-9);
        let sms = (self.compute.get() as f64).max(asked).max(1.0);
        Alone {
            places: places(self.sms, self.mask, limits),
            sms,
            demand: self.bytes.map(|bytes| bytes.get() as f64 / sms),
        }
    }
}

/// The resources that all running kernels take together.
#[derive(Clone, Copy)]
struct Load {
    /// The SMs that they would occupy at each bit.
    places: [f64; BITS],
    demand: [f64; MAX_SIDES],
}

/// The part of the work that is done in a nanosecond under `load`, which includes the kernel itself.
fn rate(alone: &Alone, load: &Load, limits: &Limits) -> f64 {
    let part = |have: f64, want: f64| if want > have { have / want } else { 1.0 };
    // Blocks that wait for an SM at one place are run at another, so the places count together.
    let mut slowest = 1.0;
    let occupied: f64 = alone.places.iter().sum();
    if occupied > 0.0 {
        let at = alone.places.iter().zip(&load.places).zip(&limits.sms);
        let had: f64 = at.map(|((own, all), &sms)| own * part(f64::from(sms), *all)).sum();
        slowest = had / occupied;
    }
    for side in 0..limits.sides {
        if alone.demand[side] > 0.0 {
            slowest = slowest.min(part(limits.side_rate, load.demand[side]));
        }
    }
    slowest / alone.sms
}

/// The process and the group that a kernel belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    /// The process's slot.
    pub(crate) slot: usize,
    /// The channel group, if groups take turns; else 0.
    pub(crate) group: u64,
}

impl Table {
    /// Runs `work` for as long as it takes beside all others that run at the same time, from when it has had `launch` on;
    /// returns when it ended. `pace` says how much time it has, and `is_live` which processes still exist.
    pub(crate) fn run(
        &self,
        work: &Work,
        limits: &Limits,
        (pace, launch): (&mut dyn Pace, Nanos),
        owner: Owner,
        is_live: impl Fn(usize) -> bool,
    ) -> Nanos {
        let alone = work.alone(limits);
        let mut lease = Lease { table: self, owner, held: None };
        lease.renew(work, &alone, &is_live);
        self.changed();
        let (mut had, mut left) = (launch, 1.0f64);
        loop {
            let epoch = self.epoch.load(Ordering::Acquire);
            let load = self.load(&alone, limits, &lease, &is_live);
            let rate = rate(&alone, &load, limits);
            let needs = had + Nanos::new((left / rate) as u64);
            let again = now() + RECHECK;
            let end = pace.when(needs, again);
            self.sleep(epoch, end.map_or(again, |end| end.min(again)));
            let woken = now();
            let has = pace.had(woken);
            if has >= needs {
                // The turns may have been others than they looked before.
                let end = pace.when(needs, woken).unwrap_or(woken).min(woken);
                pace.leave(end);
                drop(lease);
                return end;
            }
            left -= has.saturating_sub(had).get() as f64 * rate;
            had = had.max(has);
            lease.renew(work, &alone, &is_live);
        }
    }

    /// The load of everybody, and of the kernel itself even where the table had no room for it.
    fn load(&self, alone: &Alone, limits: &Limits, lease: &Lease<'_>, is_live: &impl Fn(usize) -> bool) -> Load {
        let mut load = Load { places: alone.places, demand: alone.demand };
        let now = now();
        for (index, entry) in self.entries.iter().enumerate() {
            let is_own = lease.held.is_some_and(|(own, _)| own == index);
            if is_own || !holds(entry.claim.load(Ordering::Acquire), now, is_live) {
                continue;
            }
            if entry.group.load(Ordering::Relaxed) != lease.owner.group {
                continue;
            }
            let [low, high] = [0, 1].map(|half: usize| u128::from(entry.mask[half].load(Ordering::Relaxed)));
            let others = places(entry.sms.load(Ordering::Relaxed), TpcMask(low | high << 64), limits);
            load.places.iter_mut().zip(others).for_each(|(sum, sms)| *sum += sms);
            for (sum, demand) in load.demand.iter_mut().zip(&entry.demand) {
                *sum += f64::from(demand.load(Ordering::Relaxed)) / 1e3;
            }
        }
        load
    }

    /// Has everybody look again.
    pub(crate) fn changed(&self) {
        futex::change(&self.epoch);
    }

    /// Sleeps until `end`, or until the epoch is no longer `epoch`.
    fn sleep(&self, epoch: u32, end: Nanos) {
        futex::wait(&self.epoch, epoch, end);
    }
}

/// Whether a claim counts at `now`.
fn holds(claim: u64, now: Nanos, is_live: &impl Fn(usize) -> bool) -> bool {
    let slot = (claim & 0xFFFF) as usize;
    slot != 0 && claim >> 16 > now.get() / 1000 && is_live(slot - 1)
}

/// The hold on an entry of the table, given back when dropped.
struct Lease<'a> {
    table: &'a Table,
    owner: Owner,
    /// The entry, and the claim as this thread last wrote it.
    held: Option<(usize, u64)>,
}

impl Lease<'_> {
    /// Extends the hold, or takes a free or lapsed entry where there is none (or it was lost while the process was
    /// stopped). With a full table the kernel runs uncounted.
    fn renew(&mut self, work: &Work, alone: &Alone, is_live: &impl Fn(usize) -> bool) {
        let now = now();
        let claim = (((now + LEASE).get() / 1000) << 16) | (self.owner.slot as u64 + 1);
        if let Some((index, old)) = self.held {
            let entry = &self.table.entries[index].claim;
            self.held =
                entry.compare_exchange(old, claim, Ordering::AcqRel, Ordering::Relaxed).ok().map(|_| (index, claim));
        }
        if self.held.is_some() {
            return;
        }
        for (index, entry) in self.table.entries.iter().enumerate() {
            let old = entry.claim.load(Ordering::Acquire);
            if holds(old, now, is_live) {
                continue;
            }
            if entry.claim.compare_exchange(old, claim, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                entry.group.store(self.owner.group, Ordering::Relaxed);
                entry.sms.store(work.sms, Ordering::Relaxed);
                for (half, stored) in entry.mask.iter().enumerate() {
                    stored.store((work.mask.bits() >> (64 * half)) as u64, Ordering::Relaxed);
                }
                for (stored, demand) in entry.demand.iter().zip(alone.demand) {
                    stored.store((demand * 1e3).min(f64::from(u32::MAX)) as u32, Ordering::Relaxed);
                }
                self.held = Some((index, claim));
                return;
            }
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some((index, claim)) = self.held {
            let entry = &self.table.entries[index];
            // A failure means that the lease was lost and the entry is another's.
            let _ = entry.claim.compare_exchange(claim, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
        self.table.changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fifty TPCs of two SMs.
    const SMS: [u8; BITS] = {
        let mut sms = [0; BITS];
        let mut bit = 0;
        while bit < 50 {
            sms[bit] = 2;
            bit += 1;
        }
        sms
    };
    const LIMITS: Limits = Limits { sms: SMS, sides: 2, side_rate: 1000.0, sm_rate: 20.0 };

    fn work(sms: u32, compute: u64, near: u64, far: u64) -> Work {
        let mut bytes = [Bytes::ZERO; MAX_SIDES];
        (bytes[0], bytes[1]) = (Bytes::new(near), Bytes::new(far));
        Work { sms, mask: TpcMask::NONE, compute: Nanos::new(compute), bytes }
    }

    /// How long the first of some kernels takes beside the others, in nanoseconds.
    fn time(works: &[Work]) -> f64 {
        let mut load = Load { places: [0.0; BITS], demand: [0.0; MAX_SIDES] };
        for alone in works.iter().map(|work| work.alone(&LIMITS)) {
            load.places.iter_mut().zip(alone.places).for_each(|(sum, sms)| *sum += sms);
            load.demand.iter_mut().zip(alone.demand).for_each(|(sum, demand)| *sum += demand);
        }
        1.0 / rate(&works[0].alone(&LIMITS), &load, &LIMITS)
    }

    #[test]
    fn the_slowest_part_decides() {
        assert_eq!(time(&[work(10, 500, 0, 0)]).round(), 500.0, "computing");
        assert_eq!(time(&[work(10, 0, 1000, 1000)]).round(), 10.0, "what ten SMs can ask for");
        assert_eq!(time(&[work(100, 0, 10_000, 0)]).round(), 10.0, "one side");
        assert_eq!(time(&[work(100, 0, 5_000, 5_000)]).round(), 5.0, "both sides");
    }

    #[test]
    fn only_what_is_shared_slows() {
        let (near, far) = (work(50, 0, 10_000, 0), work(50, 0, 0, 10_000));
        assert_eq!(time(&[near, far]).round(), 10.0);
        assert_eq!(time(&[near, near]).round(), 20.0);
        assert_eq!(time(&[work(100, 100, 0, 0), work(100, 100, 0, 0)]).round(), 200.0, "SMs");
    }

    #[test]
    fn kernels_under_masks_share_only_the_sms_that_both_may_have() {
        let under = |left: u128, sms| Work { mask: TpcMask::all_but(left), ..work(sms, 100, 0, 0) };
        let (low, high) = (under((1 << 25) - 1, 50), under(u128::MAX << 25, 50));
        assert_eq!(time(&[low, high]).round(), 100.0, "a half each");
        assert_eq!(time(&[low, low]).round(), 200.0, "the same half");
        assert_eq!(time(&[work(100, 100, 0, 0), low]).round(), 133.0, "the other half is free");
        assert_eq!(time(&[low, work(100, 100, 0, 0)]).round(), 200.0, "no place is free");
    }

    #[test]
    fn entries_are_held_by_live_processes_and_only_for_a_while() {
        let claim = (1_000 << 16) | 3;
        assert!(holds(claim, Nanos::from_micros(999), &|slot| slot == 2));
        assert!(!holds(claim, Nanos::from_micros(1_000), &|_| true));
        assert!(!holds(claim, Nanos::ZERO, &|_| false));
        assert!(!holds(0, Nanos::ZERO, &|_| true));
    }
}
