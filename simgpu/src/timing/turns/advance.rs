//! Working a state out: from event to event, up to a given time.

use super::{Costs, Interrupted, ROTATION, State};
use units::Nanos;

/// The next thing to happen.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    /// Nothing but the end of the time that is asked for, or of a pace.
    None,
    /// The head command of the running group ends.
    Ends,
    /// The group that came first gets the engine.
    Preempted,
    /// The turn is over, and the next group has one.
    Rotates,
    /// The slice of a group that is stopped is over.
    Lingered,
}

/// The earlier of an event and another one; of two at the same time the first counts.
fn earlier(found: (Nanos, Event), other: Option<Nanos>, event: Event) -> (Nanos, Event) {
    match other {
        Some(time) if time < found.0 => (time, event),
        _ => found,
    }
}

impl State {
    /// Works everything out up to `to`; nothing happens where that is past.
    pub(crate) fn advance(&mut self, to: Nanos, costs: &Costs) {
        while self.at < to {
            self.step(to, costs);
        }
    }

    /// The time by which a group was served that long, if that is before `limit`; works everything out up to there.
    pub(crate) fn served_by(&mut self, key: u64, target: Nanos, limit: Nanos, costs: &Costs) -> Option<Nanos> {
        loop {
            let before = (self.at, self.entry(key)?.served);
            if before.1 >= target {
                // Nobody knows any more when it was; while the group runs without a loss, it was this long ago.
                return Some(before.0.saturating_sub(before.1.saturating_sub(target)));
            }
            if self.at >= limit {
                return None;
            }
            self.step(limit, costs);
            let served = self.entry(key)?.served;
            if served >= target && served > before.1 {
                let part = (target - before.1).get() as f64 / (served - before.1).get() as f64;
                return Some(before.0 + Nanos::new(((self.at - before.0).get() as f64 * part).ceil() as u64));
            }
        }
    }

    /// The end of a command, if it is before `limit`; works everything out up to there.
    pub(crate) fn ended_by(&mut self, key: u64, id: u64, limit: Nanos, costs: &Costs) -> Option<Nanos> {
        loop {
            let ended = self.command(key, id)?.ended;
            if ended > Nanos::ZERO {
                return Some(ended);
            }
            if self.at >= limit {
                return None;
            }
            self.step(limit, costs);
        }
    }

    /// Gives an engine that nobody runs on to the next group that has work.
    pub(super) fn settle(&mut self, costs: &Costs) {
        if self.running().is_some() {
            return;
        }
        if let Some(next) = self.next_group() {
            let lost = if self.holder == 0 { Nanos::ZERO } else { costs.switch };
            self.give(next, self.at + lost, false);
        }
    }

    /// Goes on to the next event, or to `to`.
    fn step(&mut self, to: Nanos, costs: &Costs) {
        let at = self.at;
        self.entries.retain(|entry| entry.lease > at);
        self.settle(costs);
        let Some(running) = self.running() else {
            // An engine without work: whoever comes next begins at once.
            (self.at, self.holder, self.interrupted) = (to, 0, Interrupted::default());
            return;
        };
        let lapse = self.entries.iter().map(|entry| entry.lease).min().unwrap_or(to);
        let limit = to.min(lapse);
        if self.begun > at {
            self.at = self.begun.min(limit);
            return;
        }
        let pace = self.pace(running, costs);
        let (next, event) = self.next_event(running, &pace, limit, costs);
        let done = Nanos::new(((next - at).get() as f64 * pace.rate) as u64);
        let entry = &mut self.entries[running];
        entry.served += done;
        if let Some(head) = entry.head() {
            head.left = head.floor.max(head.left.saturating_sub(done));
            if event == Event::Ends {
                (head.left, head.ended) = (Nanos::ZERO, next);
            }
        }
        self.at = next;
        match event {
            Event::None | Event::Ends => {}
            Event::Lingered => self.entries[running].lingers = false,
            Event::Preempted => {
                if !self.entries.iter().any(|it| it.key == self.interrupted.key && it.is_runnable()) {
                    let used = self.used + next.saturating_sub(self.begun);
                    self.interrupted = Interrupted { key: self.holder, used };
                }
                if let Some(first) = self.newcomer() {
                    self.give(first, next + costs.switch, false);
                }
            }
            Event::Rotates => {
                if let Some(other) = self.next_group() {
                    self.give(other, next, true);
                }
            }
        }
    }

