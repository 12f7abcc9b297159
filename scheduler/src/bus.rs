//! One direction of one GPU's bus: applies the fair queue to the tenants' lanes.

use crate::gate::LaneWatch;
use crate::meter::Meter;
use crate::queue::{FairQueue, Want};
use crate::tenants::Live;
use region::{Class, Direction, LANES, Layout, SLOTS};
use std::sync::atomic::Ordering;
use units::{Bytes, Nanos};

/// How many best-effort pieces are on one direction of a bus at a time. With one, the bus would lie idle between a
/// piece's end and the next grant; with more, a latency-sensitive copy would have to wait behind them.
const IN_FLIGHT: u32 = 2;

/// What a turn found, for the arbiter to decide when to look again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Activity {
    /// A best-effort piece waits (and its lane is not stalled).
    pub(crate) be_waits: bool,
    /// Best-effort tickets are out whose pieces are not done: a stream may come to one at any moment, unannounced.
    pub(crate) be_outstanding: bool,
    /// A lane or a counter moved since the last turn.
    pub(crate) changed: bool,
    /// The bus shows as busy, which has to fade.
    pub(crate) shows_busy: bool,
    /// When a tenant last used the bus.
    pub(crate) last_used: Option<Nanos>,
}

impl Activity {
    pub(crate) fn and(self, other: Activity) -> Activity {
        Activity {
            be_waits: self.be_waits || other.be_waits,
            be_outstanding: self.be_outstanding || other.be_outstanding,
            changed: self.changed || other.changed,
            shows_busy: self.shows_busy || other.shows_busy,
            last_used: self.last_used.max(other.last_used),
        }
    }
}

/// What the arbiter keeps for one tenant on this bus.
#[derive(Clone, Copy)]
struct TenantLanes {
    watches: [LaneWatch; LANES],
    /// By lane: pieces that wait, in this turn.
    waiting: [u32; LANES],
    /// The lane that is first asked for the tenant's next piece.
    turn_of: usize,
}

const NEW: TenantLanes = TenantLanes { watches: [LaneWatch::NEW; LANES], waiting: [0; LANES], turn_of: 0 };

/// One direction of one GPU's bus.
pub(crate) struct BusGate {
    gpu: usize,
    direction: Direction,
    queue: FairQueue,
    tenants: Vec<TenantLanes>,
    wants: Vec<Want>,
    meter: Meter,
}

impl BusGate {
    /// The direction of the bus of the GPU in entry `gpu`; counts from what the tenants' counters say now.
    pub(crate) fn new(layout: &Layout, gpu: usize, direction: Direction) -> Self {
        BusGate {
            gpu,
            direction,
            queue: FairQueue::new(SLOTS),
            tenants: vec![NEW; SLOTS],
            wants: Vec::with_capacity(SLOTS),
            meter: Meter::new(std::array::from_fn(|slot| moved(layout, slot, gpu, direction))),
        }
    }

    /// Looks at every tenant, lets go what may go and publishes the traffic.
    pub(crate) fn turn(&mut self, layout: &Layout, live: &[Live], piece: Bytes, now: Nanos) -> Activity {
        let mut found = Activity::default();
        self.wants.clear();
        for tenant in live {
            let mut pending = 0;
            if let Some(class) = tenant.class {
                let want = self.look_at_lanes(layout, tenant, class, now, &mut found);
                found.be_waits |= want.waiting > 0;
                pending = want.pending;
                self.wants.push(want);
            }
            let counter = moved(layout, tenant.slot, self.gpu, self.direction);
            found.changed |= self.meter.look(tenant.slot, counter, pending > 0, now);
        }
        while let Some(slot) = self.queue.next(&self.wants, IN_FLIGHT) {
            self.let_one_go(layout, slot);
            self.queue.charge(slot, piece);
            found.changed = true;
        }
        found.shows_busy = self.meter.publish(layout.header.gpus[self.gpu].bus(self.direction), now);
        found.last_used = self.meter.last_used();
        found
    }

    /// Forgets the tenant in `slot`, once what it moved is counted.
    pub(crate) fn forget(&mut self, layout: &Layout, slot: usize, now: Nanos) {
        self.meter.look(slot, moved(layout, slot, self.gpu, self.direction), false, now);
        self.meter.forget(slot);
        self.queue.forget(slot);
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
        let mut want = Want { tenant: tenant.slot, class, weight: tenant.weight, waiting: 0, flying: 0, pending: 0 };
        let kept = &mut self.tenants[tenant.slot];
        for (i, lane) in layout.slots[tenant.slot].lanes(self.gpu, self.direction).iter().enumerate() {
            let state = kept.watches[i].look(lane, class, now);
            kept.waiting[i] = state.wants.waiting;
            want.waiting = want.waiting.saturating_add(state.wants.waiting);
            want.flying = want.flying.saturating_add(state.wants.flying);
            want.pending = want.pending.saturating_add(state.wants.pending);
            found.changed |= state.changed;
            found.be_outstanding |= class == Class::Be && (lane.is_outstanding() || lane.is_held());
        }
        want
    }

    /// Opens the gate of the tenant's next waiting lane for one piece.
    fn let_one_go(&mut self, layout: &Layout, slot: usize) {
        let kept = &mut self.tenants[slot];
        let lane = (0..LANES).map(|i| (kept.turn_of + i) % LANES).find(|&lane| kept.waiting[lane] > 0);
        if let Some(lane) = lane {
            layout.slots[slot].lane(self.gpu, self.direction, lane).grant_one();
            kept.waiting[lane] -= 1;
            kept.turn_of = (lane + 1) % LANES;
        }
        // Counted even where no lane was found, so that the caller's loop ends in any case.
        if let Some(want) = self.wants.iter_mut().find(|want| want.tenant == slot) {
            want.waiting = want.waiting.saturating_sub(1);
            want.flying = want.flying.saturating_add(1);
        }
    }
}

fn moved(layout: &Layout, slot: usize, gpu: usize, direction: Direction) -> u64 {
    layout.slots[slot].tenant.moved[gpu][direction as usize].load(Ordering::Relaxed)
}
