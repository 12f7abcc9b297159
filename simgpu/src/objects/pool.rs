//! Pools: where stream-ordered allocations come from.
//!
//! A pool keeps what is freed for later allocations. What it holds above its threshold and does not need goes back as
//! the program waits for a stream, an event or a context.

mod arena;

use super::driver::driver;
use super::handles::{self, Handles};
use super::memory::Source;
use super::{Outcome, lock};
use abi::cuda::*;
use arena::Arena;
pub(crate) use arena::Level;
use std::sync::{Arc, Mutex, OnceLock};
use units::{Bytes, DeviceVa};

/// A pool.
pub(crate) struct Pool {
    /// Its handle.
    pub(crate) id: CUmemoryPool,
    arena: Arena,
    settings: Mutex<Settings>,
}

#[derive(Default)]
struct Settings {
    /// How much it may hold without need when the program has waited.
    threshold: Bytes,
    no_reuse: [bool; 3],
}

static POOLS: Handles<CUmemoryPool, Pool> = Handles::new();
/// The device's first pool, and the one that allocations come from.
static DEFAULT: OnceLock<Arc<Pool>> = OnceLock::new();
static CURRENT: Mutex<Option<Arc<Pool>>> = Mutex::new(None);
/// A setting of a pool.
pub(crate) enum Setting {
    /// Whether memory is reused in one of three ways, by its number.
    Reuse(usize, bool),
    /// How much it may hold without need when the program has waited.
    Threshold(Bytes),
}

/// Makes a pool that gives out so many bytes at most; 0 for no such limit.
pub(crate) fn create(most: u64) -> Arc<Pool> {
    let id = handles::fresh();
    let most = (most != 0).then_some(Bytes::new(most));
    let pool = Arc::new(Pool { id, arena: Arena::new(most), settings: Mutex::default() });
    POOLS.insert(id, pool.clone());
    pool
}

/// The device's first pool.
pub(crate) fn default() -> Arc<Pool> {
    DEFAULT.get_or_init(|| create(0)).clone()
}

/// The pool that allocations come from.
pub(crate) fn current() -> Arc<Pool> {
    lock(&CURRENT).clone().unwrap_or_else(default)
}

/// The pool behind a handle.
pub(crate) fn find(pool: CUmemoryPool) -> Outcome<Arc<Pool>> {
    driver()?;
    default();
    POOLS.get(pool).map_err(|_| CUDA_ERROR_INVALID_VALUE)
}

impl Pool {
    /// Takes memory for the context `owner`.
    pub(crate) fn take(self: &Arc<Self>, bytes: Bytes, owner: CUcontext) -> Outcome<DeviceVa> {
        let driver = driver()?;
        let taken = self.arena.take(driver, bytes).or_else(|code| {
            // There may be memory that pools hold without need.
            if code != CUDA_ERROR_OUT_OF_MEMORY {
                return Err(code);
            }
            POOLS.all().iter().for_each(|pool| pool.arena.trim_if_idle(&driver.rm, Bytes::ZERO));
            self.arena.take(driver, bytes)
        });
        let va = taken?;
        driver.memory.add_pooled(va, bytes, owner, self.clone());
        Ok(va)
    }

    /// Ends a pool; what was allocated from it lives on.
    pub(crate) fn destroy(self: &Arc<Self>) -> Outcome {
        if Arc::ptr_eq(self, &default()) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let _ = POOLS.remove(self.id);
        let mut current = lock(&CURRENT);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, self)) {
            *current = None;
        }
        Ok(())
    }

    /// Has allocations come from this pool.
    pub(crate) fn make_current(self: Arc<Self>) {
        *lock(&CURRENT) = Some(self);
    }

    /// Gives back what is held without need above `keep`.
    pub(crate) fn trim(&self, keep: Bytes) -> Outcome {
        self.arena.trim(&driver()?.rm, keep);
        Ok(())
    }

    pub(crate) fn set(&self, setting: Setting) {
        let mut settings = lock(&self.settings);
        match setting {
            Setting::Reuse(which, reuses) => settings.no_reuse[which] = !reuses,
            Setting::Threshold(bytes) => settings.threshold = bytes,
        }
    }

    /// Whether memory is reused in one of three ways.
    pub(crate) fn reuses(&self, which: usize) -> bool {
        !lock(&self.settings).no_reuse[which]
    }

    pub(crate) fn threshold(&self) -> Bytes {
        lock(&self.settings).threshold
    }

    pub(crate) fn used(&self) -> Level {
        self.arena.used()
    }

    pub(crate) fn reserved(&self) -> Level {
        self.arena.reserved()
    }

    /// Forgets how high the number of allocated bytes was.
    pub(crate) fn reset_used(&self) {
        self.arena.reset_used();
    }

    /// Forgets how high the number of reserved bytes was.
    pub(crate) fn reset_reserved(&self) {
        self.arena.reset_reserved();
    }
}

impl Source for Pool {
    /// From now on another allocation may have the address.
    fn give_back(&self, va: DeviceVa, bytes: Bytes) {
        self.arena.give_back(va, bytes);
    }
}

/// Gives back what pools hold above their thresholds and do not need, now that the program has waited for work to end.
pub(crate) fn after_waiting() {
    if let Ok(driver) = driver() {
        for pool in POOLS.all() {
            let threshold = lock(&pool.settings).threshold;
            pool.arena.trim_if_idle(&driver.rm, threshold);
        }
    }
}
