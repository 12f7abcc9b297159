//! The owners of VRAM and of handles: claims, releases, and taking back what the dead owned.

use super::{Machine, VRAM_BASE, locks};
use crate::spec::GRANULE;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};
use units::{Bytes, PhysAddr};

impl Machine {
    /// Takes a contiguous, zeroed stretch of whole granules, its address a multiple of `alignment` (a power of two),
    /// or `None` where there is none, even among what the dead left.
    pub(crate) fn claim(&self, bytes: Bytes, alignment: Bytes) -> Option<PhysAddr> {
        let count = usize::try_from(bytes.get().div_ceil(GRANULE.get())).ok()?;
        let step = (alignment.get() / GRANULE.get()).max(1) as usize;
        self.search(count, step).or_else(|| {
            self.reap_the_dead();
            self.search(count, step)
        })
    }

    /// Gives back a stretch that [`claim`](Machine::claim) returned.
    pub(crate) fn release(&self, at: PhysAddr, bytes: Bytes) {
        let first = ((at - VRAM_BASE).get() / GRANULE.get()) as usize;
        self.vacate(first..first + bytes.get().div_ceil(GRANULE.get()) as usize);
    }

    /// Takes one of the machine's UVM handles, or says that there is none.
    pub(crate) fn take_handle(&self) -> bool {
        self.try_handle() || {
            self.reap_the_dead();
            self.try_handle()
        }
    }

    /// Gives back a handle that [`take_handle`](Machine::take_handle) granted.
    pub(crate) fn put_handle(&self) {
        self.state().handles[self.slot].fetch_sub(1, Ordering::AcqRel);
    }

    /// Takes back what the slots own that `is_gone` names. To be called with everybody else excluded, so that no
    /// slot comes to life meanwhile.
    pub(super) fn reap(&self, is_gone: impl Fn(usize) -> bool) {
        let mut gone = [false; super::MAX_PROCESSES];
        for (slot, gone) in gone.iter_mut().enumerate() {
            *gone = is_gone(slot);
            if *gone {
                self.state().handles[slot].store(0, Ordering::Release);
            }
        }
        let frames = self.frames();
        let is_left = |frame: &AtomicU32| {
            let owner = frame.load(Ordering::Acquire);
            owner != 0 && gone.get(owner as usize - 1).copied().unwrap_or(true)
        };
        let mut at = 0;
        while at < frames.len() {
            let run = frames[at..].iter().take_while(|frame| is_left(frame)).count();
            if run > 0 {
                self.vacate(at..at + run);
            }
            at += run + 1;
        }
    }

    fn reap_the_dead(&self) {
        let _threads = self.exclusive.lock().unwrap_or_else(PoisonError::into_inner);
        // Without the lock somebody could attach meanwhile, so nothing is reaped; the caller then reports shortage.
        if locks::exclude(&self.state_file).is_ok() {
            self.reap(|slot| !self.slot_is_live(slot));
            // The lock ends with the process at the latest, and unlocking a held byte has no way to fail.
            let _ = locks::admit(&self.state_file);
        }
    }

    fn try_handle(&self) -> bool {
        let handles = &self.state().handles;
        handles[self.slot].fetch_add(1, Ordering::AcqRel);
        let held: u64 = handles.iter().map(|held| u64::from(held.load(Ordering::Acquire))).sum();
        let granted = held <= u64::from(self.spec.limits.uvm_handles);
        if !granted {
            self.put_handle();
        }
        granted
    }

    /// Next fit: what was freed last is used last, so that a use after free shows as zeros rather than as new data.
    fn search(&self, count: usize, step: usize) -> Option<PhysAddr> {
        let frames = self.frames();
        let total = frames.len();
        let hint = (self.state().next_fit.load(Ordering::Relaxed) as usize).min(total);
        let base = (VRAM_BASE.get() / GRANULE.get()) as usize;
        let aligned = |at: usize| (base + at).next_multiple_of(step) - base;
        for Range { start, end } in [hint..total, 0..hint.saturating_add(count).min(total)] {
            let mut at = aligned(start);
            while count > 0 && at.checked_add(count).is_some_and(|stop| stop <= end) {
                let taken = (at..at + count).rev().find(|&i| frames[i].load(Ordering::Relaxed) != 0);
                match taken.map_or_else(|| self.occupy(at..at + count), Err) {
                    Ok(()) => {
                        self.state().next_fit.store((at + count) as u32, Ordering::Relaxed);
                        return Some(VRAM_BASE + Bytes::new(at as u64 * GRANULE.get()));
                    }
                    Err(taken) => at = aligned(taken + 1),
                }
            }
        }
        None
    }

    /// Makes the frames this process's, or none of them and says which one is not free.
    fn occupy(&self, wanted: Range<usize>) -> Result<(), usize> {
        let frames = self.frames();
        let owner = self.slot as u32 + 1;
        for i in wanted.clone() {
            if frames[i].compare_exchange(0, owner, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                for frame in &frames[wanted.start..i] {
                    frame.store(0, Ordering::Release);
                }
                return Err(i);
            }
        }
        Ok(())
    }

    /// Empties the frames, then frees them: whoever claims one finds zeros.
    fn vacate(&self, frames: Range<usize>) {
        let at = frames.start as u64 * GRANULE.get();
        let bytes = frames.len() as u64 * GRANULE.get();
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: the descriptor is open for as long as `self`; the call takes no pointers.
        let done = unsafe { libc::fallocate(self.vram_file.as_raw_fd(), mode, at as i64, bytes as i64) };
        if done != 0 {
            // Not every file system can punch holes.
            // SAFETY: the frames lie in VRAM, which is mapped whole, and nobody else owns them yet.
            unsafe { self.vram.start().add(at as usize).write_bytes(0, bytes as usize) };
        }
        for frame in &self.frames()[frames] {
            frame.store(0, Ordering::Release);
        }
    }
}
