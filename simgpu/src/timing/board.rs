//! The state of an engine in shared memory, which changes as a whole or not at all.
//!
//! Each process has two buffers of its own. To change the state it reads the current one, works, writes the result into
//! that of its buffers that is not current, and makes it current with one compare-and-swap; if somebody else was faster, it
//! begins again. So a process that is killed at any instruction leaves the state as it was, and nobody ever waits for it.
//! Within a process one thread at a time may write.

use super::MAX_PROCESSES;
use super::futex;
use super::turns::{COMMANDS, Command, Entry, GROUPS, Interrupted, State};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Mutex, PoisonError};
use units::Nanos;

const HEAD_WORDS: usize = 8;
const COMMAND_WORDS: usize = 4;
const ENTRY_WORDS: usize = 7 + COMMANDS * COMMAND_WORDS;
const WORDS: usize = HEAD_WORDS + GROUPS * ENTRY_WORDS;
/// Buffer 0 is the state of an engine that nobody has used yet; it is never written.
const BUFFERS: usize = 1 + 2 * MAX_PROCESSES;

/// The lower part of the word that names the current buffer, below the number of changes.
const INDEX_BITS: u32 = 16;
const INDEX: u64 = (1 << INDEX_BITS) - 1;

type Buffer = [AtomicU64; WORDS];

/// The state of an engine.
#[repr(C)]
pub(crate) struct Board {
    /// The number of changes, times 2^16, plus the number of the current buffer.
    current: AtomicU64,
    /// Changes when something happens before the time at which others expect it; a futex.
    news: AtomicU32,
    _pad: u32,
    buffers: [Buffer; BUFFERS],
}

impl Board {
    /// The state as it is now.
    pub(crate) fn read(&self) -> State {
        self.read_with_word().1
    }

    fn read_with_word(&self) -> (u64, State) {
        loop {
            let word = self.current.load(Ordering::Acquire);
            let state = decode(&self.buffers[index(word)]);
            // A buffer is written only while it is not current, so it was not written meanwhile if it still is: whoever
            // wrote a word that `decode` saw had seen another buffer become current before (the fence in `change`).
            fence(Ordering::Acquire);
            if self.current.load(Ordering::Relaxed) == word {
                return (word, state);
            }
        }
    }

    /// Changes the state as the process in `slot`; `change` may be called several times, each time with the state as it
    /// is by then. Returns what it returned for the state that was changed.
    pub(crate) fn change<T>(&self, slot: usize, mut change: impl FnMut(&mut State) -> T) -> T {
        static WRITING: [Mutex<()>; MAX_PROCESSES] = [const { Mutex::new(()) }; MAX_PROCESSES];
        let slot = slot % MAX_PROCESSES;
        let _writing = WRITING[slot].lock().unwrap_or_else(PoisonError::into_inner);
        let own = 1 + 2 * slot;
        loop {
            let (word, before) = self.read_with_word();
            let mut state = before.clone();
            let result = change(&mut state);
            if state == before {
                return result;
            }
            let spare = if index(word) == own { own + 1 } else { own };
            fence(Ordering::Release);
            encode(&state, &self.buffers[spare]);
            let next = ((word >> INDEX_BITS) + 1) << INDEX_BITS | spare as u64;
            if self.current.compare_exchange(word, next, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return result;
            }
        }
    }

    /// Tells everybody who waits that something happens earlier than it looked.
    pub(crate) fn tell(&self) {
        futex::change(&self.news);
    }

    /// A number to pass to [`Board::wait`], taken before the state is read.
    pub(crate) fn news(&self) -> u32 {
        self.news.load(Ordering::Acquire)
    }

    /// Sleeps until `end`, or until there is news since `seen`.
    pub(crate) fn wait(&self, seen: u32, end: Nanos) {
        futex::wait(&self.news, seen, end);
    }
}

fn index(word: u64) -> usize {
    ((word & INDEX) as usize).min(BUFFERS - 1)
}

