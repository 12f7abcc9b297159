//! Passing copies through a gate, piece by piece.
//!
//! A contended copy is cut into pieces, numbered on within its lane. Three parties write, each its own word:
//!
//! 1. the tenant takes tickets for the pieces when the copy is submitted (`submitted`, [`Lane::take`]);
//! 2. the copy's stream, or the tenant's thread for a blocking copy, *asks* up to its last ticket when it reaches the
//!    copy (`asked`), waits before each piece until the gate has reached that ticket, and marks each piece done
//!    (`done`);
//! 3. the arbiter opens the gate (`gate`) as far as it grants.
//!
//! On a stream these waits and writes are the driver's stream memory operations, so the host thread never blocks and a
//! piece counts as asked for only when the stream has really come to it. Tickets are 32-bit numbers compared
//! cyclically, which is what `CU_STREAM_WAIT_VALUE_GEQ` does. If the arbiter dies or stops, the tenant opens the gate
//! itself ([`Lane::open_all`]): the only case of a second writer, harmless because the gate only says "may go".

use crate::sync::{AtomicU32, AtomicU64, Ordering, futex_wait, futex_wake};
use std::time::{Duration, Instant};
use units::Bytes;

/// A way for the pieces of one tenant's copies, in order.
#[repr(C, align(64))]
pub struct Lane {
    /// The last ticket taken. Written by the tenant.
    submitted: AtomicU32,
    /// 1 while a thread of the tenant sleeps on the gate. Written by the tenant.
    sleeping: AtomicU32,
    /// The size in bytes of the pieces last submitted. Written by the tenant.
    piece_bytes: AtomicU64,
    reserved: [u32; 12],
    /// The last ticket asked for. Written by the tenant's streams and threads.
    asked: AtomicU32,
    /// The last piece done. Written by the tenant's streams and threads.
    done: AtomicU32,
    reserved2: [u32; 14],
    /// The last ticket that may go. Written by the arbiter.
    gate: AtomicU32,
    reserved3: [u32; 15],
}

#[cfg(not(loom))]
const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Lane>() == 192);
    assert!(offset_of!(Lane, piece_bytes) == 8);
    assert!(offset_of!(Lane, asked) == 64 && offset_of!(Lane, done) == 68 && offset_of!(Lane, gate) == 128);
};

/// Whether ticket `a` comes after ticket `b`, cyclically.
#[inline]
pub const fn ticket_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 > 0
}

/// How often a waiting thread looks before it sleeps. Every look more has loom try as many orders of events more.
const SPINS: u32 = if cfg!(loom) { 1 } else { 200 };

/// How a blocking wait for the gate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The arbiter let it go.
    Granted,
    /// The time was up, so the tenant goes without leave.
    TimedOut,
}

/// A lane as the arbiter reads it, checked: `done <= gate`, and all within half the number circle of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneView {
    /// Pieces asked for that the gate has not reached yet.
    pub waiting: u32,
    /// Pieces let go that are not done yet.
    pub flying: u32,
    /// Pieces asked for and not done, whether or not they wait: what a lane that does not wait is busy with.
    pub pending: u32,
}

impl Lane {
    /// Tenant: takes `pieces` tickets for pieces of this size and returns the first. The last is `first + pieces - 1`.
    pub fn take(&self, pieces: u32, piece: Bytes) -> u32 {
        self.piece_bytes.store(piece.get(), Ordering::Relaxed);
        self.submitted.fetch_add(pieces, Ordering::SeqCst).wrapping_add(1)
    }

    /// Arbiter: the size of a piece, as the tenant says; never less than a page or more than a tebibyte.
    pub fn piece(&self) -> Bytes {
        Bytes::new(self.piece_bytes.load(Ordering::Relaxed)).clamp(Bytes::kib(4), Bytes::gib(1024))
    }

    /// Tenant's thread: asks for all tickets up to `last`.
    pub fn ask(&self, last: u32) {
        self.asked.store(last, Ordering::SeqCst);
    }

    /// Tenant's thread: marks the piece as done.
    pub fn finish(&self, ticket: u32) {
        self.done.store(ticket, Ordering::SeqCst);
    }

