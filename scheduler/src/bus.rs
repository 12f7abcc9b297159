//! One direction of one GPU's bus: applies the fair queue to the tenants' lanes.

use crate::felt::Felt;
use crate::gate::{LaneState, LaneWatch};
use crate::line::{Line, Place};
use crate::meter::Meter;
use crate::queue::{FairQueue, Want};
use crate::room::Room;
use crate::sizer::Sizer;
use crate::tenants::Live;
use region::{Class, Direction, LANES, Layout, Regime, SLOTS};
use std::sync::atomic::Ordering;
use units::{Bytes, Nanos};

/// How many best-effort pieces may be let go and not done: the one on the bus, and one that follows it closely. Any more
/// would only make those wait who come then: the engine goes on with a channel that has work, for its whole time slice
/// of about a millisecond, and looks for others only when it has none.
const ON_THE_BUS: u32 = 1;
const WITH_A_FOLLOWER: u32 = 2;

/// Who copies back to back is away for no longer than this between two copies. Nobody is waited for any longer.
const BACK_AT_ONCE: Nanos = Nanos::from_micros(80);

/// For so long after the last piece latency-sensitive copies still show themselves.
const PIECES_MEMORY: Nanos = Nanos::from_millis(100);

/// What a turn found, for the arbiter to decide when to look again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Activity {
    /// A best-effort piece waits (and its lane is not stalled).
    pub(crate) be_waits: bool,
    /// Best-effort tickets are out whose pieces are not done: a stream may come to one at any moment, unannounced.
    pub(crate) be_outstanding: bool,
    /// A best-effort lane moved since the last turn.
    pub(crate) changed: bool,
    /// The bus shows as busy, which has to fade.
    pub(crate) shows_busy: bool,
    /// When a tenant last used the bus.
    pub(crate) last_used: Option<Nanos>,
    /// When the next piece may be let go to follow the one on the bus, or else when that one is likely to be done.
    pub(crate) next_due: Option<Nanos>,
    /// Somebody may be about to come back, and is to be seen soon.
    pub(crate) expects: bool,
    /// Best-effort tenants take turns, or have to leave room, so that whoever waits has to be seen soon.
    pub(crate) gated: bool,
}

impl Activity {
    pub(crate) fn and(self, other: Activity) -> Activity {
        Activity {
            be_waits: self.be_waits || other.be_waits,
            be_outstanding: self.be_outstanding || other.be_outstanding,
            changed: self.changed || other.changed,
            shows_busy: self.shows_busy || other.shows_busy,
            last_used: self.last_used.max(other.last_used),
            next_due: match (self.next_due, other.next_due) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            },
            expects: self.expects || other.expects,
            gated: self.gated || other.gated,
        }
    }
}

/// Whether a tenant that wants nothing is about to want something again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Back {
    /// It wants something, or has been away for too long.
    No,
    /// It left a moment ago, and nothing is known of it.
    Possible,
    /// It left a moment ago, and is usually back at once.
    Expected,
}

/// What the arbiter keeps for one tenant on this bus.
#[derive(Clone, Copy)]
struct TenantLanes {
    watches: [LaneWatch; LANES],
    /// By lane: what it shows in this turn.
    lanes: [LaneState; LANES],
    /// The lane that is first asked for the tenant's next piece.
    turn_of: usize,
    /// Since when it wants nothing, and how long it was usually away before it wanted something again.
    away_since: Option<Nanos>,
    usually_away: Nanos,
}

const NEW: TenantLanes = TenantLanes {
    watches: [LaneWatch::NEW; LANES],
    lanes: [LaneState::UNSEEN; LANES],
    turn_of: 0,
    away_since: None,
    usually_away: Nanos::from_millis(1),
};

impl TenantLanes {
    /// Takes in whether the tenant wants something; whether it is about to, if it does not.
    fn back(&mut self, wants: bool, now: Nanos) -> Back {
        let since = match self.away_since {
            Some(since) => since,
            None if wants => return Back::No,
            None => *self.away_since.insert(now),
        };
        let away = now.saturating_sub(since).min(Nanos::from_millis(1));
        if wants {
            self.usually_away = Nanos::new((self.usually_away.get() * 3 + away.get()) / 4);
            self.away_since = None;
        }
        match () {
            () if wants || away >= BACK_AT_ONCE => Back::No,
            () if self.usually_away < BACK_AT_ONCE => Back::Expected,
            () => Back::Possible,
        }
    }
}

