//! Contexts: what a program's streams, modules and allocations belong to.
//!
//! All contexts of a process share one GPU address space.

use super::channels::Channels;
use super::errors::CUDA_ERROR_CONTEXT_IS_DESTROYED;
use super::handles::{self, Handles};
use super::init::driver;
use super::stream::{DOOR, Kind, Stream};
use super::{Outcome, capture, current, device, lock, pool, present, put};
use abi::cuda::*;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A context.
pub(crate) struct Context {
    /// Its handle.
    pub(crate) id: CUcontext,
    flags: AtomicU32,
    /// The error that ended the context's work, or [`CUDA_SUCCESS`]; streams share it.
    fault: Arc<AtomicU32>,
    destroyed: AtomicBool,
    /// The channel groups that its work goes through; streams share them.
    channels: Arc<Channels>,
    /// The legacy default stream.
    pub(crate) legacy: Arc<Stream>,
    /// All streams that have something to do: the default ones, those that the program has, and those that it
    /// destroyed whose work goes on.
    streams: Mutex<Vec<Arc<Stream>>>,
    /// What `cuCtxSetLimit` set.
    pub(crate) limits: Mutex<BTreeMap<c_uint, usize>>,
    /// How often `cuCtxAttach` was called and not undone.
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
    fn create(flags: c_uint) -> Outcome<Arc<Self>> {
        let driver = driver()?;
        driver.rm.ensure_space()?;
        let channels = Arc::new(Channels::create(&driver.rm)?);
        let fault = Arc::new(AtomicU32::new(CUDA_SUCCESS));
        let id = handles::fresh();
        let context = Arc::new_cyclic(|weak| Context {
            id,
            flags: AtomicU32::new(flags),
            legacy: Stream::create(Kind::Legacy, 0, weak.clone(), (fault.clone(), channels.clone())),
            fault,
            channels,
            destroyed: AtomicBool::new(false),
            streams: Mutex::new(Vec::new()),
            limits: Mutex::default(),
            attached: AtomicU32::new(0),
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
        let stream = Stream::create(kind, priority, Arc::downgrade(self), (self.fault.clone(), self.channels.clone()));
        lock(&self.streams).push(stream.clone());
        stream
    }

    /// Ends a stream after its last command. Until then it is one of those that are waited for: "In case the device is
    /// still doing work in the stream when `cuStreamDestroy()` is called, the function will return immediately and the
    /// resources associated with the stream will be released automatically once the device has completed all work"
    /// (cuda.h), and `cuCtxSynchronize` waits for "all preceding requested tasks" of the context.
    pub(crate) fn retire(&self, stream: &Arc<Stream>) {
        capture::abandon(stream);
        stream.close();
        lock(&self.streams).retain(|stream| !stream.is_over());
    }

    /// The streams of the context that have or may get work.
    pub(crate) fn streams(&self) -> Vec<Arc<Stream>> {
        let mut streams = lock(&self.streams);
        streams.retain(|stream| !stream.is_over());
        streams.clone()
    }

    /// Waits for all work of all streams.
    pub(crate) fn synchronize(&self) -> Outcome {
        capture::forbid_waiting(&self.streams())?;
        for stream in self.streams() {
            stream.fence().wait();
        }
        self.check()
    }

    /// The same for a call that frees something: nobody else is let in meanwhile, as the real driver does.
    pub(crate) fn synchronize_alone(&self) -> Outcome {
        let _alone = DOOR.write().unwrap_or_else(PoisonError::into_inner);
        self.synchronize()
    }

    /// Ends the context, with its streams and its memory.
    fn destroy(&self) -> Outcome {
        // A fault has already ended the work, and is no reason to keep the context.
        let _ = self.synchronize();
        self.destroyed.store(true, Ordering::Release);
        let streams: Vec<_> = lock(&self.streams).drain(..).collect();
        for stream in streams {
            capture::abandon(&stream);
            stream.close();
        }
        let _ = CONTEXTS.remove(self.id);
        let driver = driver()?;
        driver.memory.release_all(&driver.rm, self.id);
        self.channels.free(&driver.rm);
        pool::after_waiting();
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
    check_flags(flags)?;
    present(context)?;
    let new = Context::create(flags)?;
    // SAFETY: not null, and a place for the answer, as cuda.h demands.
    unsafe { put(context, new.id) }?;
    current::push(new);
    Ok(())
}

/// Flags that a context can have (cuda.h: `CU_CTX_FLAGS_MASK`); of the scheduling ones at most one is set.
const FLAGS: c_uint = 0xFF;
const SCHEDULING: c_uint = 0x07;

fn check_flags(flags: c_uint) -> Outcome {
    let sound = flags & !FLAGS == 0 && (flags & SCHEDULING).count_ones() <= 1;
    if sound { Ok(()) } else { Err(CUDA_ERROR_INVALID_VALUE) }
}

fn set_primary_flags(device: CUdevice, flags: c_uint) -> Outcome {
    device::check(device)?;
    check_flags(flags)?;
    let mut primary = lock(&PRIMARY);
    primary.flags = flags;
    if let Some(context) = &primary.context {
        context.flags.store(flags, Ordering::Relaxed);
    }
    Ok(())
}

fn destroy(context: CUcontext) -> Outcome {
    driver()?;
    let context = Context::find(context)?;
    if lock(&PRIMARY).context.as_ref().is_some_and(|primary| Arc::ptr_eq(primary, &context)) {
        return Err(CUDA_ERROR_INVALID_CONTEXT);
    }
    current::forget(&context);
    context.destroy()
}

/// The creation parameters ask for execution affinity or for a graphics context, neither of which is there.
fn check_params(params: *const c_void, count: c_int) -> Outcome {
    match (params.is_null(), count) {
        (true, 0) => Ok(()),
        (false, 1..) => Err(CUDA_ERROR_NOT_SUPPORTED),
        _ => Err(CUDA_ERROR_INVALID_VALUE),
    }
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
        unsafe { put(context, held.id) }?;
        primary.context = Some(held);
        primary.retained += 1;
        Ok(())
    }

    fn cuDevicePrimaryCtxRelease(device: CUdevice) {
        device::check(device)?;
        release_primary(false)
    }

    fn cuDevicePrimaryCtxRelease_v2(device: CUdevice) {
        device::check(device)?;
        release_primary(false)
    }

    fn cuDevicePrimaryCtxReset(device: CUdevice) {
        device::check(device)?;
        release_primary(true)
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

    fn cuDevicePrimaryCtxSetFlags(device: CUdevice, flags: c_uint) {
        set_primary_flags(device, flags)
    }

    fn cuDevicePrimaryCtxSetFlags_v2(device: CUdevice, flags: c_uint) {
        set_primary_flags(device, flags)
    }

    fn cuCtxCreate(ctx: *mut CUcontext, flags: c_uint, device: CUdevice) {
        create(ctx, flags, device)
    }

    fn cuCtxCreate_v2(ctx: *mut CUcontext, flags: c_uint, device: CUdevice) {
        create(ctx, flags, device)
    }

    fn cuCtxCreate_v3(ctx: *mut CUcontext, params: *mut c_void, count: c_int, flags: c_uint, device: CUdevice) {
        device::check(device)?;
        check_params(params, count)?;
        create(ctx, flags, device)
    }

    fn cuCtxCreate_v4(ctx: *mut CUcontext, params: *mut c_void, flags: c_uint, device: CUdevice) {
        device::check(device)?;
        check_params(params, c_int::from(!params.is_null()))?;
        create(ctx, flags, device)
    }

    fn cuCtxDestroy(ctx: CUcontext) {
        destroy(ctx)
    }

    fn cuCtxDestroy_v2(ctx: CUcontext) {
        destroy(ctx)
    }

    fn cuCtxAttach(ctx: *mut CUcontext, flags: c_uint) {
        let context = current::context()?;
        if flags != 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: as above.
        unsafe { put(ctx, context.id) }?;
        context.attached.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Undoes `cuCtxAttach`, or destroys a context that was only created.
    fn cuCtxDetach(ctx: CUcontext) {
        driver()?;
        let context = Context::find(ctx)?;
        let less = |count: u32| count.checked_sub(1);
        match context.attached.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) {
            Ok(_) => Ok(()),
            Err(_) => destroy(ctx),
        }
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

    fn cuCtxGetDevice_v2(device: *mut CUdevice, ctx: CUcontext) {
        let context = if ctx.is_null() { current::context()? } else { Context::find(ctx)? };
        context.check()?;
        // SAFETY: as above.
        unsafe { put(device, 0) }
    }

    fn cuCtxSynchronize() {
        current::context()?.synchronize()?;
        pool::after_waiting();
        Ok(())
    }

    fn cuCtxSynchronize_v2(ctx: CUcontext) {
        let context = if ctx.is_null() { current::context()? } else { Context::find(ctx)? };
        context.synchronize()?;
        pool::after_waiting();
        Ok(())
    }
}
