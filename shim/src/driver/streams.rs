//! The streams that the program gives work to, each with a number and a count of the work that it was given.
//!
//! A stream has a [`Lane`] from its first work on. The hot path finds it in the thread's memory of the last one; the table
//! behind it is looked at when the thread turns to another stream, or after any stream or context was destroyed, since the
//! driver gives their handles to new ones.

use super::null_stream::NullStream;
use super::objects::OBJECTS;
use super::query;
use crate::base::lock::Lock;
use crate::base::shield::shielded;
use abi::cuda::{CUcontext, CUstream};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Streams that are told apart; those past them count as none.
pub(crate) const LANES: usize = 256;

/// A stream, by a name that means the same in every thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamName {
    handle: CUstream,
    /// The context of a default stream; null for a stream that the program made, and where there is one context only.
    context: CUcontext,
    /// The number of the thread whose default stream it is, else 0.
    thread: u64,
}

/// A stream's number, and the work that it was given.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Below [`LANES`].
    pub(crate) index: usize,
    /// Twice the pieces of work that it was given, and 1 while the last of them is not known to be done.
    word: AtomicU64,
    /// Counts the streams that had it.
    generation: AtomicU32,
}

/// The work of a stream up to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Upto(u64);

impl Upto {
    /// A number that stands for it.
    pub(crate) fn code(self) -> u64 {
        self.0
    }

    /// That of a number.
    pub(crate) fn from_code(code: u64) -> Self {
        Upto(code)
    }
}

impl Lane {
    fn new(index: usize) -> Self {
        Lane { index, word: AtomicU64::new(0), generation: AtomicU32::new(0) }
    }

    /// A number that is another for each stream that has the lane.
    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// Counts a piece of work. True if all before it was known to be done.
    #[inline]
    pub(crate) fn give(&self) -> bool {
        let before = self.word.fetch_add(2, Ordering::SeqCst);
        before & 1 == 0 && self.word.fetch_or(1, Ordering::SeqCst) & 1 == 0
    }

    /// The work that it was given so far.
    #[inline]
    pub(crate) fn upto(&self) -> Upto {
        Upto(self.word.load(Ordering::SeqCst))
    }

    /// All work up to a moment is done. True if that is all there is, and was not known.
    #[inline]
    pub(crate) fn done(&self, upto: Upto) -> bool {
        upto.0 & 1 == 1 && self.word.compare_exchange(upto.0, upto.0 & !1, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }
}

/// A lane with what it belongs to.
#[derive(Clone, Copy, Debug)]
struct Entry {
    lane: &'static Lane,
    context: Option<CUcontext>,
}

struct Lanes {
    by_name: Option<HashMap<StreamName, Entry>>,
    /// Lanes of streams that are gone.
    free: Vec<&'static Lane>,
    made: usize,
}

static LANES_MADE: Lock<Lanes> = Lock::new(Lanes { by_name: None, free: Vec::new(), made: 0 });

/// The lanes by number; null where there is none yet.
static BY_NUMBER: [AtomicPtr<Lane>; LANES] = [const { AtomicPtr::new(std::ptr::null_mut()) }; LANES];

/// Counts the moments at which a name may have come to mean another stream.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// Held while the library asks the driver about a stream from its own thread.
static ASKING: Lock<()> = Lock::new(());

/// Calls under way during which no stream may be asked about.
static QUIET: AtomicUsize = AtomicUsize::new(0);

#[derive(Clone, Copy)]
struct Last {
    name: StreamName,
    changes: u64,
    lane: Option<&'static Lane>,
}

thread_local! {
    static LAST: Cell<Option<Last>> = const { Cell::new(None) };
}

/// A number of this thread's that no other thread has.
fn thread_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! { static OWN: u64 = NEXT.fetch_add(1, Ordering::Relaxed); }
    OWN.with(|&own| own)
}

#[inline]
fn name(handle: CUstream, null: NullStream) -> StreamName {
    let of_thread = handle == CUstream::PER_THREAD || (handle.is_null() && null == NullStream::OfThread);
    let is_default = of_thread || handle.is_null() || handle == CUstream::LEGACY;
    let (handle, thread) = match (is_default, of_thread) {
        (_, true) => (CUstream::PER_THREAD, thread_number()),
        (true, false) => (CUstream::LEGACY, 0),
        (false, false) => (handle, 0),
    };
    // With one context only, the driver need not be asked which is current.
    let context = match is_default && !OBJECTS.contexts.is_one_at_most() {
        true => query::current_context().unwrap_or(CUcontext::NULL),
        false => CUcontext::NULL,
    };
    StreamName { handle, context, thread }
}

/// The lane of a stream that gets work, which is made if there is none. `None` where there are too many.
#[inline]
pub(crate) fn lane(handle: CUstream, null: NullStream) -> Option<&'static Lane> {
    find(handle, null, true)
}

/// The lane of a stream that was given work before.
#[inline]
pub(crate) fn known(handle: CUstream, null: NullStream) -> Option<&'static Lane> {
    find(handle, null, false)
}

#[inline]
fn find(handle: CUstream, null: NullStream, make: bool) -> Option<&'static Lane> {
    let name = name(handle, null);
    let changes = CHANGES.load(Ordering::Acquire);
    match LAST.get() {
        Some(last) if last.name == name && last.changes == changes => last.lane,
        _ => look_up(name, changes, make),
    }
}

