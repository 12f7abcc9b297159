//! The arbiter's life: one loop over the region until it is asked to end.

use crate::error::ArbiterError;
use crate::meter::Meter;
use crate::share::EngineShare;
use crate::stop::Stop;
use crate::tables::{Publisher, Tables};
use crate::tenants::Tenants;
use crate::wakeup::{Activity, Pause, Wakeup};
use crate::watch::{DeathWatch, EndOnDrop};
use region::{Direction, Engine, GPUS, Layout, Region, SLOTS, Shares, monotonic_nanos};
use std::any::Any;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;
use units::Nanos;

/// How many UVM maps all tenants together may hold unless the operator says otherwise: three quarters of what the
/// kernel has handles for.
pub const DEFAULT_MAP_BUDGET: u64 = 384 * 1024;

/// How many tenants have a guaranteed share of the maps unless the operator says otherwise.
pub const DEFAULT_MAP_TENANTS: u64 = 4;

/// How often new claims are looked for while the arbiter is awake, and how often it looks for deaths by itself.
const CLAIMS: Nanos = Nanos::from_millis(1);
const DEATHS: Nanos = Nanos::from_millis(1000);

/// Work beside the arbiter. It is started with the region's path once the region is held, and before the arbiter says that
/// it is there, and ends when what the function returned is dropped.
pub type Beside = Box<dyn FnOnce(&Path) -> Result<Box<dyn Any>, Box<dyn Error + Send + Sync>> + Send>;

/// How the arbiter is to run.
pub struct Options {
    /// The region's file; its folder exists.
    pub region: PathBuf,
    /// How many UVM maps all tenants together may hold.
    pub map_budget: u64,
    /// How many tenants have a guaranteed share of half of them.
    pub map_tenants: u64,
    /// Work for which the region must be held, such as serving figures of it.
    pub beside: Beside,
    /// Where the channel hashes come from.
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

/// Is the arbiter until `stop` is requested; then removes the region's file. A region that a dead arbiter left is taken
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
    share_maps(region.layout(), shares, &watch)?;
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
        Arbiter::new(layout, options, &watch).run_until(stop);
        Ok(())
    });
    let removed = region.remove().map_err(|error| ArbiterError::Remove { path, error });
    ended.and(removed)
}

/// Shares the map budget like this. What a former arbiter's tenants hold was admitted by the shares of then, which are
/// not asked about again; beside other shares it must leave all of them free, or they and the budget could not both hold.
fn share_maps(layout: &Layout, shares: Shares, watch: &DeathWatch) -> Result<(), ArbiterError> {
    let former = layout.map_shares();
    if shares == former {
        return Ok(());
    }
    // Who died under no arbiter holds nothing any more.
    let mut tenants = Tenants::new();
    tenants.notice_claims(layout, watch, &mut |_| ());
    tenants.reap(layout, watch, &mut |_| ());
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
    layout: &'a Layout,
    watch: &'a DeathWatch,
    tenants: Tenants,
    /// By GPU: its engines, and the two directions of its bus.
    gpus: Vec<([EngineShare; 2], [Meter; 2])>,
    publisher: Publisher,
    wakeup: Wakeup,
    claims_noticed: Option<Nanos>,
    deaths_noticed: Option<Nanos>,
}

impl<'a> Arbiter<'a> {
    fn new(layout: &'a Layout, options: Options, watch: &'a DeathWatch) -> Self {
        let header = &layout.header;
        let now = monotonic_nanos();
        header.started.store(now, Ordering::Relaxed);
        header.heartbeat.store(now, Ordering::Relaxed);
        let meter = |gpu, direction| Meter::new(std::array::from_fn(|slot| moved(layout, slot, gpu, direction)));
        let gpu = |gpu| {
            let engines = Engine::ALL.map(|engine| EngineShare::new(gpu, engine));
            (engines, Direction::ALL.map(|direction| meter(gpu, direction)))
        };
        // Last: who sees it sees the rest, and what tenants move from then on is counted.
        header.arbiter_pid.store(std::process::id(), Ordering::Release);
        Arbiter {
            layout,
            watch,
            tenants: Tenants::new(),
            gpus: (0..GPUS).map(gpu).collect(),
            publisher: Publisher::new(options.tables),
            wakeup: Wakeup::default(),
            claims_noticed: None,
            deaths_noticed: None,
        }
    }

    fn run_until(mut self, stop: &Stop) {
        while !stop.is_requested() {
            let now = Nanos::new(monotonic_nanos());
            let found = self.turn(now);
            match self.wakeup.after(found, now) {
                Pause::Nap(limit) => self.layout.header.doorbell.nap(limit, || self.has_news(stop)),
                Pause::Sleep(limit) => {
                    // A bell rings for a reason: whatever it is, the next turn looks at everything.
                    self.claims_noticed = None;
                    self.layout.header.doorbell.sleep(Some(limit), || self.has_news(stop));
                }
            }
        }
        // Whoever still maps the region goes back to the driver's own slices.
        for (slot, gpu) in self.layout.slots.iter().flat_map(|slot| (0..GPUS).map(move |gpu| (slot, gpu))) {
            Engine::ALL.into_iter().for_each(|engine| slot.orders.give(gpu, engine, None, None));
        }
    }

    fn turn(&mut self, now: Nanos) -> Activity {
        let layout = self.layout;
        layout.header.heartbeat.store(now.get(), Ordering::Relaxed);
        let joined = self.notice_tenants(now);
        self.publisher.turn(layout, joined, now);
        self.tenants.read(layout);
        let live = self.tenants.live();
        let mut activity = Activity { has_tenants: !live.is_empty(), ..Activity::default() };
        for (gpu, (engines, meters)) in self.gpus.iter_mut().enumerate() {
            let entry = &layout.header.gpus[gpu];
            if entry.key().is_none() {
                continue;
            }
            for engine in engines {
                let found = engine.turn(layout, live, now);
                activity.used |= found.used;
                activity.contested |= found.contested;
            }
            for (direction, meter) in Direction::ALL.into_iter().zip(meters) {
                live.iter().for_each(|tenant| meter.look(tenant.slot, moved(layout, tenant.slot, gpu, direction), now));
                activity.shows_busy |= meter.publish(entry.bus(direction), now);
            }
        }
        activity
    }

    /// Notices who came and who died. True if somebody came.
    fn notice_tenants(&mut self, now: Nanos) -> bool {
        let due = |last: Option<Nanos>, every| last.is_none_or(|last| now.saturating_sub(last) >= every);
        let (layout, gpus) = (self.layout, &mut self.gpus);
        let mut forget = |slot| {
            for (engines, meters) in gpus.iter_mut() {
                engines.iter_mut().for_each(|engine| engine.forget(slot));
                meters.iter_mut().for_each(|meter| meter.forget(slot));
            }
        };
        let mut joined = false;
        if due(self.claims_noticed, CLAIMS) {
            self.claims_noticed = Some(now);
            joined = self.tenants.notice_claims(layout, self.watch, &mut forget);
        }
        if self.watch.take_deaths() || due(self.deaths_noticed, DEATHS) {
            self.deaths_noticed = Some(now);
            self.tenants.reap(layout, self.watch, &mut forget);
        }
        joined
    }

    fn has_news(&self, stop: &Stop) -> bool {
        stop.is_requested() || self.watch.has_deaths() || self.tenants.has_news(self.layout)
    }
}

/// The bytes that the tenant in a slot says it moved.
fn moved(layout: &Layout, slot: usize, gpu: usize, direction: Direction) -> u64 {
    layout.slots[slot].tenant.moved[gpu][direction as usize].load(Ordering::Relaxed)
}