    /// Tenant's thread: waits for the gate to reach `ticket`, at most `limit`.
    pub fn wait(&self, ticket: u32, limit: Duration) -> Waited {
        let start = Instant::now();
        loop {
            for _ in 0..SPINS {
                if !ticket_after(ticket, self.gate.load(Ordering::Acquire)) {
                    return Waited::Granted;
                }
                std::hint::spin_loop();
            }
            let gate = self.gate.load(Ordering::SeqCst);
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Waited::TimedOut;
            }
            self.sleeping.store(1, Ordering::SeqCst);
            if ticket_after(ticket, self.gate.load(Ordering::SeqCst)) {
                // Short sleeps: two threads of a tenant may share a lane, and one that stops sleeping clears the mark.
                futex_wait(&self.gate, gate, Some(left.min(Duration::from_millis(1))));
            }
            self.sleeping.store(0, Ordering::SeqCst);
        }
    }

    /// Whether tickets are out whose pieces are not done. For the tenant's watchdog.
    pub fn is_outstanding(&self) -> bool {
        ticket_after(self.submitted.load(Ordering::SeqCst), self.done.load(Ordering::SeqCst))
    }

    /// The last piece done, to see whether there is progress. For the tenant's watchdog.
    pub fn progress(&self) -> u32 {
        self.done.load(Ordering::SeqCst)
    }

    /// Whether a stream or thread has come to a piece that the gate holds back. For the tenant's watchdog.
    pub fn is_held(&self) -> bool {
        ticket_after(self.asked.load(Ordering::SeqCst), self.gate.load(Ordering::SeqCst))
    }

    /// Tenant, when the arbiter does not answer: opens the gate for all tickets taken.
    pub fn open_all(&self) {
        let submitted = self.submitted.load(Ordering::SeqCst);
        let mut gate = self.gate.load(Ordering::SeqCst);
        while ticket_after(submitted, gate) {
            match self.gate.compare_exchange(gate, submitted, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return futex_wake(&self.gate),
                // The arbiter let one go meanwhile; it does so a bounded number of times.
                Err(now) => gate = now,
            }
        }
    }

    /// Arbiter: what the lane wants. Values that cannot be are read as "wants nothing".
    pub fn view(&self) -> LaneView {
        let (asked, done) = (self.asked.load(Ordering::SeqCst), self.done.load(Ordering::SeqCst));
        let gate = self.gate.load(Ordering::SeqCst);
        let ahead = |a: u32, b: u32| if ticket_after(a, b) { a.wrapping_sub(b) } else { 0 };
        LaneView {
            waiting: ahead(asked, gate).min(ahead(asked, done)),
            flying: ahead(gate, done),
            pending: ahead(asked, done),
        }
    }

    /// Arbiter: lets one more piece go, past whatever is done already. Where the tenant opens the gate itself meanwhile,
    /// that stays: a gate never goes back.
    pub fn grant_one(&self) {
        let (gate, done) = (self.gate.load(Ordering::SeqCst), self.done.load(Ordering::SeqCst));
        let from = if ticket_after(done, gate) { done } else { gate };
        let _ = self.gate.compare_exchange(gate, from.wrapping_add(1), Ordering::SeqCst, Ordering::SeqCst);
        if self.sleeping.load(Ordering::SeqCst) != 0 {
            futex_wake(&self.gate);
        }
    }

    /// The addresses that stream memory operations use: asked, done, gate.
    pub fn words(&self) -> [*const u32; 3] {
        [&self.asked, &self.done, &self.gate].map(|word| std::ptr::from_ref(word).cast())
    }

    pub(crate) fn clear(&self) {
        for word in [&self.submitted, &self.sleeping, &self.asked, &self.done, &self.gate] {
            word.store(0, Ordering::Relaxed);
        }
        self.piece_bytes.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    fn lane() -> Arc<Lane> {
        let word = || AtomicU32::new(0);
        Arc::new(Lane {
            submitted: word(),
            sleeping: word(),
            piece_bytes: AtomicU64::new(0),
            reserved: [0; 12],
            asked: word(),
            done: word(),
            reserved2: [0; 14],
            gate: word(),
            reserved3: [0; 15],
        })
    }

    /// Under loom a sleeper wakes only when the gate changed, so a leave that is lost is a model that never ends.
    #[test]
    fn a_leave_is_never_slept_through() {
        loom::model(|| {
            let lane = lane();
            let first = lane.take(1, Bytes::kib(256));
            lane.ask(first);
            let arbiter = thread::spawn({
                let lane = Arc::clone(&lane);
                move || lane.grant_one()
            });
            assert_eq!(lane.wait(first, Duration::from_secs(3600)), Waited::Granted);
            arbiter.join().expect("the arbiter ends");
        });
    }

    #[test]
    fn a_gate_that_the_tenant_opened_is_not_closed_by_a_late_leave() {
        loom::model(|| {
            let lane = lane();
            let first = lane.take(3, Bytes::kib(256));
            lane.ask(first + 2);
            let arbiter = thread::spawn({
                let lane = Arc::clone(&lane);
                move || lane.grant_one()
            });
            lane.open_all();
            arbiter.join().expect("the arbiter ends");
            assert!(!lane.is_held());
        });
    }

    #[test]
    fn pieces_are_let_go_one_by_one_and_none_is_forgotten() {
        loom::model(|| {
            let lane = lane();
            let first = lane.take(2, Bytes::kib(256));
            let tenant = thread::spawn({
                let lane = Arc::clone(&lane);
                move || {
                    lane.ask(first + 1);
                    for ticket in [first, first + 1] {
                        assert_eq!(lane.wait(ticket, Duration::from_secs(3600)), Waited::Granted);
                        lane.finish(ticket);
                    }
                }
            });
            let mut granted = 0;
            while granted < 2 {
                let view = lane.view();
                assert!(view.flying <= 1 && view.waiting <= 2);
                if view.waiting > 0 && view.flying == 0 {
                    lane.grant_one();
                    granted += 1;
                } else {
                    thread::yield_now();
                }
            }
            tenant.join().expect("the tenant ends");
            assert_eq!(lane.view(), LaneView { waiting: 0, flying: 0, pending: 0 });
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn lane() -> Box<Lane> {
        // SAFETY: a lane is integers only; all-zero bytes are a lane.
        unsafe { Box::new(std::mem::zeroed()) }
    }

    #[test]
    fn a_piece_goes_only_when_the_gate_has_reached_it() {
        let lane = lane();
        let first = lane.take(2, Bytes::kib(256));
        lane.ask(first + 1);
        assert_eq!(lane.view(), LaneView { waiting: 2, flying: 0, pending: 2 });
        assert_eq!(lane.wait(first, Duration::from_millis(2)), Waited::TimedOut);
        lane.grant_one();
        assert_eq!(lane.wait(first, Duration::from_millis(2)), Waited::Granted);
        assert_eq!(lane.wait(first + 1, Duration::from_millis(2)), Waited::TimedOut);
        lane.finish(first);
        assert_eq!(lane.view(), LaneView { waiting: 1, flying: 0, pending: 1 });
    }

    #[test]
    fn tickets_go_on_past_the_end_of_their_numbers() {
        let lane = lane();
        for word in [&lane.submitted, &lane.asked, &lane.done, &lane.gate] {
            word.store(u32::MAX, Ordering::SeqCst);
        }
        let first = lane.take(1, Bytes::kib(256));
        assert_eq!(first, 0);
        lane.ask(first);
        assert_eq!(lane.view().waiting, 1);
        lane.grant_one();
        assert_eq!(lane.wait(first, Duration::from_millis(1)), Waited::Granted);
    }

    #[test]
    fn a_silent_arbiter_is_overruled() {
        let lane = lane();
        let first = lane.take(5, Bytes::kib(256));
        lane.ask(first + 4);
        assert!(lane.is_held());
        lane.open_all();
        assert!(!lane.is_held());
        assert_eq!(lane.wait(first + 4, Duration::from_millis(1)), Waited::Granted);
    }

    #[test]
    fn what_a_hostile_tenant_writes_wants_at_most_nothing() {
        let lane = lane();
        lane.ask(5);
        lane.finish(u32::MAX / 2 + 9);
        let view = lane.view();
        assert!(view.flying <= i32::MAX as u32 && view.waiting <= view.pending);
    }
}
