//! The arbiter's life: one loop over the region until it is asked to end.

use crate::aims::{Aims, works};
use crate::error::ArbiterError;
use crate::members::{DeathWatch, EndOnDrop, Live, Members};
use crate::publish::{Publisher, Tables, Utilization};
use crate::recent::Last;
use crate::share::EngineShare;
use crate::stop::Stop;
use crate::times::LOOK;
use crate::wakeup::{Activity, Pause, Wakeup};
use region::{Class, Direction, Engine, GPUS, Layout, Region, SLOTS, Shares, SlotSet, monotonic_nanos};
use std::any::Any;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;
use units::Nanos;

/// The UVM maps that all tenants together may hold unless the operator says otherwise: three quarters of what the
/// kernel has handles for.
pub const DEFAULT_MAP_BUDGET: u64 = 384 * 1024;

/// The number of tenants with a guaranteed share of the maps unless the operator says otherwise.
pub const DEFAULT_MAP_TENANTS: u64 = 4;

/// Work beside the arbiter. It is started with the region's path once the region is held, and before the arbiter says that
/// it is there, and ends when what the function returned is dropped.
pub type Beside = Box<dyn FnOnce(&Path) -> Result<Box<dyn Any>, Box<dyn Error + Send + Sync>> + Send>;

/// The operator's wishes of an arbiter.
pub struct Options {
    /// The region's file; its folder exists.
    pub region: PathBuf,
    /// The number of UVM maps that all tenants together may hold.
    pub map_budget: u64,
    /// The number of tenants with a guaranteed share of half of them.
    pub map_tenants: u64,
    /// Work for which the region must be held, such as serving figures of it.
    pub beside: Beside,
    /// The source of the channel hashes.
    pub tables: Box<dyn Tables>,
}

impl Options {
    /// The usual options for a region at this path.
    pub fn new(region: PathBuf, tables: Box<dyn Tables>) -> Self {
        let (map_budget, map_tenants) = (DEFAULT_MAP_BUDGET, DEFAULT_MAP_TENANTS);
        Options { region, map_budget, map_tenants, beside: nothing(), tables }
    }
}

fn nothing() -> Beside {
    Box::new(|_| Ok(Box::new(())))
}

/// Acts as the arbiter until `stop` is requested; then removes the region's file. A region that a dead arbiter left is taken
/// over with the tenants in it, unless the map budget is to be shared in a way that what they hold does not allow.
pub fn run(mut options: Options, stop: &Stop) -> Result<(), ArbiterError> {
    let shares = Shares { budget: options.map_budget, tenants: options.map_tenants };
    if !(1..=SLOTS as u64).contains(&shares.tenants) {
        return Err(ArbiterError::MapTenants { tenants: shares.tenants });
    }
    if shares.guaranteed() == 0 {
        return Err(ArbiterError::MapBudget { budget: shares.budget, tenants: shares.tenants });
    }
    let watch = DeathWatch::new(stop)?;
    let region = Region::create(&options.region)?;
    share_maps(&region, shares, &watch)?;
    let path = region.path().to_owned();
    let ended = thread::scope(|scope| {
        let _end = EndOnDrop(&watch);
        let layout = region.layout();
        thread::Builder::new()
            .name("missile-watch".to_owned())
            .spawn_scoped(scope, || watch.ring_until_end(&layout.header.doorbell))
            .map_err(|error| ArbiterError::Watch { what: "thread", error })?;
        let beside = std::mem::replace(&mut options.beside, nothing());
        let _beside = beside(&path).map_err(ArbiterError::Beside)?;
        Arbiter::new(&region, options, &watch).run_until(stop);
        Ok(())
    });
    let removed = region.remove().map_err(|error| ArbiterError::Remove { path, error });
    ended.and(removed)
}

/// Shares the map budget like this. What a former arbiter's tenants hold was admitted by the shares of then, which are
/// not asked about again; beside other shares it must leave all of them free, or they and the budget could not both hold.
fn share_maps(region: &Region, shares: Shares, watch: &DeathWatch) -> Result<(), ArbiterError> {
    let layout = region.layout();
    let former = layout.map_shares();
    if shares == former {
        return Ok(());
    }
    // An image that went under no arbiter holds nothing any more.
    let mut members = Members::new();
    members.meet(layout, watch, &mut |_| ());
    members.part(region, &mut |_| ());
    // First, so that what is charged by the former shares meanwhile is among what is counted.
    layout.share_maps(shares);
    let held = layout.slots.iter().filter(|slot| slot.pid().is_some());
    match shares.cover(held.map(|slot| slot.tenant.maps.load(Ordering::SeqCst))) {
        true => Ok(()),
        false => {
            layout.share_maps(former);
            Err(ArbiterError::MapsHeld { budget: former.budget, tenants: former.tenants })
        }
    }
}

struct Arbiter<'a> {
    region: &'a Region,
    watch: &'a DeathWatch,
    members: Members,
    /// By GPU: its engines, the two directions of its bus, and the targets of its tenants.
    gpus: Vec<([EngineShare; 2], [Utilization; 2], Aims)>,
    publisher: Publisher,
    wakeup: Wakeup,
    parted: Last,
}

