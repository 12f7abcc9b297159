//! The work that one stream has ahead of it, as far as it can be told from the host.
//!
//! Work is given in batches, each with a marker behind it that the GPU writes when all before it is done. A batch that is
//! seen to be done says how long its launches took. What is under way is predicted from that, so that the next launch can
//! be given when it is about to be needed, and no sooner: a latency-sensitive tenant then finds one kernel before it and not
//! a queue, and the GPU does not wait for the host between kernels.

use super::estimates::{Estimates, Kind};
use units::Nanos;

/// The time before the end of what is under way at which the next launch is given: a launch takes 3.4 us to be given
/// (H200, docs/measurements/2026-12-01-house.md), about as long to begin, and the host may be late by some microseconds.
const LEAD: Nanos = Nanos::from_micros(14);

/// The same for a graph, whose launch takes longer by about as much.
const GRAPH_LEAD: Nanos = Nanos::from_micros(28);

/// The time from a launch on an idle GPU until it runs.
const BEGIN: Nanos = Nanos::from_micros(4);

/// The length of a launch that was never seen.
const GUESS: Nanos = Nanos::from_micros(10);

/// The least work between two markers: with one each 25 us a job of short kernels lost a sixth of its rate, and a fifteenth
/// with these (docs/measurements/2026-12-01-launches.md).
const BETWEEN: Nanos = Nanos::from_micros(100);

/// Launches of a batch, at most.
const BATCH: usize = 32;

/// Batches that are not seen to be done, at most.
const BATCHES: usize = 16;

/// The longest wait of a launch: work that takes longer, or waits for what is launched later, is left alone.
pub(super) const LONGEST: Nanos = Nanos::from_millis(100);

/// The time for which a stream is left alone after a wait that was in vain, as a multiple of the wait: its work may wait for
/// what is launched later, and then a fifth of the program's time at most is lost here.
const LEFT_ALONE: u64 = 4;

/// A marker's number. They follow one another around.
pub(crate) type Marker = u32;

/// Launches without a marker between them.
#[derive(Clone, Copy, Debug)]
struct Batch {
    kinds: [Kind; BATCH],
    count: usize,
    /// The time that they are to take together.
    predicted: Nanos,
    /// The last of them, where it was never seen before.
    unknown: Option<Kind>,
    /// The time at which the first was given.
    given: Nanos,
    marker: Marker,
    /// The time at which the marker was given.
    marked: Nanos,
}

const NO_BATCH: Batch = Batch {
    kinds: [Kind::NONE; BATCH],
    count: 0,
    predicted: Nanos::ZERO,
    unknown: None,
    given: Nanos::ZERO,
    marker: 0,
    marked: Nanos::ZERO,
};

/// The next step of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Go on.
    Launch,
    /// Wait, and ask again: it is not known for how long.
    Look,
    /// Wait for about this long.
    Wait(Nanos),
}