    /// The pace of the running group.
    fn pace(&self, running: usize, costs: &Costs) -> Pace {
        let others = self.entries.iter().enumerate().filter(|&(index, _)| index != running);
        let contended = others.into_iter().any(|(_, other)| other.is_runnable() && !other.fresh);
        let slice = self.entries[running].slice;
        let first = self.begun + slice;
        if !contended {
            return Pace { contended, rate: 1.0, until: None };
        }
        if !self.rotated && self.at < first {
            return Pace { contended, rate: 1.0, until: Some(first) };
        }
        // From here on a turn stands for many. Each is a little longer than the slice, as an engine stops between two
        // bursts only.
        let on = (slice.get() + reaction(costs).get() / 2) as f64;
        Pace { contended, rate: on / (on + costs.switch.get() as f64), until: None }
    }

    /// The next event, not after `limit`.
    fn next_event(&mut self, running: usize, pace: &Pace, limit: Nanos, costs: &Costs) -> (Nanos, Event) {
        let at = self.at;
        let over = (self.begun + self.entries[running].slice).max(at);
        let turn = (self.begun + self.turn(running).saturating_sub(self.used)).max(at);
        let arrived = self.newcomer().map(|index| self.entries[index].arrived);
        let expires = |arrived| renewed(self.begun, self.entries[running].slice, arrived);
        let preempted = arrived.map(|arrived| (expires(arrived) + reaction(costs)).max(at));
        let mut found = earlier((limit, Event::None), pace.until, Event::None);
        found = earlier(found, pace.contended.then_some(turn), Event::Rotates);
        found = earlier(found, preempted, Event::Preempted);
        found = earlier(found, self.entries[running].lingers.then_some(over), Event::Lingered);
        let Some(head) = self.entries[running].head() else { return found };
        let needs = head.left.saturating_sub(head.floor).get() as f64 / pace.rate;
        let stands = at + Nanos::new(needs.ceil() as u64);
        if head.floor == Nanos::ZERO {
            return if stands <= found.0 { (stands, Event::Ends) } else { found };
        }
        // The host has to come further first; until then the command stands still.
        if stands > at { earlier(found, Some(stands), Event::None) } else { found }
    }

    /// The length of a group's turn among all that take turns; newcomers do not yet.
    fn turn(&self, running: usize) -> Nanos {
        let rotating = self.entries.iter().filter(|entry| entry.is_runnable() && !entry.fresh);
        let slices = rotating.map(|entry| entry.slice.get().max(1));
        let (groups, round) = slices.fold((0, 0), |(groups, sum), slice| (groups + 1, sum + slice));
        let longer = (groups * ROTATION.get()) as f64 / round.max(1) as f64;
        Nanos::new((self.entries[running].slice.get().max(1) as f64 * longer.max(1.0)) as u64)
    }

    /// The group that came first of those that had no turn yet.
    fn newcomer(&self) -> Option<usize> {
        let fresh = self.entries.iter().enumerate().filter(|(_, entry)| entry.fresh && entry.is_runnable());
        fresh.min_by_key(|(_, entry)| entry.arrived).map(|(index, _)| index)
    }

    /// The group that is next when the running one has ended its turn: a new one, the one that was interrupted, or the
    /// next of all in their order.
    fn next_group(&self) -> Option<usize> {
        let runnable = |&index: &usize| self.entries[index].is_runnable() && self.entries[index].key != self.holder;
        let interrupted = self.entries.iter().position(|entry| entry.key == self.interrupted.key).filter(runnable);
        let count = self.entries.len();
        let after = self.entries.iter().position(|entry| entry.key == self.holder).map_or(0, |index| index + 1);
        let rest = || (0..count).map(|step| (after + step) % count).find(runnable);
        self.newcomer().or(interrupted).or_else(rest)
    }

    /// Begins a group's turn at a time that may be a little ahead.
    fn give(&mut self, index: usize, begun: Nanos, rotated: bool) {
        let key = self.entries[index].key;
        self.entries[index].fresh = false;
        let goes_on = self.interrupted.key == key;
        let used = if goes_on { core::mem::take(&mut self.interrupted).used } else { Nanos::ZERO };
        (self.holder, self.begun, self.used, self.rotated) = (key, begun, used, rotated);
    }
}

/// The progress of a group while it runs.
struct Pace {
    /// Whether another group waits that has had a turn before.
    contended: bool,
    /// The part of the time that is not lost to switches.
    rate: f64,
    /// The end of this pace.
    until: Option<Nanos>,
}

/// The end of the slice that runs when a newcomer comes: while a group is alone, its slice begins anew as often as it is
/// over. On an H200 a copy that comes beside a slice of 100 us waits for 10 to 110 us, evenly spread
/// (docs/measurements/2026-11-30-slices.md).
fn renewed(begun: Nanos, slice: Nanos, arrived: Nanos) -> Nanos {
    let slices = arrived.saturating_sub(begun).get().div_ceil(slice.get().max(1)).max(1);
    begun + Nanos::new(slices * slice.get())
}

/// Time that the running group goes on for when a newcomer is to have the engine.
fn reaction(costs: &Costs) -> Nanos {
    costs.preempt.saturating_sub(costs.switch)
}
