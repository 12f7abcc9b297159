//! The contexts that are current to a thread, and the thread's own default streams.

use super::Outcome;
use super::context::Context;
use super::driver::driver;
use super::kind::Kind;
use super::stream::{STREAMS, Stream};
use abi::cuda::*;
use std::cell::RefCell;
use std::sync::{Arc, Weak};

/// The stream that the null stream means, which the spelling of the called function says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefaultStream {
    /// The context's legacy default stream.
    Legacy,
    /// The thread's own default stream.
    PerThread,
}

thread_local! {
    static STACK: RefCell<Vec<Arc<Context>>> = const { RefCell::new(Vec::new()) };
    static OWN: RefCell<Vec<PerThread>> = const { RefCell::new(Vec::new()) };
}

/// A thread's default stream in one context, which goes when the thread goes.
struct PerThread {
    context: Weak<Context>,
    stream: Arc<Stream>,
}

impl Drop for PerThread {
    fn drop(&mut self) {
        self.stream.retire();
    }
}

/// The context that is current to the thread.
pub(crate) fn top() -> Option<Arc<Context>> {
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
fn own_stream(context: &Arc<Context>) -> Arc<Stream> {
    OWN.with_borrow_mut(|streams| {
        streams.retain(|entry| entry.context.strong_count() > 0);
        let found = streams.iter().find(|entry| std::ptr::eq(entry.context.as_ptr(), Arc::as_ptr(context)));
        if let Some(entry) = found {
            return entry.stream.clone();
        }
        let stream = context.streams.open(Kind::Blocking, 0);
        streams.push(PerThread { context: Arc::downgrade(context), stream: stream.clone() });
        stream
    })
}

/// The stream that a handle means, in the current context.
pub(crate) fn stream(handle: CUstream, default: DefaultStream) -> Outcome<Arc<Stream>> {
    let context = context()?;
    let default = match handle {
        CUstream::NULL => default,
        CUstream::LEGACY => DefaultStream::Legacy,
        CUstream::PER_THREAD => DefaultStream::PerThread,
        _ => return STREAMS.get(handle),
    };
    Ok(match default {
        DefaultStream::Legacy => context.legacy.clone(),
        DefaultStream::PerThread => own_stream(&context),
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

/// Takes the context from the top of the stack.
pub(crate) fn pop() -> Option<Arc<Context>> {
    STACK.with_borrow_mut(Vec::pop)
}

/// Puts a context in the place of the one on top of the stack, or takes that away.
pub(crate) fn replace(new: Option<Arc<Context>>) {
    STACK.with_borrow_mut(|stack| {
        stack.pop();
        stack.extend(new);
    });
}
