//! What happens to copies whose kernel does not begin: the engine does them.
//!
//! A kernel of the program's may fill every SM and wait for the very copy whose kernel waits for an SM. So the watchdog
//! looks at every copy; one that has not started in time goes to the engine, and from then on the process's copies stay
//! with the engine. To give it to the engine takes calls to the driver, which may let nobody in while
//! it waits for the device. That is why a thread of its own does it, so that the watchdog goes on; why it cancels nothing
//! before the driver has let it in, as the kernel may begin after all; and why a call that is known to make the driver wait
//! waits first until no kernel is to begin any more ([`stand_aside`]), while new copies go another way.

use super::berth::Berth;
use super::harbor;
use crate::life::Joined;
use crate::log::warning;
use region::{HandedOver, monotonic_nanos};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, TryLockError};
use std::thread::Thread;
use std::time::Duration;
use units::Nanos;

/// A kernel that may begin, and has not for so long, may never. The watchdog looks every 10 ms.
const LONGEST_START: Nanos = Nanos::from_millis(10);
/// Who makes the driver wait for the device waits for so long itself, before what is under way goes to the engine, and for
/// so long again until that is done. Nobody else could do it then.
const LONGEST_ASIDE: Nanos = Nanos::from_millis(50);
const LONGEST_RESCUE: Nanos = Nanos::from_millis(2000);
/// A kernel that has begun copies or leaves; a gigabyte takes 20 ms. One that takes longer is looked at again.
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
    Departs.still()
}

impl Departs {
    /// `None` where a thread makes the driver wait since.
    pub(super) fn still(self) -> Option<Departs> {
        (ASIDE.load(Ordering::SeqCst) == 0).then_some(self)
    }
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
    let may = |berth| glance(berth).is_none_or(|berth| may_begin(&berth));
    while DEPARTING.load(Ordering::SeqCst) > 0 || berths().any(may) {
        let waited = now().saturating_sub(begun);
        if waited.saturating_sub(LONGEST_ASIDE) > LONGEST_RESCUE {
            break;
        }
        let late = waited > LONGEST_ASIDE;
        if late {
            rescue_all();
        }
        std::thread::sleep(if late { Duration::from_millis(5) } else { Duration::from_micros(50) });
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

fn berths() -> impl Iterator<Item = &'static Mutex<Berth>> {
    harbor::all().map(|harbor| &harbor.berth)
}

/// Whether a kernel of the berth's has yet to begin.
fn may_begin(berth: &Berth) -> bool {
    berth.underway().is_some_and(|ticket| !berth.words().is_started(ticket))
}

/// For the watchdog: whether copies are under way, or are being put there.
pub(crate) fn is_under_way() -> bool {
    harbor::is_trying() || berths().any(|berth| glance(berth).is_none_or(|berth| berth.is_outstanding()))
}

/// The berth as it is; `None` where another thread has it, which must not be waited for: it may be in the driver.
pub(super) fn glance(berth: &'static Mutex<Berth>) -> Option<MutexGuard<'static, Berth>> {
    match berth.try_lock() {
        Ok(berth) => Some(berth),
        Err(TryLockError::Poisoned(berth)) => Some(berth.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// What the watchdog saw.
pub(crate) struct Seen {
    /// Copies are under way.
    pub(crate) busy: bool,
    /// One waits for too long. What else waits in the program's streams may be in the way of its rescue.
    pub(crate) late: bool,
}

/// The watchdog's look.
pub(crate) fn look(joined: &Joined, now: Nanos) -> Seen {
    harbor::look_at_trials();
    let (mut busy, mut late) = (harbor::is_trying(), false);
    for berth in berths() {
        let Some(mut berth) = glance(berth) else {
            busy = true;
            continue;
        };
        busy |= berth.is_outstanding();
        let held = held(&berth);
        berth.held = match (held, berth.held) {
            (Some(ticket), Some((before, since))) if before == ticket => Some((ticket, since)),
            (ticket, _) => ticket.map(|ticket| (ticket, now)),
        };
        late |= berth.held.is_some_and(|(_, since)| now.saturating_sub(since) >= LONGEST_START);
    }
    if late {
        if !STUCK.swap(true, Ordering::Relaxed) {
            joined.tenant().gate_timeouts.fetch_add(1, Ordering::Relaxed);
            warning!(
                "copies go by the copy engine alone from now on: one that was to go past it found no free SM for {} ms",
                LONGEST_START.get() / 1_000_000
            );
        }
        RESCUER.get().and_then(Option::as_ref).inspect(|thread| thread.unpark());
    }
    Seen { busy, late }
}

/// The copy that waits for a kernel which has not begun, or which left.
fn held(berth: &Berth) -> Option<u32> {
    let (ticket, words) = (berth.underway()?, berth.words());
    (!words.is_started(ticket) || words.outcome(ticket) == Some(HandedOver::Left)).then_some(ticket)
}

/// The thread that gives copies to the engine, if it could be started.
static RESCUER: OnceLock<Option<Thread>> = OnceLock::new();

/// Starts the thread, once. Whether it runs.
pub(super) fn is_manned() -> bool {
    let start = || crate::watchdog::spawn("missile-rescue", stand_by).map(|handle| handle.thread().clone());
    RESCUER.get_or_init(start).is_some()
}

fn stand_by() {
    loop {
        std::thread::park();
        if STUCK.load(Ordering::Relaxed) {
            rescue_all();
        }
    }
}

/// Each that no other thread has: that may be in the driver. Those are tried again at the watchdog's next look.
fn rescue_all() {
    for mut berth in berths().filter_map(glance) {
        rescue(&mut berth);
    }
}

/// Gives to the engine what no kernel has begun.
fn rescue(berth: &mut Berth) -> Option<()> {
    let (ticket, words) = (berth.underway()?, berth.words());
    // A kernel that has begun ends by itself.
    if words.is_started(ticket) && words.outcome(ticket).is_none() {
        return None;
    }
    if !berth.can_rescue() {
        return None;
    }
    berth.cancel();
    if words.is_started(ticket) {
        // It began before it saw the word, or after: it says which.
        let begun = now();
        let ended = loop {
            match words.outcome(ticket) {
                Some(ended) => break ended,
                None if now().saturating_sub(begun) > LONGEST_COPY => return None,
                None => std::thread::sleep(Duration::from_micros(50)),
            }
        };
        if ended == HandedOver::Done {
            return Some(());
        }
    }
    if berth.divert().is_none() {
        warning!("the driver did not take a copy for the engine that no kernel does; it is tried again");
    }
    Some(())
}
