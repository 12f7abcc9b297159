//! Applying the arbiter's orders to this process's groups, on the helper thread.

use crate::base::log::{info, warning};
use crate::base::shield;
use crate::rm::call::Status;
use crate::rm::control::{self, Handle, Subdevice};
use crate::rm::groups::{Group, Known, known, look_again};
use crate::tenant::membership::Joined;
use abi::rm::{NV_ERR_INVALID_CLIENT, NV_ERR_OBJECT_NOT_FOUND};
use region::{Engine, GPUS, GpuKey, Means};
use settings::CopyChoice;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use units::Nanos;

/// The one who applies orders: what it did to the groups, and what it knows of them.
#[derive(Default)]
pub(crate) struct Applier {
    states: HashMap<Handle, State>,
    /// By engine: what can be done, once it was tried; and how often that came to nothing.
    means: [Option<Means>; 2],
    failures: [u32; 2],
    /// By GPU and engine: what the region was told last.
    told: [[(usize, Option<Means>); 2]; GPUS],
    slot: Option<usize>,
}

/// The state of one group, as it was left.
struct State {
    gpu: usize,
    subdevice: Subdevice,
    /// The slice that the group had before an order's was set, in microseconds.
    original_us: u64,
    /// Whether the group was tried, so that a slice of the driver's may have been lost meanwhile.
    tried: bool,
    /// The order's slice that holds.
    applied: Option<u32>,
    /// The number of slices that the driver's library had set by then.
    asked: u32,
    stopped: Option<Stopped>,
}

/// The slice of a new group on any engine, in microseconds (kernel_fifo_gv100.c:46 of 580.142: 128 << 3).
const DEFAULT_US: u64 = 1024;

/// The channels that stand still, and since when.
struct Stopped {
    since: Nanos,
    channels: Vec<u32>,
}

/// The outcome of one turn.
#[derive(Default)]
pub(crate) struct Turn {
    /// The end of the stop that ends first.
    pub(crate) next: Option<Nanos>,
    /// Whether anything is other than the driver's own.
    pub(crate) changed: bool,
    /// Whether copies have to be held back on the host.
    pub(crate) gated: bool,
}

impl Applier {
    /// Does what the orders say now, or puts all back as the driver had it where there are `no_orders`.
    pub(crate) fn turn(&mut self, joined: &Joined, no_orders: bool, now: Nanos) -> Turn {
        let Known { groups, subdevices } = known().clone();
        if !groups.is_empty() && !no_orders {
            shield::on_purpose("panic-orders");
        }
        self.states.retain(|handle, _| groups.iter().any(|group| group.handle == *handle));
        if self.slot.replace(joined.slot) != Some(joined.slot) {
            self.told = Default::default();
        }
        let (mut counts, mut held) = ([[0; 2]; GPUS], [[Nanos::ZERO; 2]; GPUS]);
        let (mut next, mut changed) = (None::<Nanos>, false);
        for group in &groups {
            let Some(gpu) = self.meet(joined, group, &subdevices) else { continue };
            counts[gpu][group.engine as usize] += 1;
            let (until, stood_still) = self.follow(joined, group, no_orders, now);
            // The groups of one engine stand still together, and their time counts once.
            let held = &mut held[gpu][group.engine as usize];
            *held = stood_still.max(*held);
            next = [next, until].into_iter().flatten().min();
            changed |= self.states.get(&group.handle).is_some_and(|s| s.applied.is_some() || s.stopped.is_some());
        }
        for (gpu, engine) in (0..GPUS).flat_map(|gpu| Engine::ALL.map(|engine| (gpu, engine))) {
            joined.tenant().groups(gpu, engine).add_held(held[gpu][engine as usize]);
        }
        self.tell(joined, &counts);
        Turn { next, changed, gated: self.means[Engine::Copy as usize] == Some(Means::Gate) }
    }

