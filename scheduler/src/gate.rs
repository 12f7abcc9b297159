//! One lane as the arbiter follows it from turn to turn: what it wants, whether it still moves, and how long its pieces
//! waited for leave.

use region::{Class, Lane, LaneView, Served};
use units::Nanos;

/// How long a lane may be busy without finishing a piece before it counts as stalled. A stalled lane holds nobody back
/// and is given nothing more until it moves again: its owner may be dead, stopped or behind something of its own.
pub(crate) const STALL: Nanos = Nanos::from_millis(100);

const NOTHING: LaneView = LaneView { waiting: 0, flying: 0, pending: 0 };

/// What the arbiter remembers of a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneWatch {
    /// What the lane showed last.
    shown: LaneView,
    /// The last piece done, as last seen.
    done: u32,
    /// Whether a piece of the lane was in service when last seen, and since when none was finished.
    busy: bool,
    since: Nanos,
    /// Since when a piece waits with none of the lane's on the bus.
    waits_since: Option<Nanos>,
}

/// What a lane counts for in this turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneState {
    /// What it wants; nothing while it is stalled.
    pub(crate) wants: LaneView,
    /// Whether anything in it moved since the last turn.
    pub(crate) changed: bool,
    /// How many of its pieces were done since.
    pub(crate) done: u32,
}

impl LaneState {
    /// A lane that nobody looked at.
    pub(crate) const UNSEEN: LaneState = LaneState { wants: NOTHING, changed: false, done: 0 };
}

impl LaneWatch {
    pub(crate) const NEW: LaneWatch =
        LaneWatch { shown: NOTHING, done: 0, busy: false, since: Nanos::ZERO, waits_since: None };

    /// Looks at the lane.
    pub(crate) fn look(&mut self, lane: &Lane, class: Class, now: Nanos) -> LaneState {
        let (shown, done) = (lane.view(), lane.progress());
        let wants = match class {
            // A latency-sensitive copy goes without waiting for the gate: it is in service from asking to done, and
            // there is nothing to let go.
            Class::Ls => LaneView { waiting: 0, flying: 0, pending: shown.pending },
            // The gate may stand beyond what was asked for, where the tenant opened it itself: only pieces that were
            // asked for can be on the bus.
            Class::Be => LaneView { flying: shown.flying.min(shown.pending), ..shown },
        };
        let busy = match class {
            Class::Ls => wants.pending > 0,
            Class::Be => wants.flying > 0,
        };
        // A wild lane may jump by any number; no lane has as many pieces on the bus.
        let pieces_done = Some(done.wrapping_sub(self.done)).filter(|pieces| (1..=8).contains(pieces));
        if wants.waiting == 0 {
            self.waits_since = None;
        } else if wants.flying == 0 {
            self.waits_since.get_or_insert(now);
        }
        if done != self.done || !busy || !self.busy {
            self.since = now;
        }
        let changed = (shown, done) != (self.shown, self.done);
        (self.shown, self.done, self.busy) = (shown, done, busy);
        let stalled = now.saturating_sub(self.since) > STALL;
        LaneState { wants: if stalled { NOTHING } else { wants }, changed, done: pieces_done.unwrap_or(0) }
    }

    /// The lane was let go one more piece.
    pub(crate) fn let_go(&mut self, now: Nanos, times: &Served) {
        if let Some(since) = self.waits_since.take() {
            times.waits.record(now.saturating_sub(since).get() / 1000);
        }
    }
}
