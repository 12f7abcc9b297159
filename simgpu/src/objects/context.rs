//! Contexts: what a program's streams, modules and allocations belong to.
//!
//! All contexts of a process share one GPU address space.

use super::channels::Channels;
use super::driver::driver;
use super::handles::{self, Handles};
use super::stream::{Stream, Streams};
use super::{Outcome, lock, pool};
use abi::cuda::*;
use std::collections::BTreeMap;
use std::ffi::c_uint;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// cuda.h: `CUDA_ERROR_CONTEXT_IS_DESTROYED`.
pub(crate) const CUDA_ERROR_CONTEXT_IS_DESTROYED: CUresult = 709;

/// A context.
pub(crate) struct Context {
    /// Its handle.
    pub(crate) id: CUcontext,
    flags: AtomicU32,
    destroyed: AtomicBool,
    /// All streams, the default ones included.
    pub(crate) streams: Arc<Streams>,
    /// The legacy default stream.
    pub(crate) legacy: Arc<Stream>,
    /// The limits that `cuCtxSetLimit` set.
    pub(crate) limits: Mutex<BTreeMap<c_uint, usize>>,
    /// Calls of `cuCtxAttach` that were not undone.
    attached: AtomicU32,
}

static CONTEXTS: Handles<CUcontext, Context> = Handles::new();
static PRIMARY: Mutex<Primary> = Mutex::new(Primary { context: None, retained: 0, flags: 0 });

/// The primary context of the device.
struct Primary {
    context: Option<Arc<Context>>,
    retained: u32,
    flags: c_uint,
}

impl Context {
    /// Makes a context with its channel groups and its legacy default stream.
    pub(crate) fn create(flags: c_uint) -> Outcome<Arc<Self>> {
        let driver = driver()?;
        driver.rm.ensure_space()?;
        let id = handles::fresh();
        let streams = Streams::create(id, Channels::create(&driver.rm)?);
        let context = Arc::new(Context {
            id,
            flags: AtomicU32::new(flags),
            destroyed: AtomicBool::new(false),
            legacy: streams.legacy().ok_or(CUDA_ERROR_UNKNOWN)?,
            streams,
            limits: Mutex::default(),
            attached: AtomicU32::new(0),
        });
        CONTEXTS.insert(id, context.clone());
        Ok(context)
    }

    /// The context behind a handle.
    pub(crate) fn find(handle: CUcontext) -> Outcome<Arc<Self>> {
        CONTEXTS.get(handle).map_err(|_| CUDA_ERROR_INVALID_CONTEXT)
    }

    /// Fails with the context's fault, or when it is gone.
    pub(crate) fn check(&self) -> Outcome {
        if self.destroyed.load(Ordering::Acquire) {
            return Err(CUDA_ERROR_CONTEXT_IS_DESTROYED);
        }
        self.streams.check()
    }

    /// Waits for all work of all streams.
    pub(crate) fn synchronize(&self) -> Outcome {
        self.streams.synchronize()?;
        self.check()
    }

    /// The same for a call that frees something: nobody else is let in meanwhile, as the real driver does.
    pub(crate) fn synchronize_alone(&self) -> Outcome {
        self.streams.synchronize_alone()?;
        self.check()
    }

    /// Ends the context, with its streams and its memory.
    pub(crate) fn destroy(&self) -> Outcome {
        // A fault has already ended the work, and is no reason to keep the context.
        let _ = self.synchronize();
        self.destroyed.store(true, Ordering::Release);
        self.streams.close();
        let _ = CONTEXTS.remove(self.id);
        let driver = driver()?;
        driver.memory.release_all(&driver.rm, self.id);
        self.streams.channels.free(&driver.rm);
        pool::after_waiting();
        Ok(())
    }

    /// The flags that it was made with.
    pub(crate) fn flags(&self) -> c_uint {
        self.flags.load(Ordering::Relaxed)
    }

    /// Counts one `cuCtxAttach`.
    pub(crate) fn attach(&self) {
        self.attached.fetch_add(1, Ordering::Relaxed);
    }

    /// Undoes one `cuCtxAttach`, if there was one.
    pub(crate) fn detach(&self) -> bool {
        let less = |count: u32| count.checked_sub(1);
        self.attached.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// Whether it is the primary one.
    pub(crate) fn is_primary(&self) -> bool {
        lock(&PRIMARY).context.as_ref().is_some_and(|primary| primary.id == self.id)
    }
}

/// Retains the primary context, which is made where it is not there; its handle goes to `take`, whose failure leaves all as it
/// was.
pub(crate) fn retain_primary(take: impl FnOnce(CUcontext) -> Outcome) -> Outcome {
    let mut primary = lock(&PRIMARY);
    let held = match &primary.context {
        Some(held) => held.clone(),
        None => Context::create(primary.flags)?,
    };
    take(held.id)?;
    primary.context = Some(held);
    primary.retained += 1;
    Ok(())
}

/// Releases the primary context once, or as often as it was retained.
pub(crate) fn release_primary(all: bool) -> Outcome {
    let mut primary = lock(&PRIMARY);
    if !all && primary.retained == 0 {
        return Err(CUDA_ERROR_INVALID_CONTEXT);
    }
    primary.retained = if all { 0 } else { primary.retained - 1 };
    let ended = if primary.retained == 0 { primary.context.take() } else { None };
    drop(primary);
    ended.map_or(Ok(()), |context| context.destroy())
}

/// The primary context's flags, and whether it is there.
pub(crate) fn primary_state() -> (c_uint, bool) {
    let primary = lock(&PRIMARY);
    (primary.flags, primary.context.is_some())
}

/// Sets the primary context's flags.
pub(crate) fn set_primary_flags(flags: c_uint) {
    let mut primary = lock(&PRIMARY);
    primary.flags = flags;
    if let Some(context) = &primary.context {
        context.flags.store(flags, Ordering::Relaxed);
    }
}