    /// Looks at a group that may be new; the region's index of its GPU.
    fn meet(&mut self, joined: &Joined, group: &Group, subdevices: &[Subdevice]) -> Option<usize> {
        let state = match self.states.entry(group.handle) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let belongs = |sub: &&Subdevice| sub.handle.client == group.handle.client && sub.device == group.device;
                let subdevice = *subdevices.iter().find(belongs)?;
                let gpu = joined.region.layout().gpu_index(GpuKey::from_uuid(control::uuid(&subdevice).ok()?))?;
                let asked = group.asked;
                new.insert(State {
                    gpu,
                    subdevice,
                    original_us: DEFAULT_US,
                    tried: false,
                    applied: None,
                    asked,
                    stopped: None,
                })
            }
        };
        let means = &mut self.means[group.engine as usize];
        // A group that has no channels yet is tried later.
        if means.is_none() && !group.channels.is_empty() {
            state.tried = true;
            let found = try_out(group, &state.subdevice);
            let failures = &mut self.failures[group.engine as usize];
            *failures += u32::from(found == Some(Means::Nothing));
            let settled = found.filter(|&found| found != Means::Nothing || *failures >= TRIALS);
            let Some(found) = settled else {
                look_again();
                return None;
            };
            if found == Means::Nothing {
                let engine = group.engine.name();
                warning!("the kernel refuses time slices ({engine}): tenants share that engine as without Missile");
            }
            *means = Some(means_of(group.engine, found, joined.settings.copies));
        }
        Some(state.gpu)
    }

    /// Brings one group to what its order says. Returns when its stop ends, and for how long it stood still until now.
    fn follow(&mut self, joined: &Joined, group: &Group, no_orders: bool, now: Nanos) -> (Option<Nanos>, Nanos) {
        let means = self.means[group.engine as usize].unwrap_or(Means::Unknown);
        let Some(state) = self.states.get_mut(&group.handle) else { return (None, Nanos::ZERO) };
        let order = joined.slot().orders.of(state.gpu, group.engine);
        let said = joined.tenant().groups(state.gpu, group.engine);
        let (slice, until) = match no_orders {
            true => (None, None),
            false => (order.slice_us(), order.stop_until(now)),
        };
        if matches!(means, Means::Slices | Means::SlicesAndStops) && state.needs(slice, group.asked) {
            if state.applied.is_none() && slice.is_some() {
                // Only now: the driver's library sets its own as the last thing that it does for a new context.
                state.original_us = control::slice(group.node, group.handle).unwrap_or(DEFAULT_US);
            }
            let own = group.drivers_us.unwrap_or(state.original_us);
            let micros = slice.map_or(own, u64::from);
            let set = control::set_slice(group.node, group.handle, micros);
            // What the kernel says that it has, and not what was asked for.
            match set.and_then(|()| control::slice(group.node, group.handle)) {
                Ok(has) => said.note_slice(u32::try_from(has).unwrap_or(u32::MAX)),
                Err(status) => info!("a time slice of {micros} us was refused ({status})"),
            }
            (state.applied, state.asked) = (slice, group.asked);
        }
        if means != Means::SlicesAndStops {
            return (None, Nanos::ZERO);
        }
        let mut stood_still = Nanos::ZERO;
        match (until, state.stopped.take()) {
            (Some(_), None) => {
                let channels = group.channels.clone();
                match control::stop(&state.subdevice, &channels, true) {
                    Ok(()) => state.stopped = Some(Stopped { since: now, channels }),
                    // Perhaps a part of them stands still: that is undone at the next turn.
                    Err(_) => {
                        state.stopped =
                            Some(Stopped { since: now, channels }).filter(|s| !let_go(&state.subdevice, &s.channels))
                    }
                }
            }
            (None, Some(stopped)) => match let_go(&state.subdevice, &stopped.channels) {
                true => stood_still = now.saturating_sub(stopped.since),
                // Tried again at the next turn, which is not far: nobody may stand still for good.
                false => state.stopped = Some(stopped),
            },
            (_, stopped) => state.stopped = stopped,
        }
        (until.filter(|_| state.stopped.is_some()), stood_still)
    }

    /// Tells the region what groups there are, and the arbiter where that is news.
    fn tell(&mut self, joined: &Joined, counts: &[[usize; 2]; GPUS]) {
        let mut news = false;
        for (gpu, counts) in counts.iter().enumerate() {
            for engine in Engine::ALL {
                let now = (counts[engine as usize], self.means[engine as usize]);
                let told = &mut self.told[gpu][engine as usize];
                if *told != now {
                    *told = now;
                    joined.tenant().groups(gpu, engine).describe(now.0, now.1.unwrap_or(Means::Unknown));
                    news = true;
                }
            }
        }
        if news {
            joined.region.layout().header.doorbell.ring_loudly();
        }
    }
}

