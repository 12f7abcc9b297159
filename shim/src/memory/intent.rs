//! The intent of the governed allocation under way on a thread, and so which of the objects that the driver makes
//! meanwhile are the program's: the one of the size asked for, or all of them where the driver fills a pool. Anything else
//! that it makes then, or at any other time, is its own.

use crate::driver::objects::ObjectId;
use std::cell::Cell;
use units::Bytes;

/// The size that a governed allocation asks for, and so which objects made during it are its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// The least that its object has.
    pub(crate) least: Bytes,
    /// Less than this it has.
    pub(crate) below: Bytes,
    /// Memory is taken for later allocations too: any number of objects, of any size that may be coloured.
    pub(crate) pooled: bool,
}

impl Asked {
    /// One object of just this size, but for the driver's rounding.
    pub(crate) fn exactly(bytes: Bytes) -> Asked {
        Asked { least: bytes, below: bytes.saturating_add(Bytes::mib(2)), pooled: false }
    }
}

/// The intent of a thread.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Intent {
    /// No governed allocation is under way.
    Nothing,
    /// One is; objects of its size are to be coloured.
    Allocate(Asked),
    /// One is, and the driver has made its object.
    Made(ObjectId),
    /// One is whose objects stay as they are, and are counted; the last that was made.
    Leave(Option<ObjectId>),
    /// The pager makes an object to try itself on.
    SelfTest,
}

thread_local! {
    static INTENT: Cell<Intent> = const { Cell::new(Intent::Nothing) };
}

/// The intent of this thread.
pub(crate) fn current() -> Intent {
    INTENT.get()
}

/// Sets the intent of this thread; the one before.
pub(crate) fn replace(intent: Intent) -> Intent {
    INTENT.replace(intent)
}

/// Runs `body` under an intent.
pub(crate) fn during<T>(intent: Intent, body: impl FnOnce() -> T) -> T {
    let before = replace(intent);
    let done = body();
    replace(before);
    done
}

/// The object that the driver made in the governed allocation under way on this thread.
pub(crate) fn made_here() -> Option<ObjectId> {
    match current() {
        Intent::Made(object) => Some(object),
        Intent::Leave(object) => object,
        Intent::Nothing | Intent::Allocate(_) | Intent::SelfTest => None,
    }
}
