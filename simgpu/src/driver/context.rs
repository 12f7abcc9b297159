//! Contexts: what a program's streams, modules and allocations belong to.
//!
//! All contexts of a process share one GPU address space.

use super::errors::CUDA_ERROR_CONTEXT_IS_DESTROYED;
use super::handles::{self, Handles};
use super::init::driver;
use super::stream::{Kind, Stream};
use super::{Outcome, current, device, lock, put};
use abi::cuda::*;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// A context.
pub(crate) struct Context {
    /// Its handle.
    pub(crate) id: usize,
    flags: AtomicU32,
    /// The error that ended the context's work, or [`CUDA_SUCCESS`]; streams share it.
    fault: Arc<AtomicU32>,
    destroyed: AtomicBool,
    /// The legacy default stream.
    pub(crate) legacy: Arc<Stream>,
    /// All streams, the default ones included.
    streams: Mutex<Vec<Arc<Stream>>>,
}

static CONTEXTS: Handles<Context> = Handles::new();
static PRIMARY: Mutex<Primary> = Mutex::new(Primary { context: None, retained: 0, flags: 0 });

/// The primary context of the device.
struct Primary {
    context: Option<Arc<Context>>,
    retained: u32,
    flags: c_uint,
}

impl Context {
    fn create(flags: c_uint) -> Outcome<Arc<Self>> {
        driver()?.rm.ensure_space()?;
        let fault = Arc::new(AtomicU32::new(CUDA_SUCCESS));
        let id = handles::fresh();
        let context = Arc::new_cyclic(|weak| Context {
            id,
            flags: AtomicU32::new(flags),
            legacy: Stream::create(Kind::Legacy, 0, weak.clone(), fault.clone()),
            fault,
            destroyed: AtomicBool::new(false),
            streams: Mutex::new(Vec::new()),
        });
        lock(&context.streams).push(context.legacy.clone());
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
        match self.fault.load(Ordering::Acquire) {
            CUDA_SUCCESS => Ok(()),
            fault => Err(fault),
        }
    }

    /// Creates a stream.
    pub(crate) fn stream(self: &Arc<Self>, kind: Kind, priority: c_int) -> Arc<Stream> {
        let stream = Stream::create(kind, priority, Arc::downgrade(self), self.fault.clone());
        lock(&self.streams).push(stream.clone());
        stream
    }

    /// Forgets a stream; it ends by itself after its last command.
    pub(crate) fn retire(&self, stream: &Arc<Stream>) {
        lock(&self.streams).retain(|other| !Arc::ptr_eq(other, stream));
        stream.close();
    }

    /// The streams of the context as they are now.
    pub(crate) fn streams(&self) -> Vec<Arc<Stream>> {
        lock(&self.streams).clone()
    }

    /// Waits for all work of all streams.
    pub(crate) fn synchronize(&self) -> Outcome {
        for stream in self.streams() {
            stream.fence().wait();
        }
        self.check()
    }

    /// Ends the context, with its streams and its memory.
    fn destroy(&self) -> Outcome {
        // A fault has already ended the work, and is no reason to keep the context.
        let _ = self.synchronize();
        self.destroyed.store(true, Ordering::Release);
        for stream in lock(&self.streams).drain(..) {
            stream.close();
        }
        let _ = CONTEXTS.remove(self.id as CUcontext);
        let driver = driver()?;
        driver.memory.release_all(&driver.rm, self.id);
        Ok(())
    }
}

fn release_primary(all: bool) -> Outcome {
    let mut primary = lock(&PRIMARY);
    if !all && primary.retained == 0 {
        return Err(CUDA_ERROR_INVALID_CONTEXT);
    }
    primary.retained = if all { 0 } else { primary.retained - 1 };
    let ended = if primary.retained == 0 { primary.context.take() } else { None };
    drop(primary);
    ended.map_or(Ok(()), |context| context.destroy())
}

fn create(context: *mut CUcontext, flags: c_uint, device: CUdevice) -> Outcome {
    device::check(device)?;
    if context.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let new = Context::create(flags)?;
    // SAFETY: not null, and a place for the answer, as cuda.h demands.
    unsafe { put(context, new.id as CUcontext) }?;
    current::push(new);
    Ok(())
}

export! {
    fn cuDevicePrimaryCtxRetain(context: *mut CUcontext, device: CUdevice) {
        device::check(device)?;
        let mut primary = lock(&PRIMARY);
        let held = match &primary.context {
            Some(held) => held.clone(),
            None => Context::create(primary.flags)?,
        };
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands; so below.
        unsafe { put(context, held.id as CUcontext) }?;
        primary.context = Some(held);
        primary.retained += 1;
        Ok(())
    }

    fn cuDevicePrimaryCtxRelease_v2(device: CUdevice) {
        device::check(device)?;
        release_primary(false)
    }

    fn cuDevicePrimaryCtxReset_v2(device: CUdevice) {
        device::check(device)?;
        release_primary(true)
    }

    fn cuDevicePrimaryCtxGetState(device: CUdevice, flags: *mut c_uint, active: *mut c_int) {
        device::check(device)?;
        let primary = lock(&PRIMARY);
        // SAFETY: as above.
        unsafe {
            put(flags, primary.flags)?;
            put(active, c_int::from(primary.context.is_some()))
        }
    }

    fn cuDevicePrimaryCtxSetFlags_v2(device: CUdevice, flags: c_uint) {
        device::check(device)?;
        let mut primary = lock(&PRIMARY);
        primary.flags = flags;
        if let Some(context) = &primary.context {
            context.flags.store(flags, Ordering::Relaxed);
        }
        Ok(())
    }

    fn cuCtxCreate_v2(context: *mut CUcontext, flags: c_uint, device: CUdevice) {
        create(context, flags, device)
    }

    /// The creation parameters ask for execution affinity or for a graphics context, neither of which is there.
    fn cuCtxCreate_v4(context: *mut CUcontext, params: *mut c_void, flags: c_uint, device: CUdevice) {
        if !params.is_null() {
            return Err(CUDA_ERROR_NOT_SUPPORTED);
        }
        create(context, flags, device)
    }

    fn cuCtxDestroy_v2(context: CUcontext) {
        driver()?;
        let context = Context::find(context)?;
        if lock(&PRIMARY).context.as_ref().is_some_and(|primary| Arc::ptr_eq(primary, &context)) {
            return Err(CUDA_ERROR_INVALID_CONTEXT);
        }
        current::forget(&context);
        context.destroy()
    }

    fn cuCtxGetFlags(flags: *mut c_uint) {
        let context = current::context()?;
        // SAFETY: as above.
        unsafe { put(flags, context.flags.load(Ordering::Relaxed)) }
    }

    fn cuCtxGetDevice(device: *mut CUdevice) {
        current::context()?;
        // SAFETY: as above.
        unsafe { put(device, 0) }
    }

    fn cuCtxSynchronize() {
        current::context()?.synchronize()
    }
}