impl State {
    /// Whether the group's slice has to be set: another one is wanted, or the driver's library has set its own over it.
    fn needs(&self, slice: Option<u32>, asked: u32) -> bool {
        self.applied != slice || (self.asked != asked && (slice.is_some() || self.tried))
    }
}

/// Lets channels go on; whether all do that are still there. The kernel refuses a list with a channel that is gone as a
/// whole, so then each is let go alone: none may be left behind.
fn let_go(subdevice: &Subdevice, channels: &[u32]) -> bool {
    let alone = |channel: &u32| match control::stop(subdevice, std::slice::from_ref(channel), false) {
        Ok(()) => true,
        Err(status) => matches!(status.number(), NV_ERR_OBJECT_NOT_FOUND | NV_ERR_INVALID_CLIENT),
    };
    // Each is tried, whatever came of the one before it.
    control::stop(subdevice, channels, false).is_ok() || channels.iter().filter(|channel| !alone(channel)).count() == 0
}

/// The means by which tenants share an engine, where trying came to `found` and the operator chose `copies`.
fn means_of(engine: Engine, found: Means, copies: CopyChoice) -> Means {
    match (engine, copies, found) {
        (Engine::Copy, CopyChoice::Gate, _) | (Engine::Copy, CopyChoice::On, Means::Nothing) => Means::Gate,
        _ => found,
    }
}

/// The trials that have to fail before slices are taken to be refused.
const TRIALS: u32 = 3;

/// Finds out what can be done to groups by doing it to one: another slice, read back, and its own again; then letting go
/// channels that were never stopped. `None` where the driver's library freed the group meanwhile, or set a slice, which then
/// holds.
fn try_out(group: &Group, subdevice: &Subdevice) -> Option<Means> {
    let sliced = || -> Result<bool, Status> {
        let own = control::slice(group.node, group.handle)?;
        let other = (own / 2).max(1);
        control::set_slice(group.node, group.handle, other)?;
        let has = control::slice(group.node, group.handle);
        control::set_slice(group.node, group.handle, own)?;
        Ok(has? == other && control::slice(group.node, group.handle)? == own)
    };
    let sliced = sliced();
    let now = known().groups.iter().find(|now| now.handle == group.handle).cloned()?;
    if now.asked != group.asked {
        let _ = now.drivers_us.map(|micros| control::set_slice(group.node, group.handle, micros));
        return None;
    }
    Some(match sliced {
        Ok(true) => match control::stop(subdevice, &group.channels, false) {
            Ok(()) => Means::SlicesAndStops,
            Err(_) => Means::Slices,
        },
        _ => Means::Nothing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_held_back_on_the_host_only_where_slices_are_refused_or_it_is_asked_for() {
        use {CopyChoice::*, Means::*};
        let copies = |choice, found| means_of(Engine::Copy, found, choice);
        assert_eq!(copies(On, SlicesAndStops), SlicesAndStops);
        assert_eq!(copies(On, Nothing), Means::Gate);
        assert_eq!(copies(CopyChoice::Gate, SlicesAndStops), Means::Gate);
        assert_eq!(copies(Off, Nothing), Nothing);
    }

    #[test]
    fn kernels_are_never_held_back_on_the_host() {
        for choice in [CopyChoice::On, CopyChoice::Gate, CopyChoice::Off] {
            assert_eq!(means_of(Engine::Graphics, Means::Nothing, choice), Means::Nothing);
        }
    }
}
