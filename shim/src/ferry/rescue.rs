//! What happens to copies whose kernel does not begin: the engine does them.
//!
//! A kernel of the program's may fill every SM and wait for the very copy whose kernel waits for an SM. So the watchdog
//! looks at every copy that was asked for; one that has not started in time is cancelled and given to the engine, and
//! from then on the process's copies stay with the engine. To give it to the engine takes calls to the driver, which
//! lets nobody in while it frees memory and waits for the device to do so. So a call that makes the driver wait like that
//! waits first until no kernel is to begin any more ([`stand_aside`]), and new copies go another way meanwhile.

use super::berth::{self, Berth};
use crate::life::{self, Joined};
use crate::log::warning;
use region::{HandedOver, monotonic_nanos};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;
use units::Nanos;

/// A kernel that may begin, and has not for so long, may never. The watchdog looks every 10 ms.
const LONGEST_START: Nanos = Nanos::from_millis(10);
/// Who makes the driver wait for the device waits for so long itself, before what is under way goes to the engine.
const LONGEST_ASIDE: Nanos = Nanos::from_millis(50);
/// A kernel that has begun copies or leaves; a gigabyte takes 20 ms.
const LONGEST_COPY: Nanos = Nanos::from_millis(1000);

/// A kernel did not begin in time: copies of this process go another way.
static STUCK: AtomicBool = AtomicBool::new(false);
/// How many threads are putting copies in the way of streams.
static DEPARTING: AtomicUsize = AtomicUsize::new(0);
/// How many threads make the driver wait for the device.
static ASIDE: AtomicUsize = AtomicUsize::new(0);

/// Held while a copy is put in a stream's way.
pub(super) struct Departs;

/// `None` while no copy may go this way.
pub(super) fn departs() -> Option<Departs> {
    if STUCK.load(Ordering::Relaxed) {
        return None;
    }
    // Announced before the look, as the other side does: at least one of the two sees the other.
    DEPARTING.fetch_add(1, Ordering::SeqCst);
    let departs = Departs;
    (ASIDE.load(Ordering::SeqCst) == 0).then_some(departs)
}

impl Drop for Departs {
    fn drop(&mut self) {
        DEPARTING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Held while the driver is made to wait for the device.
pub(crate) struct Aside;

/// Before a call in which the driver waits for the device and lets nobody in: returns when no kernel of ours is to begin.
pub(crate) fn stand_aside() -> Aside {
    ASIDE.fetch_add(1, Ordering::SeqCst);
    let aside = Aside;
    let begun = now();
    while DEPARTING.load(Ordering::SeqCst) > 0 || berth::all().any(|place| lock(place).as_ref().is_some_and(may_begin))
    {
        if now().saturating_sub(begun) > LONGEST_ASIDE {
            berth::all().for_each(|place| {
                lock(place).as_mut().map(rescue);
            });
            break;
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    aside
}

impl Drop for Aside {
    fn drop(&mut self) {
        ASIDE.fetch_sub(1, Ordering::SeqCst);
    }
}

fn now() -> Nanos {
    Nanos::new(monotonic_nanos())
}

fn lock(place: &'static Mutex<Option<Berth>>) -> MutexGuard<'static, Option<Berth>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a kernel of the berth's has yet to begin.
fn may_begin(berth: &Berth) -> bool {
    berth.head().is_some() && berth.words().is_some_and(|words| !words.is_started(berth.last()))
}

/// For the watchdog: whether copies are under way, or are being put there.
pub(crate) fn is_under_way() -> bool {
    berth::all().any(|place| match glance(place) {
        Some(place) => place.as_ref().is_some_and(Berth::is_outstanding),
        None => true,
    })
}

/// The berth as it is; `None` where another thread has it, which must not be waited for.
fn glance(place: &'static Mutex<Option<Berth>>) -> Option<MutexGuard<'static, Option<Berth>>> {
    match place.try_lock() {
        Ok(place) => Some(place),
        Err(TryLockError::Poisoned(place)) => Some(place.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// The watchdog's look. True while copies are under way.
pub(crate) fn look(joined: &Joined, now: Nanos) -> bool {
    let mut busy = false;
    for place in berth::all() {
        let Some(mut place) = glance(place) else {
            busy = true;
            continue;
        };
        let Some(berth) = place.as_mut() else { continue };
        busy |= berth.is_outstanding();
        let held = held(berth);
        berth.held = match (held, berth.held) {
            (Some(ticket), Some((before, since))) if before == ticket => Some((ticket, since)),
            (ticket, _) => ticket.map(|ticket| (ticket, now)),
        };
        if berth.held.is_some_and(|(_, since)| now.saturating_sub(since) >= LONGEST_START) {
            if !STUCK.swap(true, Ordering::Relaxed) {
                warning!(
                    "copies go by the copy engine alone from now on: one that was to go past it found no free SM for {} ms",
                    LONGEST_START.get() / 1_000_000
                );
            }
            joined.tenant().gate_timeouts.fetch_add(1, Ordering::Relaxed);
            rescue(berth);
        }
    }
    busy
}

/// The copy whose stream has come to it and whose kernel has not begun.
fn held(berth: &Berth) -> Option<u32> {
    let (head, words) = (berth.head()?, berth.words()?);
    (words.is_asked(head) && !words.is_started(head)).then_some(head)
}

/// Gives to the engine whatever no kernel has begun.
fn rescue(berth: &mut Berth) {
    let (Some(mut first), Some(words)) = (berth.head(), berth.words()) else { return };
    words.cancel(berth.last());
    if words.is_started(first) {
        // It began before it saw the word, or after: it says which.
        let begun = now();
        let ended = loop {
            match words.outcome(first) {
                Some(ended) => break ended,
                None if now().saturating_sub(begun) > LONGEST_COPY => return,
                None => std::thread::sleep(Duration::from_micros(50)),
            }
        };
        if ended == HandedOver::Done {
            first = first.wrapping_add(1);
        }
    }
    if berth.divert(first).is_none() && life::joined().is_some() {
        warning!("the driver took no copies for the engine: the context they belong to has failed");
    }
}
