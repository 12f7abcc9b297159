//! One engine of one GPU: reads which tenants use it, and gives them orders.

use super::demand::Demand;
use super::policy::{Sharer, shares};
use super::turns::Turns;
use crate::members::Live;
use crate::times::{STOP, TURN};
use region::{Class, Engine, Layout, Means, SLOTS, Slot};
use std::sync::atomic::Ordering;
use units::Nanos;

/// One engine of one GPU. All copy engines of a GPU count as one.
pub(crate) struct EngineShare {
    gpu: usize,
    engine: Engine,
    demands: Box<[Demand; SLOTS]>,
    /// By slot: whether the tenant was told to stand still.
    stopped: [bool; SLOTS],
    turns: Turns,
}

/// Findings of a look at an engine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    /// Somebody gave it work since the last look.
    pub(crate) used: bool,
    /// Several best-effort tenants may have to take turns.
    pub(crate) contested: bool,
}

impl EngineShare {
    pub(crate) fn new(gpu: usize, engine: Engine) -> Self {
        let demands = Box::new([Demand::default(); SLOTS]);
        EngineShare { gpu, engine, demands, stopped: [false; SLOTS], turns: Turns::new(TURN) }
    }

    /// Looks at the engine and gives every tenant its order.
    /// Best-effort kernels stand still while they are `paused` for a target.
    pub(crate) fn turn(&mut self, layout: &Layout, live: &[Live], paused: bool, now: Nanos) -> Found {
        let mut found = Found::default();
        let (gpu, engine) = (self.gpu, self.engine);
        let mut slots = Vec::new();
        let mut sharers = Vec::new();
        for tenant in live {
            let slot = &layout.slots[tenant.slot];
            let Some(class) = tenant.class.filter(|_| takes_part(slot, gpu, engine)) else {
                self.leave(layout, tenant.slot);
                continue;
            };
            let demand = &mut self.demands[tenant.slot];
            found.used |= demand.look(engine, submitted(slot, gpu, engine), self.stopped[tenant.slot], now);
            let can_stop = matches!(slot.tenant.groups(gpu, engine).means(), Means::SlicesAndStops | Means::Gate);
            slots.push((tenant.slot, tenant.weight));
            sharers.push(Sharer { class, weight: tenant.weight, active: demand.is_active(), can_stop });
        }
        let shares = shares(engine, &sharers);
        let takers: Vec<_> = slots
            .iter()
            .zip(&shares)
            .filter(|((slot, _), share)| share.takes_turns && self.demands[*slot].wants())
            .map(|(&taker, _)| taker)
            .collect();
        let turn = self.turns.at(&takers, now);
        let paused = paused && engine == Engine::Graphics;
        for ((&(slot, _), share), sharer) in slots.iter().zip(&shares).zip(&sharers) {
            let waits = turn.is_some_and(|turn| turn != slot) && takers.iter().any(|&(taker, _)| taker == slot);
            let stands_still = waits || (paused && sharer.class == Class::Be && sharer.can_stop);
            self.stopped[slot] = stands_still;
            layout.slots[slot].orders.give(gpu, engine, share.slice_us, stands_still.then_some(now + STOP));
        }
        found.contested = sharers.iter().any(|sharer| sharer.class == Class::Ls)
            && sharers.iter().filter(|sharer| sharer.class == Class::Be).count() > 1;
        found
    }

    /// A tenant has no part in this engine (any more).
    fn leave(&mut self, layout: &Layout, slot: usize) {
        layout.slots[slot].orders.give(self.gpu, self.engine, None, None);
        self.stopped[slot] = false;
    }

    /// Forgets a tenant that is gone.
    pub(crate) fn forget(&mut self, slot: usize) {
        self.demands[slot] = Demand::default();
        self.stopped[slot] = false;
        self.turns.forget(slot);
    }
}

/// Whether the tenant has groups on the engine, and they are to be governed.
fn takes_part(slot: &Slot, gpu: usize, engine: Engine) -> bool {
    let governed = engine == Engine::Graphics || slot.tenant.copies.load(Ordering::Relaxed) != 0;
    governed && slot.tenant.groups(gpu, engine).count() > 0
}

/// Work that the tenant ever submitted: bytes over the bus, or launches, which are not counted by GPU.
fn submitted(slot: &Slot, gpu: usize, engine: Engine) -> u64 {
    let tenant = &slot.tenant;
    let [one, other] = match engine {
        Engine::Copy => [&tenant.moved[gpu][0], &tenant.moved[gpu][1]],
        Engine::Graphics => [&tenant.launches, &tenant.graph_launches],
    };
    one.load(Ordering::Relaxed).wrapping_add(other.load(Ordering::Relaxed))
}
