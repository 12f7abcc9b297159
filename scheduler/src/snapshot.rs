//! What an onlooker sees of the arbiter and its tenants: for `top`, as JSON or as a table.

use region::{ColorState, Direction, Engine, Means, Region, Slot, Tenant};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use units::{Bytes, Nanos};

/// The state of the machine at one moment. The JSON keys are stable; more may be added.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// The arbiter, if one lives.
    pub arbiter: Option<ArbiterState>,
    /// The buses of the GPUs that anyone named.
    pub bus: Vec<BusState>,
    /// The machine's UVM maps.
    pub maps: MapState,
    /// The tenants, by slot.
    pub tenants: Vec<TenantState>,
}

/// A living arbiter.
#[derive(Clone, Debug, Serialize)]
pub struct ArbiterState {
    /// Its process id.
    pub pid: u32,
    /// For how long it runs.
    pub uptime_s: f64,
}

/// One direction of one GPU's bus.
#[derive(Clone, Debug, Serialize)]
pub struct BusState {
    /// The GPU's index in the region.
    pub gpu: usize,
    /// `h2d` or `d2h`.
    pub dir: &'static str,
    /// Bytes moved since the arbiter started.
    pub bytes: u64,
    /// Traffic of the last second against the busiest second seen, 0 to 1.
    pub busy_ratio: f64,
}

/// The machine's UVM maps.
#[derive(Clone, Debug, Serialize)]
pub struct MapState {
    /// Held by all tenants.
    pub used: u64,
    /// As many as they may hold.
    pub budget: u64,
    /// As many of them as each tenant may hold whatever the others do, while no more tenants are there than shares.
    pub guaranteed: u64,
}

/// One tenant, as it describes itself.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TenantState {
    /// Its process id.
    pub pid: u32,
    /// Its program.
    pub name: String,
    /// `ls` or `be`; null until it has said so.
    pub class: Option<&'static str>,
    /// Its weight among its class.
    pub weight: u32,
    /// Its colour, if it has one.
    pub color: Option<u32>,
    /// Bytes allocated on its colour.
    pub colored_bytes: u64,
    /// Bytes that stayed as the driver made them.
    pub uncolored_bytes: u64,
    /// Bytes copied to devices.
    pub h2d_bytes: u64,
    /// Bytes copied from devices.
    pub d2h_bytes: u64,
    /// Bytes copied within device memory.
    pub d2d_bytes: u64,
    /// The slices that its channel groups have, once any were set.
    pub slice_us: ByEngine<Option<u32>>,
    /// The means over its channel groups: `slices_and_stops`, `slices`, `gate`, `nothing`, or `unknown` while there are none.
    pub means: ByEngine<&'static str>,
    /// The number of times that slices were set.
    pub slice_calls: u64,
    /// For how long its groups stood still while others had their turns, in milliseconds.
    pub held_ms: ByEngine<f64>,
    /// Kernels launched.
    pub launches: u64,
    /// Graphs launched.
    pub graph_launches: u64,
    /// The SMs that it is confined to; null for all.
    pub sms: Option<u32>,
    /// `joining`, `coloured`, or why it is not coloured.
    pub state: &'static str,
    /// UVM maps held.
    pub maps: u64,
    /// Calls that were noticed to reach the driver without passing the preloaded library.
    pub bypassed: u64,
    /// The driver's function through which the last of them came.
    pub bypassed_by: Option<String>,
    /// Governed calls that passed through as they were, by reason.
    pub passed: BTreeMap<&'static str, u64>,
}

/// A figure for each engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ByEngine<T> {
    /// GR0, which runs kernels.
    pub gr: T,
    /// The copy engines.
    pub copy: T,
}

impl<T> ByEngine<T> {
    fn of(figure: impl Fn(Engine) -> T) -> Self {
        ByEngine { gr: figure(Engine::Graphics), copy: figure(Engine::Copy) }
    }

