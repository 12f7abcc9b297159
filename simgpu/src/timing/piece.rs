//! One copy command on a copy engine: it waits for its group's turns, and takes the time that the bus needs.

use super::clock::{nap, now, sleep_until};
use super::engine::{Engine, LOOK};
use super::group::Group;
use super::turns::{Command, State};
use core::sync::atomic::{AtomicU64, Ordering};
use units::{Bytes, Nanos};

/// The last part of a wait, left to `sleep_until`, which ends on time.
const LAST: Nanos = Nanos::from_micros(20);
/// Time between two tries while a group has more commands than the engine knows at a time.
const RETRY: Nanos = Nanos::from_micros(200);
/// Data that the host moves at least between two notes of how far it is.
pub(crate) const NOTE_EVERY: Bytes = Bytes::mib(1);
/// Work that a command keeps while the host still moves its data.
const UNFINISHED: Nanos = Nanos::new(1);

/// A copy command that the engine knows.
pub(crate) struct Piece<'a> {
    engine: Engine<'a>,
    group: &'a Group,
    bytes: Bytes,
    duration: Nanos,
    /// The command as it was last seen.
    command: Command,
    collected: bool,
}

impl<'a> Piece<'a> {
    /// Asks for the engine for `duration`, from `ready` on.
    pub(crate) fn ask(engine: Engine<'a>, group: &'a Group, ready: Nanos, duration: Nanos, bytes: Bytes) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let command = Command { id, left: duration, floor: Nanos::ZERO, ended: Nanos::ZERO };
        let mut piece = Piece { engine, group, bytes, duration, command, collected: false };
        piece.command.floor = piece.floor(Bytes::ZERO);
        piece.enter(ready);
        piece
    }

    /// Notes that the host has moved so much; the command gets no further than the host does. The group pays for that only
    /// as long as it has the engine.
    pub(crate) fn moved(&mut self, moved: Bytes) {
        let (floor, now) = (self.floor(moved), now());
        let (key, id) = (self.group.key, self.command.id);
        let mut state = self.engine.board.read();
        state.advance(now, &self.engine.costs);
        let waited = state.command(key, id).is_some_and(|it| it.floor > Nanos::ZERO && it.left <= it.floor);
        self.engine.board.change(self.engine.slot, |state| {
            if waited {
                state.advance(now, &self.engine.costs);
            }
            if let Some(command) = state.command(key, id) {
                command.floor = floor;
            }
        });
        self.command.floor = floor;
        let lease = state.entry(key).map_or(Nanos::ZERO, |entry| entry.lease);
        self.engine.renew(self.group, lease, now);
        if waited {
            // Everybody took it that the command stands still until now.
            self.engine.tell();
        }
    }

    /// Waits until the command has ended; returns when that was.
    pub(crate) fn finish(mut self) -> Nanos {
        let (key, id, costs) = (self.group.key, self.command.id, self.engine.costs);
        loop {
            let (news, now) = (self.engine.board.news(), now());
            let mut state = self.engine.board.read();
            let before = state.entry(key).map_or(Nanos::ZERO, |entry| entry.lease);
            state.advance(now, &costs);
            let Some(&mut command) = state.command(key, id) else {
                // The process did not get to renew its lease in time, as if it had been dead: it asks for the rest.
                self.enter(now);
                continue;
            };
            self.command = command;
            self.engine.renew(self.group, before, now);
            let limit = now + LOOK;
            match state.ended_by(key, id, limit, &costs) {
                Some(end) if end <= now => {
                    if let Some(end) = self.collect(now) {
                        return end;
                    }
                }
                Some(end) if end <= now + LAST => sleep_until(end),
                Some(end) => self.engine.board.wait(news, end.saturating_sub(LAST).min(limit)),
                None => self.engine.board.wait(news, limit),
            }
        }
    }

    /// Takes the command from the engine's books, if it has ended by now.
    fn collect(&mut self, now: Nanos) -> Option<Nanos> {
        let (key, id, costs) = (self.group.key, self.command.id, self.engine.costs);
        let ended = self.engine.board.change(self.engine.slot, |state| {
            let end = state.clone().ended_by(key, id, now, &costs)?;
            (end <= now).then(|| {
                state.take(key, end, &costs, |entry| forget(&mut entry.commands, id));
                end
            })
        });
        self.collected = ended.is_some();
        ended
    }

    /// Puts the command at the end of its group's.
    fn enter(&mut self, ready: Nanos) {
        loop {
            let now = now();
            let add = |state: &mut State| {
                let group = Engine::entry_of(self.group, now);
                state.add(&group, ready.min(now), &self.engine.costs, |entry| {
                    let used = entry.commands.iter().rposition(|command| command.id != 0).map_or(0, |last| last + 1);
                    entry.commands.get_mut(used).map(|free| *free = self.command).is_some()
                })
            };
            if self.engine.board.change(self.engine.slot, add) {
                return;
            }
            nap(RETRY);
        }
    }

    /// The time that is left at least when the host has moved so much, and perhaps the next part.
    fn floor(&self, moved: Bytes) -> Nanos {
        if moved >= self.bytes {
            return Nanos::ZERO;
        }
        let left = self.bytes.saturating_sub(moved + NOTE_EVERY);
        let part = left.get() as f64 / self.bytes.get() as f64;
        UNFINISHED.max(Nanos::new((self.duration.get() as f64 * part) as u64))
    }
}

impl Drop for Piece<'_> {
    fn drop(&mut self) {
        if !self.collected {
            let (key, id, now) = (self.group.key, self.command.id, now());
            self.engine.board.change(self.engine.slot, |state| {
                state.take(key, now, &self.engine.costs, |entry| forget(&mut entry.commands, id));
            });
            self.engine.tell();
        }
    }
}

/// Removes a command, and moves those behind it up.
fn forget(commands: &mut [Command], id: u64) {
    if let Some(gone) = commands.iter().position(|command| command.id == id) {
        commands[gone..].rotate_left(1);
        if let Some(last) = commands.last_mut() {
            *last = Command::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_move_up() {
        let mut commands = [1, 2, 3].map(|id| Command { id, ..Command::default() });
        forget(&mut commands, 2);
        assert_eq!(commands.map(|command| command.id), [1, 3, 0]);
        forget(&mut commands, 9);
        assert_eq!(commands.map(|command| command.id), [1, 3, 0]);
    }
}