/// A stream's queue.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Given and marked, from `first` on.
    marked: [Batch; BATCHES],
    first: usize,
    waiting: usize,
    /// Given since the last marker.
    open: Batch,
    last_marker: Marker,
    /// When all before the first marked batch was done.
    done: Nanos,
    /// When the markers were last looked at.
    looked: Nanos,
    left_alone_until: Nanos,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Queue {
            marked: [NO_BATCH; BATCHES],
            first: 0,
            waiting: 0,
            open: NO_BATCH,
            last_marker: 0,
            done: Nanos::ZERO,
            looked: Nanos::ZERO,
            left_alone_until: Nanos::ZERO,
        }
    }

    fn front(&self) -> Option<&Batch> {
        (self.waiting > 0).then(|| &self.marked[self.first])
    }

    /// The GPU was seen to have written `newest` at `now`.
    pub(crate) fn seen(&mut self, newest: Marker, now: Nanos, estimates: &Estimates) {
        while let Some(&batch) = self.front() {
            // Markers go around, so which is newer is told by the difference.
            if (newest.wrapping_sub(batch.marker) as i32) < 0 {
                break;
            }
            let begun = self.done.max(batch.given + BEGIN);
            // It was not done when last looked at, and is now: what was predicted is as good as any time between.
            let earliest = self.looked.max(batch.marked);
            let ended = (begun + batch.predicted).clamp(earliest.min(now), now);
            batch.learn(ended.saturating_sub(begun), estimates);
            self.done = ended;
            self.first = (self.first + 1) % BATCHES;
            self.waiting -= 1;
        }
        self.looked = now;
    }

    /// The next step of a launch that takes `predicted`, where `ahead` is the work that may be queued.
    pub(crate) fn next(&self, now: Nanos, predicted: Option<Nanos>, is_graph: bool, ahead: Nanos) -> Next {
        if now < self.left_alone_until {
            return Next::Launch;
        }
        let lead = if is_graph { GRAPH_LEAD } else { LEAD };
        let most = ahead.saturating_sub(predicted.unwrap_or(GUESS)).max(lead);
        match self.left(now) {
            None => Next::Look,
            Some(_) if self.waiting == BATCHES => Next::Look,
            Some(left) if left <= most => Next::Launch,
            Some(left) => Next::Wait(left.saturating_sub(most)),
        }
    }

    /// The time until all that was given is done. `None` where what is under way takes longer than was predicted, and it
    /// cannot be told how long.
    fn left(&self, now: Nanos) -> Option<Nanos> {
        let Some(front) = self.front() else {
            let end = self.done.max(self.open.given + BEGIN) + self.open.predicted;
            return Some(if self.open.count == 0 { Nanos::ZERO } else { end.saturating_sub(now) });
        };
        let end = self.done.max(front.given + BEGIN) + front.predicted;
        let late = now.saturating_sub(end);
        if late > LEAD.max(Nanos::new(front.predicted.get() / 4)) || self.has_unknown() {
            return None;
        }
        let behind = (1..self.waiting).map(|i| self.marked[(self.first + i) % BATCHES].predicted);
        let rest = behind.fold(self.open.predicted, |sum, predicted| sum + predicted);
        Some(end.saturating_sub(now) + rest)
    }

    /// Whether there is a launch among those under way that was never seen before: the next one waits for it, once.
    fn has_unknown(&self) -> bool {
        (0..self.waiting).any(|i| self.marked[(self.first + i) % BATCHES].unknown.is_some())
    }

    /// A wait was in vain. What is under way takes at least as long as was waited, which is noted, and the stream is left
    /// alone for a while.
    pub(crate) fn waited_in_vain(&mut self, now: Nanos, estimates: &Estimates) {
        if let Some(front) = self.front() {
            let least = now.saturating_sub(self.done.max(front.given));
            if let Some(kind) = front.unknown.or((front.count == 1).then_some(front.kinds[0])) {
                estimates.set(kind, estimates.of(kind).map_or(least, |known| known.max(least)));
            }
        }
        self.left_alone_until = now + Nanos::new(LONGEST.get() * LEFT_ALONE);
    }

    /// A launch was given. The marker that is to be put behind it, if one is.
    pub(crate) fn launched(&mut self, now: Nanos, kind: Kind, predicted: Option<Nanos>) -> Option<Marker> {
        if self.open.count == 0 {
            self.open.given = now;
        }
        self.open.kinds[self.open.count] = kind;
        self.open.count += 1;
        self.open.predicted += predicted.unwrap_or(GUESS);
        self.open.unknown = predicted.is_none().then_some(kind);
        let is_full = self.open.count == BATCH || self.open.unknown.is_some() || self.open.predicted >= BETWEEN;
        is_full.then(|| self.last_marker.wrapping_add(1))
    }

    /// The marker was put behind the last launch.
    pub(crate) fn marked(&mut self, now: Nanos) {
        self.last_marker = self.last_marker.wrapping_add(1);
        let batch = Batch { marker: self.last_marker, marked: now, ..std::mem::replace(&mut self.open, NO_BATCH) };
        if self.waiting < BATCHES {
            self.marked[(self.first + self.waiting) % BATCHES] = batch;
            self.waiting += 1;
        } else {
            // A stream that is left alone is not kept short: what there is no room for goes with the last.
            let last = &mut self.marked[(self.first + self.waiting - 1) % BATCHES];
            *last = Batch {
                predicted: last.predicted + batch.predicted,
                given: last.given,
                count: 0,
                unknown: None,
                ..batch
            };
        }
    }
}

impl Batch {
    /// Its launches took this long together.
    fn learn(&self, took: Nanos, estimates: &Estimates) {
        if let Some(kind) = self.unknown {
            let others = self.predicted.saturating_sub(GUESS);
            return estimates.set(kind, took.saturating_sub(others).max(Nanos::from_micros(1)));
        }
        if took == self.predicted || self.predicted == Nanos::ZERO {
            return;
        }
        // A quarter of the way each time, so that one launch that was disturbed changes little.
        let ratio = took.get() as f64 / self.predicted.get() as f64;
        let factor = (1.0 + (ratio - 1.0) / 4.0).clamp(0.5, 2.0);
        let kinds = &self.kinds[..self.count];
        for (i, &kind) in kinds.iter().enumerate() {
            // Once for each kind, however often it is there.
            if !kinds[..i].contains(&kind)
                && let Some(known) = estimates.of(kind)
            {
                estimates.set(kind, Nanos::new((known.get() as f64 * factor) as u64));
            }
        }
    }
}

#[cfg(test)]
mod tests;
