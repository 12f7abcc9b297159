//! The time that a kernel gets on the GPU where contexts take turns: that of its context's group on GR0.

use super::clock::{nap, now};
use super::engine::{Engine, LOOK};
use super::group::Group;
use super::pace::Pace;
use super::turns::State;
use units::Nanos;

/// Time between two tries while the engine has work of more groups than it knows at a time.
const RETRY: Nanos = Nanos::from_millis(1);

/// A kernel's stay among the work of its context's group.
pub(crate) struct Stay<'a> {
    engine: Engine<'a>,
    group: &'a Group,
    /// Time that the group was served when the kernel came, and what the kernel had had by then.
    base: Nanos,
    before: Nanos,
    /// Time that the kernel had when that was last asked for.
    last: Nanos,
    left: bool,
}

impl<'a> Stay<'a> {
    /// Has the group work from `ready` on.
    pub(crate) fn begin(engine: Engine<'a>, group: &'a Group, ready: Nanos) -> Self {
        let (base, before, last) = (Nanos::ZERO, Nanos::ZERO, Nanos::ZERO);
        let mut stay = Stay { engine, group, base, before, last, left: false };
        stay.enter(ready);
        stay
    }

    fn enter(&mut self, ready: Nanos) {
        loop {
            let now = now();
            let add = |state: &mut State| {
                let group = Engine::entry_of(self.group, now);
                let mut base = None;
                let room = state.add(&group, ready.min(now), &self.engine.costs, |entry| {
                    entry.open += 1;
                    base = Some(entry.served);
                    true
                });
                base.filter(|_| room)
            };
            if let Some(base) = self.engine.board.change(self.engine.slot, add) {
                (self.base, self.before) = (base, self.last);
                return;
            }
            nap(RETRY);
        }
    }
}

impl Pace for Stay<'_> {
    fn had(&mut self, now: Nanos) -> Nanos {
        let mut state = self.engine.board.read();
        let lease = state.entry(self.group.key).map_or(Nanos::ZERO, |entry| entry.lease);
        state.advance(now, &self.engine.costs);
        match state.entry(self.group.key) {
            Some(entry) => {
                self.last = self.last.max(self.before + entry.served.saturating_sub(self.base));
                self.engine.renew(self.group, lease, now);
            }
            // The process did not get to renew its lease in time, as if it had been dead.
            None => self.enter(now),
        }
        self.last
    }

    fn when(&mut self, had: Nanos, limit: Nanos) -> Option<Nanos> {
        let target = self.base + had.saturating_sub(self.before);
        let limit = limit.min(now() + LOOK);
        self.engine.board.read().served_by(self.group.key, target, limit, &self.engine.costs)
    }

    fn leave(&mut self, end: Nanos) {
        let end = end.min(now());
        self.engine.board.change(self.engine.slot, |state| {
            let less = |entry: &mut super::turns::Entry| entry.open = entry.open.saturating_sub(1);
            state.take(self.group.key, end, &self.engine.costs, less);
        });
        self.left = true;
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        if !self.left {
            self.leave(now());
            self.engine.tell();
        }
    }
}