#[cold]
fn look_up(name: StreamName, changes: u64, make: bool) -> Option<&'static Lane> {
    shielded(|| look_up_shielded(name, changes, make)).flatten()
}

fn look_up_shielded(name: StreamName, changes: u64, make: bool) -> Option<&'static Lane> {
    let mut lanes = LANES_MADE.lock();
    let known = lanes.by_name.get_or_insert_default().get(&name).map(|entry| entry.lane);
    let lane = match known {
        None if make => lanes.make(name),
        known => known,
    };
    if lane.is_some() || make {
        LAST.set(Some(Last { name, changes, lane }));
    }
    lane
}

impl Lanes {
    fn make(&mut self, name: StreamName) -> Option<&'static Lane> {
        let lane = match self.free.pop() {
            Some(lane) => lane,
            None if self.made < LANES => {
                self.made += 1;
                // Lives for ever: other threads remember it.
                let lane = Box::leak(Box::new(Lane::new(self.made - 1)));
                BY_NUMBER[lane.index].store(lane, Ordering::Release);
                lane
            }
            None => return None,
        };
        let context = match name.handle {
            CUstream::PER_THREAD | CUstream::LEGACY => query::current_context(),
            made => query::context_of(made).or_else(query::current_context),
        };
        self.by_name.get_or_insert_default().insert(name, Entry { lane, context });
        Some(lane)
    }

    /// Lets the lanes go that `gone` says it of, with each of which `done` is called if it has work.
    fn let_go(&mut self, mut gone: impl FnMut(&StreamName, &Entry) -> bool, mut done: impl FnMut()) {
        let free = &mut self.free;
        self.by_name.get_or_insert_default().retain(|name, entry| {
            let goes = gone(name, entry);
            if goes {
                if entry.lane.done(entry.lane.upto()) {
                    done();
                }
                entry.lane.generation.fetch_add(1, Ordering::Release);
                free.push(entry.lane);
            }
            !goes
        });
        CHANGES.fetch_add(1, Ordering::Release);
    }
}

/// Calls the driver while the library's own thread asks about no stream: one may be destroyed, or a capture begin, which a
/// question would end.
pub(crate) fn quiet<T>(forward: impl FnOnce() -> T) -> T {
    QUIET.fetch_add(1, Ordering::SeqCst);
    // One that is asked about already is waited for, which takes a microsecond.
    drop(ASKING.lock());
    let done = forward();
    QUIET.fetch_sub(1, Ordering::SeqCst);
    done
}

/// A stream is about to be destroyed. `done` is called if it had work that was not known to be done.
pub(crate) fn let_go(handle: CUstream, done: impl FnMut()) {
    LANES_MADE.lock().let_go(|name, _| name.handle == handle, done);
}

/// A context may have gone: lanes of contexts that are not known to live go. `done` as above.
pub(crate) fn contexts_changed(done: impl FnMut()) {
    LANES_MADE.lock().let_go(|_, entry| !entry.context.is_some_and(lives), done);
}

fn lives(context: CUcontext) -> bool {
    OBJECTS.contexts.look(context, |_| ()).is_some()
}

/// The lane of a number.
pub(crate) fn numbered(index: usize) -> Option<&'static Lane> {
    let lane = BY_NUMBER.get(index)?.load(Ordering::Acquire);
    // SAFETY: null, or a lane that lives for ever.
    unsafe { lane.as_ref() }
}

/// The lanes with work that is not known to be done.
pub(crate) fn with_work() -> Vec<(&'static Lane, Upto)> {
    let mut lanes = LANES_MADE.lock();
    let entries = lanes.by_name.get_or_insert_default().values();
    entries.map(|entry| (entry.lane, entry.lane.upto())).filter(|(_, upto)| upto.0 & 1 == 1).collect()
}

/// The lanes in a context, each with its work up to now.
pub(crate) fn in_context(context: CUcontext) -> Vec<(&'static Lane, Upto)> {
    let mut lanes = LANES_MADE.lock();
    let entries = lanes.by_name.get_or_insert_default().values().filter(|entry| entry.context == Some(context));
    entries.map(|entry| (entry.lane, entry.lane.upto())).collect()
}

/// Asks the driver, from the library's own thread, whether a lane's stream is done. `None` where it must not be asked: a
/// capture goes on, the stream or its context is gone, or it is another thread's own.
pub(crate) fn ask(lane: &'static Lane) -> Option<bool> {
    let _asking = ASKING.lock();
    if QUIET.load(Ordering::SeqCst) != 0 || !OBJECTS.captures.is_empty() {
        return None;
    }
    let (handle, context) = {
        let mut lanes = LANES_MADE.lock();
        let mut entries = lanes.by_name.get_or_insert_default().iter();
        let (name, entry) = entries.find(|(_, entry)| std::ptr::eq(entry.lane, lane))?;
        (name.handle, entry.context.filter(|&context| lives(context))?)
    };
    if handle == CUstream::PER_THREAD {
        return None;
    }
    query::is_done(context, handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_was_given_after_the_look_is_not_done() {
        let lane = Lane::new(0);
        assert!(lane.give(), "the first");
        assert!(!lane.give(), "there is work already");
        let upto = lane.upto();
        lane.give();
        assert!(!lane.done(upto), "one came after");
        assert!(lane.done(lane.upto()));
        assert!(!lane.done(lane.upto()), "known already");
        assert!(lane.give(), "the next after a rest");
    }
}