/// One direction of one GPU's bus.
pub(crate) struct BusGate {
    gpu: usize,
    direction: Direction,
    queue: FairQueue,
    tenants: Vec<TenantLanes>,
    wants: Vec<Want>,
    line: Line,
    meter: Meter,
    sizer: Sizer,
    /// Towards the device; what SMs write to the host clogs the bus.
    felt: Option<Felt>,
    /// When a best-effort tenant last had pieces here.
    pieces_seen: Option<Nanos>,
    room: Room,
}

impl BusGate {
    /// The direction of the bus of the GPU in entry `gpu`; counts from what the tenants' counters say now.
    pub(crate) fn new(layout: &Layout, gpu: usize, direction: Direction, piece: Option<Bytes>) -> Self {
        BusGate {
            gpu,
            direction,
            queue: FairQueue::new(SLOTS),
            tenants: vec![NEW; SLOTS],
            wants: Vec::with_capacity(SLOTS),
            line: Line::new(),
            sizer: Sizer::new(piece),
            pieces_seen: None,
            room: Room::default(),
            felt: (direction == Direction::H2d).then(|| Felt::new(gpu)),
            meter: Meter::new(std::array::from_fn(|slot| moved(layout, slot, gpu, direction))),
        }
    }

    /// Looks at every tenant, lets go what may go and publishes the traffic.
    pub(crate) fn turn(&mut self, layout: &Layout, live: &[Live], now: Nanos) -> Activity {
        let mut found = Activity::default();
        self.wants.clear();
        for tenant in live {
            let mut pending = 0;
            if let Some(class) = tenant.class {
                let want = self.look_at_lanes(layout, tenant, class, now, &mut found);
                found.be_waits |= want.waiting > 0;
                pending = want.pending;
                self.wants.push(want);
            } else {
                self.tenants[tenant.slot].lanes = NEW.lanes;
            }
            if let (Some(felt), Some(Class::Ls)) = (&mut self.felt, tenant.class) {
                felt.look(tenant.slot, &layout.slots[tenant.slot].tenant, now);
            }
            let counter = moved(layout, tenant.slot, self.gpu, self.direction);
            self.meter.look(tenant.slot, tenant.class, counter, pending > 0, now);
        }
        self.settle(layout, now);
        let bus = layout.header.gpus[self.gpu].bus(self.direction);
        let regime = self.meter.regime(now);
        bus.set_piece(self.sizer.piece(regime));
        bus.set_regime(regime);
        if found.be_waits || found.be_outstanding {
            self.pieces_seen = Some(now);
        }
        bus.set_in_pieces(self.pieces_seen.is_some_and(|seen| now.saturating_sub(seen) < PIECES_MEMORY));
        bus.set_past_the_engine(self.felt.as_ref().is_some_and(|felt| felt.nobody_would(now)));
        while let Some(slot) = self.next_to_go(regime, now) {
            let piece = self.let_one_go(layout, slot, now);
            self.queue.charge(slot, piece);
            found.changed = true;
        }
        found.next_due = self.gap_until(now).or_else(|| self.line.next_due(&self.sizer, regime, now));
        found.shows_busy = self.meter.publish(bus, now);
        found.last_used = self.meter.last_used();
        found.gated = self.meter.is_gated(now);
        found
    }

    /// Forgets the tenant in `slot`, once what it moved is counted.
    pub(crate) fn forget(&mut self, layout: &Layout, slot: usize, now: Nanos) {
        self.meter.look(slot, None, moved(layout, slot, self.gpu, self.direction), false, now);
        self.meter.forget(slot);
        self.queue.forget(slot);
        self.felt.iter_mut().for_each(|felt| felt.forget(slot));
        self.tenants[slot] = NEW;
    }

    /// Whether a best-effort tenant has tickets out here. Changes nothing: for a last look before sleeping.
    pub(crate) fn is_wanted(&self, layout: &Layout, live: &[Live]) -> bool {
        live.iter().any(|tenant| {
            let slot = &layout.slots[tenant.slot];
            slot.tenant.class() == Some(Class::Be)
                && slot.lanes(self.gpu, self.direction).iter().any(|lane| lane.is_outstanding() || lane.is_held())
        })
    }

