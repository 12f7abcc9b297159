//! The turns of channel groups on one engine: who has it when, and how far everybody's work is.
//!
//! This is arithmetic over a state and the time. Nothing here waits or looks at a clock: whoever wants to know how things
//! stand works the state out up to now ([`State::advance`]), and everybody comes to the same result, however late it asks.
//!
//! A group alone on the engine runs on, and its slice begins anew as often as it is over. One that newly comes while another
//! runs waits until the slice of that one is over, and a little longer; then it has the engine until its work or its turn
//! ends. Groups that keep having work take turns in proportion to their slices. These turns are longer than the
//! slices, so that they need not be worked out for every microsecond; a group then gets done in its turn what it would have
//! got done in many short ones, with a switch lost after each.

mod advance;

use units::Nanos;

/// Commands of one group that the engine knows at a time.
pub(crate) const COMMANDS: usize = 8;
/// Groups that an engine knows at a time.
pub(crate) const GROUPS: usize = 32;

/// Average turn of groups that keep having work, if their slices are shorter.
const ROTATION: Nanos = Nanos::from_micros(300);

/// The cost of a switch from one group to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    /// Time that the engine loses.
    pub(crate) switch: Nanos,
    /// Time that a newcomer waits beyond the slice of the running group, the switch included.
    pub(crate) preempt: Nanos,
}

/// One command: a stretch of time on the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Command {
    /// A number that no other command of the group has; 0 for none.
    pub(crate) id: u64,
    /// Time that it still needs.
    pub(crate) left: Nanos,
    /// The time below which `left` does not fall yet, as the host has not come as far.
    pub(crate) floor: Nanos,
    /// The time at which it ended; 0 before.
    pub(crate) ended: Nanos,
}

/// A group with work on the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Entry {
    /// The group's number, see [`Group`](super::group::Group).
    pub(crate) key: u64,
    pub(crate) slice: Nanos,
    /// Whether its channels are disabled, so that it gets no turn.
    pub(crate) stopped: bool,
    /// Whether its turn ends only with its slice although it is stopped.
    pub(crate) lingers: bool,
    /// Whether it came, or was let go, while another group ran, and had no turn yet.
    pub(crate) fresh: bool,
    /// The time at which that was.
    pub(crate) arrived: Nanos,
    /// The time up to which its process vouches for it.
    pub(crate) lease: Nanos,
    /// Pieces of work without an end that is known beforehand, as kernels are.
    pub(crate) open: u64,
    /// Time that it had the engine for and did not lose to switches.
    pub(crate) served: Nanos,
    pub(crate) commands: [Command; COMMANDS],
}

impl Entry {
    /// The command whose turn it is.
    pub(crate) fn head(&mut self) -> Option<&mut Command> {
        self.commands.iter_mut().find(|command| command.id != 0 && command.ended == Nanos::ZERO)
    }

    fn has_work(&self) -> bool {
        self.open > 0 || self.commands.iter().any(|command| command.id != 0 && command.ended == Nanos::ZERO)
    }

    fn is_needed(&self) -> bool {
        self.open > 0 || self.commands.iter().any(|command| command.id != 0)
    }

    /// Whether it may be given the engine.
    fn is_runnable(&self) -> bool {
        self.has_work() && !self.stopped
    }
}

/// A group whose turn a newcomer interrupted, and how much of it was over.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Interrupted {
    /// The group; 0 for none.
    pub(crate) key: u64,
    pub(crate) used: Nanos,
}

/// An engine with the groups that have work for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    /// The time up to which everything is worked out.
    pub(crate) at: Nanos,
    /// The group whose turn it is, or was when it ran out of work; 0 for none.
    pub(crate) holder: u64,
    /// The beginning of the turn, after the switch.
    pub(crate) begun: Nanos,
    /// The part of the turn that was over then.
    pub(crate) used: Nanos,
    /// Whether the turn began as the group before it had used up its own.
    pub(crate) rotated: bool,
    pub(crate) interrupted: Interrupted,
    pub(crate) entries: Vec<Entry>,
}

impl State {
    pub(crate) fn entry(&mut self, key: u64) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.key == key)
    }

    pub(crate) fn command(&mut self, key: u64, id: u64) -> Option<&mut Command> {
        self.entry(key)?.commands.iter_mut().find(|command| command.id == id)
    }

    /// The group whose turn it is, if it has work and may go on.
    fn running(&self) -> Option<usize> {
        let found = self.entries.iter().position(|entry| entry.key == self.holder)?;
        let entry = &self.entries[found];
        (entry.has_work() && (!entry.stopped || entry.lingers)).then_some(found)
    }

    /// Lets `group` have work from `at` on; `add` puts the work into its entry, or says that there is no room. Returns
    /// whether there was room. Work that is added in the past begins when everything else is worked out up to.
    pub(crate) fn add(
        &mut self,
        group: &Entry,
        at: Nanos,
        costs: &Costs,
        add: impl FnOnce(&mut Entry) -> bool,
    ) -> bool {
        self.advance(at, costs);
        if self.entry(group.key).is_none() {
            if self.entries.len() >= GROUPS {
                return false;
            }
            self.entries.push(Entry { key: group.key, ..Entry::default() });
        }
        let (now, another) = (self.at, self.running().is_some_and(|index| self.entries[index].key != group.key));
        let Some(entry) = self.entry(group.key) else { return false };
        let had_work = entry.has_work();
        if !add(entry) {
            return false;
        }
        entry.slice = group.slice;
        entry.lease = entry.lease.max(group.lease);
        if entry.stopped && !group.stopped {
            entry.lingers = false;
        }
        entry.stopped = group.stopped;
        if !had_work {
            (entry.fresh, entry.arrived) = (another && !entry.stopped, now);
        }
        self.settle(costs);
        true
    }

    /// Takes work out of a group's entry at `at`, and the entry as well where nothing is left in it.
    pub(crate) fn take(&mut self, key: u64, at: Nanos, costs: &Costs, take: impl FnOnce(&mut Entry)) {
        self.advance(at, costs);
        if let Some(entry) = self.entry(key) {
            take(entry);
        }
        self.entries.retain(|entry| entry.key != key || entry.is_needed());
    }

    /// Stops a group at `at`, `gently` if its turn may end first; or lets it go on.
    pub(crate) fn stop(&mut self, key: u64, stopped: bool, gently: bool, at: Nanos, costs: &Costs) {
        self.advance(at, costs);
        let (now, holder) = (self.at, self.holder);
        let another = self.running().is_some_and(|index| self.entries[index].key != key);
        let Some(entry) = self.entry(key) else { return };
        entry.lingers = stopped && gently && holder == key;
        if entry.stopped && !stopped && another {
            (entry.fresh, entry.arrived) = (true, now);
        }
        entry.stopped = stopped;
        entry.fresh &= !stopped;
        self.settle(costs);
    }

    /// Changes a group's slice at `at`; it counts for the turn that runs.
    pub(crate) fn set_slice(&mut self, key: u64, slice: Nanos, at: Nanos, costs: &Costs) {
        self.advance(at, costs);
        if let Some(entry) = self.entry(key) {
            entry.slice = slice;
        }
    }
}

#[cfg(test)]
mod tests;
