//! The contexts that are current to a thread, and the thread's own default streams.

use super::context::Context;
use super::init::driver;
use super::stream::{Kind, Stream};
use super::{Outcome, put};
use abi::cuda::*;
use std::cell::RefCell;
use std::sync::{Arc, Weak};

thread_local! {
    static STACK: RefCell<Vec<Arc<Context>>> = const { RefCell::new(Vec::new()) };
    static STREAMS: RefCell<Vec<PerThread>> = const { RefCell::new(Vec::new()) };
}

/// A thread's default stream in one context, which goes when the thread goes.
struct PerThread {
    context: Weak<Context>,
    stream: Arc<Stream>,
}

impl Drop for PerThread {
    fn drop(&mut self) {
        match self.context.upgrade() {
            Some(context) => context.retire(&self.stream),
            None => self.stream.close(),
        }
    }
}

fn top() -> Option<Arc<Context>> {
    STACK.with_borrow(|stack| stack.last().cloned())
}

/// The current context, which must be there and sound.
pub(crate) fn context() -> Outcome<Arc<Context>> {
    driver()?;
    let context = top().ok_or(CUDA_ERROR_INVALID_CONTEXT)?;
    context.check()?;
    Ok(context)
}

/// The calling thread's own default stream in `context`.
pub(crate) fn own_stream(context: &Arc<Context>) -> Arc<Stream> {
    STREAMS.with_borrow_mut(|streams| {
        streams.retain(|entry| entry.context.strong_count() > 0);
        let found = streams.iter().find(|entry| std::ptr::eq(entry.context.as_ptr(), Arc::as_ptr(context)));
        if let Some(entry) = found {
            return entry.stream.clone();
        }
        let stream = context.stream(Kind::Blocking, 0);
        streams.push(PerThread { context: Arc::downgrade(context), stream: stream.clone() });
        stream
    })
}

/// Makes `context` current.
pub(crate) fn push(context: Arc<Context>) {
    STACK.with_borrow_mut(|stack| stack.push(context));
}

/// Takes a context that is being destroyed from the top of the stack.
pub(crate) fn forget(context: &Arc<Context>) {
    STACK.with_borrow_mut(|stack| {
        if stack.last().is_some_and(|top| Arc::ptr_eq(top, context)) {
            stack.pop();
        }
    });
}

fn pop(context: *mut CUcontext) -> Outcome {
    driver()?;
    let top = STACK.with_borrow_mut(Vec::pop).ok_or(CUDA_ERROR_INVALID_CONTEXT)?;
    if context.is_null() {
        return Ok(());
    }
    // SAFETY: not null, and a place for the answer, as cuda.h demands.
    unsafe { put(context, top.id) }
}

export! {
    fn cuCtxSetCurrent(context: CUcontext) {
        driver()?;
        let new = if context.is_null() { None } else { Some(Context::find(context)?) };
        STACK.with_borrow_mut(|stack| {
            stack.pop();
            stack.extend(new);
        });
        Ok(())
    }

    fn cuCtxGetCurrent(context: *mut CUcontext) {
        driver()?;
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands; so below.
        unsafe { put(context, top().map_or(CUcontext::NULL, |top| top.id)) }
    }

    fn cuCtxPushCurrent(ctx: CUcontext) {
        driver()?;
        push(Context::find(ctx)?);
        Ok(())
    }

    fn cuCtxPushCurrent_v2(ctx: CUcontext) {
        driver()?;
        push(Context::find(ctx)?);
        Ok(())
    }

    fn cuCtxPopCurrent(ctx: *mut CUcontext) {
        pop(ctx)
    }

    fn cuCtxPopCurrent_v2(ctx: *mut CUcontext) {
        pop(ctx)
    }
}