/// Any words are a state, if perhaps a strange one: they may be read while they change, and are then read again.
fn decode(buffer: &Buffer) -> State {
    let word = |at: usize| buffer[at].load(Ordering::Relaxed);
    let time = |at: usize| Nanos::new(word(at));
    let entry = |number: usize| {
        let at = HEAD_WORDS + number * ENTRY_WORDS;
        let flags = word(at + 2);
        let command = |command: usize| {
            let at = at + 7 + command * COMMAND_WORDS;
            Command { id: word(at), left: time(at + 1), floor: time(at + 2), ended: time(at + 3) }
        };
        Entry {
            key: word(at),
            slice: time(at + 1),
            stopped: flags & 1 != 0,
            lingers: flags & 2 != 0,
            fresh: flags & 4 != 0,
            arrived: time(at + 3),
            lease: time(at + 4),
            open: word(at + 5),
            served: time(at + 6),
            commands: core::array::from_fn(command),
        }
    };
    State {
        entries: (0..(word(0) as usize).min(GROUPS)).map(entry).collect(),
        at: time(1),
        holder: word(2),
        begun: time(3),
        used: time(4),
        rotated: word(5) != 0,
        interrupted: Interrupted { key: word(6), used: time(7) },
    }
}

fn encode(state: &State, buffer: &Buffer) {
    let put = |at: usize, values: &[u64]| {
        for (word, value) in buffer[at..].iter().zip(values) {
            word.store(*value, Ordering::Relaxed);
        }
    };
    let count = state.entries.len().min(GROUPS);
    let State { at, begun, used, interrupted, .. } = state;
    put(0, &[count as u64, at.get(), state.holder, begun.get(), used.get(), u64::from(state.rotated)]);
    put(6, &[interrupted.key, interrupted.used.get()]);
    for (number, entry) in state.entries.iter().take(count).enumerate() {
        let at = HEAD_WORDS + number * ENTRY_WORDS;
        let flags = u64::from(entry.stopped) | u64::from(entry.lingers) << 1 | u64::from(entry.fresh) << 2;
        let Entry { arrived, lease, served, slice, .. } = entry;
        put(at, &[entry.key, slice.get(), flags, arrived.get(), lease.get(), entry.open, served.get()]);
        for (number, command) in entry.commands.iter().enumerate() {
            let Command { id, left, floor, ended } = command;
            put(at + 7 + number * COMMAND_WORDS, &[*id, left.get(), floor.get(), ended.get()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::machine::tests::{Scratch, small};
    use units::Bytes;

    #[test]
    fn changes_of_several_processes_are_all_there() {
        let scratch = Scratch::new();
        let attach = || Machine::attach(small(Bytes::mib(4), 4), scratch.path()).expect("attaches");
        let machines = [attach(), attach()];
        const EACH: u64 = 500;
        std::thread::scope(|scope| {
            for machine in &machines {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        machine.timing().to_host.change(machine.slot(), |state| state.holder += 1);
                    }
                });
            }
        });
        assert_eq!(machines[0].timing().to_host.read().holder, 2 * EACH);
    }

    #[test]
    fn a_state_comes_back_as_it_was_written() {
        let scratch = Scratch::new();
        let machine = Machine::attach(small(Bytes::mib(4), 4), scratch.path()).expect("attaches");
        let board = &machine.timing().to_device;
        assert_eq!(board.read(), State::default(), "all zero");
        let mut number = 0;
        let mut next = || {
            number += 1;
            Nanos::new(number)
        };
        let entries = (0..GROUPS).map(|index| Entry {
            key: index as u64 + 1,
            slice: next(),
            stopped: index % 2 == 0,
            lingers: index % 3 == 0,
            fresh: index % 5 == 0,
            arrived: next(),
            lease: next(),
            open: index as u64,
            served: next(),
            commands: core::array::from_fn(|id| Command { id: id as u64, left: next(), floor: next(), ended: next() }),
        });
        let state = State {
            entries: entries.collect(),
            at: Nanos::new(7),
            holder: 8,
            begun: Nanos::new(9),
            used: Nanos::new(10),
            rotated: true,
            interrupted: Interrupted { key: 11, used: Nanos::new(12) },
        };
        board.change(machine.slot(), |current| *current = state.clone());
        assert_eq!(board.read(), state);
    }
}