impl<'a> Arbiter<'a> {
    fn new(region: &'a Region, options: Options, watch: &'a DeathWatch) -> Self {
        let layout = region.layout();
        let header = &layout.header;
        header.started.store(monotonic_nanos(), Ordering::Relaxed);
        let used = |gpu, direction| Utilization::new(std::array::from_fn(|slot| moved(layout, slot, gpu, direction)));
        let gpu = |gpu| {
            let engines = Engine::ALL.map(|engine| EngineShare::new(gpu, engine));
            (engines, Direction::ALL.map(|direction| used(gpu, direction)), Aims::new(gpu))
        };
        // Last: a process that sees it sees the rest, and what tenants move from then on is counted.
        header.arbiter_pid.store(std::process::id(), Ordering::Release);
        Arbiter {
            region,
            watch,
            members: Members::new(),
            gpus: (0..GPUS).map(gpu).collect(),
            publisher: Publisher::new(options.tables),
            wakeup: Wakeup::default(),
            parted: Last::default(),
        }
    }

    fn run_until(mut self, stop: &Stop) {
        let layout = self.region.layout();
        let bell = &layout.header.doorbell;
        while !stop.is_requested() {
            let now = Nanos::new(monotonic_nanos());
            let found = self.turn(now);
            match self.wakeup.after(found, now) {
                Pause::Nap(limit) => bell.nap(limit, || self.has_news(stop)),
                Pause::Sleep(limit) => bell.sleep(Some(limit), || self.has_news(stop)),
            }
        }
        for (gpu, class) in layout.header.gpus.iter().flat_map(|gpu| [(gpu, Class::Ls), (gpu, Class::Be)]) {
            gpu.set_tenants(class, SlotSet::default());
            gpu.allow(None, Nanos::ZERO);
        }
        // Tenants that still map the region go back to the driver's own slices.
        for (slot, gpu) in layout.slots.iter().flat_map(|slot| (0..GPUS).map(move |gpu| (slot, gpu))) {
            Engine::ALL.into_iter().for_each(|engine| slot.orders.give(gpu, engine, None, None));
        }
    }

    fn turn(&mut self, now: Nanos) -> Activity {
        let layout = self.region.layout();
        let joined = self.notice_members(now);
        self.publisher.turn(layout, joined, now);
        self.members.read(layout);
        let live = self.members.live();
        let mut activity = Activity { has_tenants: !live.is_empty(), ..Activity::default() };
        for (gpu, (engines, buses, aims)) in self.gpus.iter_mut().enumerate() {
            let entry = &layout.header.gpus[gpu];
            if entry.key().is_none() {
                continue;
            }
            for class in [Class::Ls, Class::Be] {
                let works =
                    |tenant: &&Live| tenant.class == Some(class) && layout.slots[tenant.slot].activity.is_on(gpu);
                entry.set_tenants(class, live.iter().filter(works).map(|tenant| tenant.slot).collect());
            }
            let aimed = aims.turn(layout, live, now);
            activity.aims |= aimed.any;
            activity.contested |= aimed.pauses;
            // By the tenants' own word too: kernels under MPS are in no group of theirs.
            let on_it = live.iter().filter(|tenant| layout.slots[tenant.slot].activity.is_on(gpu));
            activity.used |= on_it.into_iter().any(|tenant| works(layout, tenant.slot, now));
            for engine in engines {
                let found = engine.turn(layout, live, aimed.paused, now);
                activity.used |= found.used;
                activity.contested |= found.contested;
            }
            for (direction, bus) in Direction::ALL.into_iter().zip(buses) {
                live.iter().for_each(|tenant| bus.look(tenant.slot, moved(layout, tenant.slot, gpu, direction), now));
                activity.shows_busy |= bus.publish(entry.bus(direction), now);
            }
        }
        self.members.welcome(layout);
        activity
    }

    /// Takes in new members and lets those go that are gone. True if there are new ones.
    fn notice_members(&mut self, now: Nanos) -> bool {
        let gpus = &mut self.gpus;
        let mut forget = |slot| {
            for (engines, buses, aims) in gpus.iter_mut() {
                aims.forget(slot);
                engines.iter_mut().for_each(|engine| engine.forget(slot));
                buses.iter_mut().for_each(|bus| bus.forget(slot));
            }
        };
        let joined = self.members.meet(self.region.layout(), self.watch, &mut forget);
        // With each newcomer too, as it may be another image of a process that had a slot.
        if self.watch.take_deaths() || joined || !self.parted.is_within(LOOK, now) {
            self.parted.note(now);
            self.members.part(self.region, &mut forget);
        }
        joined
    }

    fn has_news(&self, stop: &Stop) -> bool {
        stop.is_requested() || self.watch.has_deaths() || self.members.has_news(self.region.layout())
    }
}

/// The bytes that the tenant in a slot says it moved.
fn moved(layout: &Layout, slot: usize, gpu: usize, direction: Direction) -> u64 {
    layout.slots[slot].tenant.moved[gpu][direction as usize].load(Ordering::Relaxed)
}
