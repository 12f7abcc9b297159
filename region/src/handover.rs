//! Handing a stream's copy to a kernel that may never begin, and taking it back.
//!
//! These words are between one process and its GPU; the arbiter has no part in them. Copies are numbered by tickets,
//! compared cyclically, and done one after the other:
//!
//! 1. the kernel, when all its blocks are on SMs, says that it *started*, then looks whether the copy is *cancelled*, and
//!    says at its end either that it is *done* or that it *left* without having copied anything;
//! 2. the host may cancel a copy that has not started for too long: it writes *cancelled*, then looks whether it
//!    *started*. As both write before they look, at least one sees the other. What has not started then never will, so the
//!    host may have it done another way; what has started says itself what becomes of it.
//!
//! A block that waits for the others of its copy looks at *cancelled* too, and withdraws, so that no SM is held by a copy
//! that never begins.

use crate::lane::ticket_after;
use crate::sync::{AtomicU32, Ordering, fence};

/// The words of the copies that are handed over in one context.
#[repr(C, align(128))]
pub struct Handover {
    reserved: u32,
    /// The last copy whose kernel has all its blocks. Written by the kernel.
    started: AtomicU32,
    /// The last copy whose kernel ended without copying. Written by the kernel.
    left: AtomicU32,
    /// The last copy done. Written by the kernel, or by the stream in which it is done another way.
    done: AtomicU32,
    reserved2: [u32; 12],
    /// The last copy that is not to begin, and all before it. Written by the host.
    cancelled: AtomicU32,
    reserved3: [u32; 15],
}

#[cfg(not(loom))]
const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Handover>() == 128 && offset_of!(Handover, started) == 4);
    assert!(offset_of!(Handover, left) == 8 && offset_of!(Handover, done) == 12);
    assert!(offset_of!(Handover, cancelled) == 64);
};

/// How a kernel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandedOver {
    /// It copied.
    Done,
    /// It saw that it was cancelled.
    Left,
}

impl Handover {
    /// Where *done* is from the beginning, for stream memory operations.
    pub const DONE: u64 = 12;

    /// Whether the copy's kernel has begun; it then ends by itself.
    pub fn is_started(&self, ticket: u32) -> bool {
        has_reached(&self.started, ticket)
    }

    /// The last copy done.
    pub fn done(&self) -> u32 {
        self.done.load(Ordering::SeqCst)
    }