    /// The figures with their engines' names.
    pub fn named(&self) -> [(&'static str, &T); 2] {
        [(Engine::Graphics.name(), &self.gr), (Engine::Copy.name(), &self.copy)]
    }
}

/// Reads the state of the machine from the region, at `now` on the monotonic clock.
pub fn snapshot(region: &Region, now: Nanos) -> Snapshot {
    let layout = region.layout();
    let header = &layout.header;
    let started = Nanos::new(header.started.load(Ordering::Relaxed));
    let arbiter = region.arbiter_is_alive().then(|| ArbiterState {
        pid: header.arbiter_pid.load(Ordering::Acquire),
        uptime_s: now.saturating_sub(started).as_secs_f64(),
    });
    let in_use = header.gpus.iter().enumerate().filter(|(_, gpu)| gpu.key().is_some());
    let bus = in_use
        .flat_map(|(index, gpu)| {
            Direction::ALL.map(|direction| {
                let bus = gpu.bus(direction);
                BusState { gpu: index, dir: direction.name(), bytes: bus.bytes().get(), busy_ratio: bus.busy_ratio() }
            })
        })
        .collect();
    let shares = layout.map_shares();
    let maps = MapState { used: layout.maps_used(), budget: shares.budget, guaranteed: shares.guaranteed() };
    Snapshot { arbiter, bus, maps, tenants: layout.slots.iter().filter_map(tenant_state).collect() }
}

fn tenant_state(slot: &Slot) -> Option<TenantState> {
    let pid = slot.pid()?;
    let tenant = &slot.tenant;
    let number = |word: &AtomicU64| word.load(Ordering::Relaxed);
    let moved = |direction: Direction| {
        tenant.moved.iter().map(|gpu| Bytes::new(number(&gpu[direction as usize]))).sum::<Bytes>().get()
    };
    let class = tenant.class();
    let state = match (class, ColorState::from_code(tenant.color_state.load(Ordering::Relaxed))) {
        (None, _) => "joining",
        (_, Some(ColorState::On)) => "coloured",
        (_, Some(other)) => other.name(),
        (_, None) => "unknown",
    };
    Some(TenantState {
        pid,
        name: tenant.name(),
        class: class.map(region::Class::name),
        weight: tenant.weight(),
        color: Some(tenant.color.load(Ordering::Relaxed)).filter(|&color| class.is_some() && color != u32::MAX),
        colored_bytes: number(&tenant.colored_bytes),
        uncolored_bytes: number(&tenant.uncolored_bytes),
        h2d_bytes: moved(Direction::H2d),
        d2h_bytes: moved(Direction::D2h),
        d2d_bytes: number(&tenant.on_device),
        slice_us: ByEngine::of(|engine| groups(tenant, engine).find_map(|groups| groups.slice_us())),
        means: ByEngine::of(|engine| {
            let means = groups(tenant, engine).map(region::Groups::means).find(|&means| means != Means::Unknown);
            means.unwrap_or(Means::Unknown).name()
        }),
        slice_calls: Engine::ALL
            .into_iter()
            .flat_map(|engine| groups(tenant, engine))
            .map(|g| u64::from(g.calls()))
            .sum(),
        held_ms: ByEngine::of(|engine| groups(tenant, engine).map(|groups| groups.held().as_millis_f64()).sum()),
        launches: number(&tenant.launches),
        graph_launches: number(&tenant.graph_launches),
        sms: Some(tenant.sms.load(Ordering::Relaxed)).filter(|&sms| sms != 0),
        state,
        maps: number(&tenant.maps),
        bypassed: number(&tenant.bypassed),
        bypassed_by: Some(tenant.bypassed_by()).filter(|name| !name.is_empty()),
        passed: tenant.passed.counts().map(|(why, count)| (why.name(), count)).collect(),
    })
}

/// The tenant's groups on an engine, by GPU.
fn groups(tenant: &Tenant, engine: Engine) -> impl Iterator<Item = &region::Groups> {
    tenant.groups.iter().map(move |gpu| &gpu[engine as usize])
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.arbiter {
            Some(arbiter) => writeln!(f, "arbiter {}, up {:.0} s", arbiter.pid, arbiter.uptime_s)?,
            None => writeln!(f, "no arbiter runs: start one with `missile up`")?,
        }
        let MapState { used, budget, guaranteed } = self.maps;
        writeln!(f, "maps    {used} of {budget}, {guaranteed} guaranteed to a tenant")?;
        for bus in &self.bus {
            let (bytes, busy) = (Bytes::new(bus.bytes).to_string(), bus.busy_ratio * 100.0);
            writeln!(f, "gpu {} {}  {bytes:>10}  {busy:3.0} % busy", bus.gpu, bus.dir)?;
        }
        writeln!(
            f,
            "\n{:>8} {:<16} {:<5} {:>6} {:>5} {:>10} {:>10} {:>10} {:>10} {:>8} {:>8} {:>9} {:>10} {:>8} {:>4} {:>8}  STATE",
            "PID",
            "NAME",
            "CLASS",
            "WEIGHT",
            "COLOR",
            "COLORED",
            "UNCOLORED",
            "H2D",
            "D2H",
            "GR US",
            "COPY US",
            "HELD S",
            "LAUNCHES",
            "GRAPHS",
            "SMS",
            "BYPASSED"
        )?;
        for tenant in &self.tenants {
            let size = |bytes: u64| Bytes::new(bytes).to_string();
            let or = |value: Option<u32>, none: &str| value.map_or_else(|| none.to_owned(), |value| value.to_string());
            writeln!(
                f,
                "{:>8} {:<16.16} {:<5} {:>6} {:>5} {:>10} {:>10} {:>10} {:>10} {:>8} {:>8} {:>9.1} {:>10} {:>8} {:>4} {:>8}  {}",
                tenant.pid,
                tenant.name,
                tenant.class.unwrap_or("-"),
                tenant.weight,
                or(tenant.color, "-"),
                size(tenant.colored_bytes),
                size(tenant.uncolored_bytes),
                size(tenant.h2d_bytes),
                size(tenant.d2h_bytes),
                or(tenant.slice_us.gr, "-"),
                or(tenant.slice_us.copy, "-"),
                (tenant.held_ms.gr + tenant.held_ms.copy) / 1e3,
                tenant.launches,
                tenant.graph_launches,
                or(tenant.sms, "all"),
                tenant.bypassed,
                tenant.state,
            )?;
        }
        Ok(())
    }
}