    /// Whether a best-effort tenant waits for leave. Changes nothing: for a last look before dozing.
    pub(crate) fn is_waited_for(&self, layout: &Layout, live: &[Live]) -> bool {
        live.iter().any(|tenant| {
            let slot = &layout.slots[tenant.slot];
            slot.tenant.class() == Some(Class::Be)
                && slot.lanes(self.gpu, self.direction).iter().any(region::Lane::is_held)
        })
    }

    /// Whether the GPU's entry is in use.
    pub(crate) fn is_in_use(&self, layout: &Layout) -> bool {
        layout.header.gpus[self.gpu].key().is_some()
    }

    fn look_at_lanes(
        &mut self,
        layout: &Layout,
        tenant: &Live,
        class: Class,
        now: Nanos,
        found: &mut Activity,
    ) -> Want {
        let mut want = Want {
            tenant: tenant.slot,
            class,
            weight: tenant.weight,
            waiting: 0,
            flying: 0,
            pending: 0,
            expected: false,
        };
        let kept = &mut self.tenants[tenant.slot];
        for (i, lane) in layout.slots[tenant.slot].lanes(self.gpu, self.direction).iter().enumerate() {
            let state = kept.watches[i].look(lane, class, now);
            kept.lanes[i] = state;
            want.waiting = want.waiting.saturating_add(state.wants.waiting);
            want.flying = want.flying.saturating_add(state.wants.flying);
            want.pending = want.pending.saturating_add(state.wants.pending);
            found.changed |= class == Class::Be && state.changed;
            found.be_outstanding |= class == Class::Be && (lane.is_outstanding() || lane.is_held());
            if class == Class::Ls && lane.is_outstanding() {
                self.room.is_wanted(now);
            }
        }
        if class == Class::Be {
            let back = kept.back(want.pending > 0, now);
            want.expected = back == Back::Expected;
            // Also where it was usually away for longer: what it is now is only told by looking.
            found.expects |= back != Back::No;
        }
        want
    }

    /// Takes in which pieces are done, and in which time.
    fn settle(&mut self, layout: &Layout, now: Nanos) {
        let (tenants, direction) = (&self.tenants, self.direction as usize);
        let lane = |(slot, lane): Place| tenants[slot].lanes[lane];
        let record = |(slot, _): Place, took: Nanos| {
            layout.slots[slot].served[direction].services.record(took.get() / 1000);
        };
        if let Some((bytes, time)) = self.line.settle(now, lane, record) {
            self.sizer.served(bytes, time);
        }
        if self.room.is_needed(now) {
            self.line.let_nothing_follow();
        }
    }

    /// Until when the bus is left alone for the engine to look for what latency-sensitive tenants want of it.
    fn gap_until(&self, now: Nanos) -> Option<Nanos> {
        self.line.gap_until(now).filter(|_| self.room.is_needed(now))
    }

    /// Whose piece may go now: on a bus that is free, or early, to follow the one there.
    fn next_to_go(&mut self, regime: Regime, now: Nanos) -> Option<usize> {
        if self.gap_until(now).is_some() {
            return None;
        }
        let follows = self.line.may_be_followed(&self.sizer, regime, now);
        self.queue.next(&self.wants, if follows { WITH_A_FOLLOWER } else { ON_THE_BUS })
    }

    /// Opens the gate of the tenant's next waiting lane for one piece. Returns what that is charged for.
    fn let_one_go(&mut self, layout: &Layout, slot: usize, now: Nanos) -> Bytes {
        let mut piece = Bytes::ZERO;
        let kept = &mut self.tenants[slot];
        let lane = (0..LANES).map(|i| (kept.turn_of + i) % LANES).find(|&lane| kept.lanes[lane].wants.waiting > 0);
        if let Some(lane) = lane {
            let shared = layout.slots[slot].lane(self.gpu, self.direction, lane);
            shared.grant_one();
            piece = shared.piece();
            kept.watches[lane].let_go(now, &layout.slots[slot].served[self.direction as usize]);
            kept.lanes[lane].wants.waiting -= 1;
            self.line.let_go((slot, lane), piece, now);
            kept.turn_of = (lane + 1) % LANES;
        }
        // Counted even where no lane was found, so that the caller's loop ends in any case.
        if let Some(want) = self.wants.iter_mut().find(|want| want.tenant == slot) {
            want.waiting = want.waiting.saturating_sub(1);
            want.flying = want.flying.saturating_add(1);
        }
        piece
    }
}

fn moved(layout: &Layout, slot: usize, gpu: usize, direction: Direction) -> u64 {
    layout.slots[slot].tenant.moved[gpu][direction as usize].load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests;