    /// Host: keeps every copy up to this one from beginning. What [`is_started`](Handover::is_started) says no to from
    /// now on never will.
    pub fn cancel(&self, last: u32) {
        self.cancelled.store(last, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// How the kernel of a copy that has started ended, once it has.
    pub fn outcome(&self, ticket: u32) -> Option<HandedOver> {
        match (has_reached(&self.done, ticket), has_reached(&self.left, ticket)) {
            (true, _) => Some(HandedOver::Done),
            (false, true) => Some(HandedOver::Left),
            (false, false) => None,
        }
    }
}

fn has_reached(word: &AtomicU32, ticket: u32) -> bool {
    !ticket_after(ticket, word.load(Ordering::SeqCst))
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    const TICKET: u32 = 1;
    const BLOCKS: u32 = 2;

    /// The words, what the kernel's blocks share, and who copied how often.
    struct Model {
        words: Handover,
        arrived: AtomicU32,
        departed: AtomicU32,
        verdict: AtomicU32,
        by_blocks: AtomicU32,
        otherwise: AtomicU32,
    }

    impl Model {
        fn new() -> Arc<Model> {
            let word = || AtomicU32::new(0);
            let words = Handover {
                reserved: 0,
                started: word(),
                left: word(),
                done: word(),
                reserved2: [0; 12],
                cancelled: word(),
                reserved3: [0; 15],
            };
            let (arrived, departed, verdict) = (word(), word(), word());
            Arc::new(Model { words, arrived, departed, verdict, by_blocks: word(), otherwise: word() })
        }

        /// As the GPU's `atom.inc`.
        fn inc(word: &AtomicU32) -> u32 {
            let next = |old: u32| Some(if old == BLOCKS - 1 { 0 } else { old + 1 });
            word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).expect("always some")
        }

        fn is_cancelled(&self) -> bool {
            has_reached(&self.words.cancelled, TICKET)
        }

        /// One block, as shim/src/ferry.ptx has it.
        fn block(&self) {
            if Self::inc(&self.arrived) == BLOCKS - 1 {
                self.words.started.store(TICKET, Ordering::SeqCst);
                fence(Ordering::SeqCst);
                self.verdict.store(TICKET * 2 + u32::from(self.is_cancelled()), Ordering::SeqCst);
            }
            let goes = loop {
                let said = self.verdict.load(Ordering::SeqCst);
                if said >> 1 == TICKET {
                    break said & 1 == 0;
                }
                if self.is_cancelled() && self.withdraws() {
                    break false;
                }
                thread::yield_now();
            };
            if goes {
                self.by_blocks.fetch_add(1, Ordering::SeqCst);
            }
            fence(Ordering::SeqCst);
            if Self::inc(&self.departed) == BLOCKS - 1 {
                let word = if goes { &self.words.done } else { &self.words.left };
                word.store(TICKET, Ordering::SeqCst);
            }
        }

        fn withdraws(&self) -> bool {
            fence(Ordering::SeqCst);
            let fewer = |old: u32| old.checked_sub(1);
            self.arrived.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer).is_ok()
        }

        /// The host that does not want to wait any longer.
        fn host(&self) {
            self.words.cancel(TICKET);
            if self.words.is_started(TICKET) {
                loop {
                    match self.words.outcome(TICKET) {
                        Some(HandedOver::Done) => return,
                        Some(HandedOver::Left) => break,
                        None => thread::yield_now(),
                    }
                }
            }
            self.otherwise.fetch_add(1, Ordering::SeqCst);
        }

        fn assert_copied_once(&self) {
            let copied = [&self.by_blocks, &self.otherwise].map(|by| by.load(Ordering::SeqCst));
            assert!(copied == [BLOCKS, 0] || copied == [0, 1], "{copied:?}");
        }
    }

    /// With three threads that wait for one another, all orders are too many; those of so many switches are tried.
    fn check(model: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(model);
    }

    #[test]
    fn a_copy_that_is_cancelled_while_its_kernel_begins_is_done_once() {
        check(|| {
            let model = Model::new();
            let blocks = [(); 2].map(|()| {
                let model = Arc::clone(&model);
                thread::spawn(move || model.block())
            });
            model.host();
            blocks.into_iter().for_each(|block| block.join().expect("the block ends"));
            model.assert_copied_once();
        });
    }

    /// The second block finds an SM only after the copy was done another way: the first must not wait for it.
    #[test]
    fn a_block_that_waits_for_others_leaves_its_sm_when_the_copy_is_cancelled() {
        check(|| {
            let model = Model::new();
            let first = thread::spawn({
                let model = Arc::clone(&model);
                move || model.block()
            });
            model.host();
            first.join().expect("the block ends");
            model.block();
            model.assert_copied_once();
            assert_eq!(model.otherwise.load(Ordering::SeqCst), 1);
            assert_eq!(model.arrived.load(Ordering::SeqCst), 0, "the next copy's kernel finds it as it should be");
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn words() -> Box<Handover> {
        // SAFETY: the words are integers only; all-zero bytes are words.
        unsafe { Box::new(std::mem::zeroed()) }
    }

    #[test]
    fn a_copy_is_done_or_left_only_when_its_kernel_says_so() {
        let words = words();
        assert!(!words.is_started(1));
        words.started.store(1, Ordering::SeqCst);
        assert_eq!((words.is_started(1), words.outcome(1)), (true, None));
        words.left.store(1, Ordering::SeqCst);
        assert_eq!(words.outcome(1), Some(HandedOver::Left));
        words.done.store(2, Ordering::SeqCst);
        assert_eq!((words.outcome(2), words.outcome(3)), (Some(HandedOver::Done), None));
    }

    #[test]
    fn tickets_go_on_past_the_end_of_their_numbers() {
        let words = words();
        words.started.store(u32::MAX, Ordering::SeqCst);
        assert!(words.is_started(u32::MAX) && !words.is_started(0));
        words.started.store(0, Ordering::SeqCst);
        assert!(words.is_started(u32::MAX) && words.is_started(0));
    }
}
