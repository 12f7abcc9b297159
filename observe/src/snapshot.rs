//! The state of the machine, as an onlooker reads it from the region: the one list of figures.

use crate::figure::{Column, Label, Metric, figures};
use crate::value::{ToValue, Value};
use region::{
    Activity, Bus, Class, ColorState, Direction, Engine, Groups, Header, Layout, Means, Orders, Reached, Region, Slot,
    Tenant,
};
use serde::Serialize;
use std::collections::BTreeMap;
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

/// Reads the state of the machine from the region, at `now` on the monotonic clock.
pub fn snapshot(region: &Region, now: Nanos) -> Snapshot {
    let layout = region.layout();
    let header = &layout.header;
    let arbiter = region.arbiter_is_alive().then(|| ArbiterState::read(&(header, now)));
    let in_use = header.gpus.iter().enumerate().filter(|(_, gpu)| gpu.key().is_some());
    let bus = in_use
        .flat_map(|(index, gpu)| {
            Direction::ALL.map(|direction| BusState::read(&(index, direction, gpu.bus(direction))))
        })
        .collect();
    let tenants = layout.slots.iter().filter_map(Occupied::of).map(|slot| TenantState::read(&slot)).collect();
    Snapshot { arbiter, bus, maps: MapState::read(layout), tenants }
}

figures! {
    /// A living arbiter.
    ArbiterState ("arbiter") from (&Header, Nanos):

    pid: u32, One, None, [], "Process id of the arbiter.",
    |(header, _)| header.arbiter_pid.load(Ordering::Acquire);

    uptime_s: f64, Seconds, Some(Metric::gauge("missile_uptime")), [], "Time since the arbiter started.",
    |(header, now)| now.saturating_sub(Nanos::new(header.started.load(Ordering::Relaxed))).as_secs_f64();
}

figures! {
    /// One direction of one GPU's bus.
    BusState ("bus[]") from (usize, Direction, &Bus):

    gpu: usize, One, Some(Metric::Identity("gpu")), [], "Index of the GPU in the region.", |(gpu, ..)| *gpu;

    dir: &'static str, One, Some(Metric::Identity("direction")), [], "Direction of the copies: `h2d` or `d2h`.",
    |(_, direction, _)| direction.name();

    bytes: u64, Bytes, Some(Metric::counter("missile_bus")), [], "Bytes moved since the arbiter started.",
    |(.., bus)| bus.bytes().get();

    busy_ratio: f64, Ratio, Some(Metric::gauge("missile_bus_busy")), [],
    "Traffic of the last second against the busiest second seen, 0 to 1.", |(.., bus)| bus.busy_ratio();
}

figures! {
    /// The machine's UVM maps.
    MapState ("maps") from Layout:

    used: u64, One, Some(Metric::gauge("missile_maps_used")), [], "UVM maps that all tenants hold.",
    |layout| layout.maps_used();

    budget: u64, One, Some(Metric::gauge("missile_maps_budget")), [], "UVM maps that all tenants together may hold.",
    |layout| layout.map_shares().budget;

    guaranteed: u64, One, Some(Metric::gauge("missile_maps_guaranteed")), [],
    "UVM maps that each tenant may hold whatever the others do, while there are no more tenants than shares.",
    |layout| layout.map_shares().guaranteed();
}

figures! {
    /// One tenant, as it describes itself.
    TenantState ("tenants[]") from Occupied<'_>:

    pid: u32, One, Some(Metric::Identity("pid")), [Column::right("PID", 8, count)], "Process id.", |slot| slot.pid;

    name: String, One, Some(Metric::Identity("name")), [Column::left("NAME", 16)], "Name of the program.",
    |slot| slot.tenant.name();

    class: Option<&'static str>, One, Some(Metric::Identity("class")), [Column::left("CLASS", 5)],
    "Class, `ls` or `be`; null (metrics: `none`) until the tenant has said it.", |slot| slot.class.map(Class::name);

    weight: u32, One, Some(Metric::gauge("missile_tenant_weight")), [Column::right("WEIGHT", 6, count)],
    "Weight among the tenants of the class.", |slot| slot.tenant.weight();

    color: Option<u32>, One, Some(Metric::Info("missile_tenant", "color", "none")), [Column::right("COLOR", 5, count)],
    "Colour; null (`none`) for a tenant without one.", |slot| slot.color();

    colored_bytes: u64, Bytes, Some(Metric::gauge("missile_tenant_colored")), [Column::right("COLORED", 10, size)],
    "Bytes allocated on the tenant's colour.", |slot| number(&slot.tenant.colored_bytes);

    uncolored_bytes: u64, Bytes, Some(Metric::gauge("missile_tenant_uncolored")),
    [Column::right("UNCOLORED", 10, size)],
    "Bytes that stayed as the driver made them.", |slot| number(&slot.tenant.uncolored_bytes);

    h2d_bytes: u64, Bytes, Some(COPIED.labelled(Label::Fixed("direction", "h2d"))), [Column::right("H2D", 10, size)],
    "Bytes copied to devices.", |slot| moved(slot.tenant, Direction::H2d);

    d2h_bytes: u64, Bytes, Some(COPIED.labelled(Label::Fixed("direction", "d2h"))), [Column::right("D2H", 10, size)],
    "Bytes copied from devices.", |slot| moved(slot.tenant, Direction::D2h);

    d2d_bytes: u64, Bytes, Some(COPIED.labelled(Label::Fixed("direction", "d2d"))), [],
    "Bytes copied within device memory.", |slot| number(&slot.tenant.on_device);

    slice_us: ByEngine<Option<u32>>, Micros, Some(Metric::gauge("missile_tenant_slice").labelled(Label::Part("engine"))),
    [Column::right("GR US", 8, |all| count(all.part("gr"))), Column::right("COPY US", 8, |all| count(all.part("copy")))],
    "Longest turn of the tenant's channel groups on an engine; null (no sample) until one was set.",
    |slot| ByEngine::of(|engine| slot.groups(engine).find_map(|groups| groups.slice_us()));

    means: ByEngine<&'static str>, One, None, [],
    "Means over the channel groups of an engine: `slices_and_stops`, `slices`, `gate`, `nothing`, or `unknown` while \
     there are none.",
    |slot| ByEngine::of(|engine| {
        let means = slot.groups(engine).map(Groups::means).find(|&means| means != Means::Unknown);
        means.unwrap_or(Means::Unknown).name()
    });

    slice_calls: u64, One, Some(Metric::counter("missile_tenant_slice_calls")), [],
    "Number of times that time slices were set.",
    |slot| {
        let groups = Engine::ALL.into_iter().flat_map(|engine| slot.groups(engine));
        groups.map(|groups| u64::from(groups.calls())).sum()
    };

    held_ms: ByEngine<f64>, Millis, Some(Metric::counter("missile_tenant_held").labelled(Label::Part("engine"))),
    [Column::right("HELD S", 9, |all| format!("{:.1}", sum(all) / 1e3))],
    "Time that the tenant's channel groups on an engine stood still while others had their turns.",
    |slot| ByEngine::of(|engine| slot.groups(engine).map(|groups| groups.held().as_millis_f64()).sum());

    launches: u64, One, Some(Metric::counter("missile_tenant_launches")), [Column::right("LAUNCHES", 10, count)],
    "Kernels launched.", |slot| number(&slot.tenant.launches);

    graph_launches: u64, One, Some(Metric::counter("missile_tenant_graph_launches")),
    [Column::right("GRAPHS", 8, count)],
    "Graphs launched.", |slot| number(&slot.tenant.graph_launches);

    launch_holds: u64, One, Some(Metric::counter("missile_tenant_launch_holds")), [],
    "Launches that waited for latency-sensitive work under MPS.", |slot| number(&slot.tenant.holds);

    launch_held_ms: f64, Millis, Some(Metric::counter("missile_tenant_launch_held")),
    [Column::right("LAUNCH S", 9, |held| format!("{:.1}", sum(held) / 1e3))],
    "Time for which launches waited for latency-sensitive work under MPS, those of several threads added up.",
    |slot| Nanos::new(number(&slot.tenant.held)).as_millis_f64();

    launches_let_go: u64, One, Some(Metric::counter("missile_tenant_launches_let_go")), [],
    "Launches that went on after the longest wait.", |slot| number(&slot.tenant.let_go);

    busy_streams: u64, One, Some(Metric::gauge("missile_tenant_busy_streams")), [],
    "Streams with work that is not known to be done.", |slot| slot.activity.streams().into();

    target: Option<f64>, One, None, [], "Factor of its p99 alone within which its p99 is to stay; null without one.",
    |slot| Some(slot.tenant.target.load(Ordering::Relaxed)).filter(|&target| target != 0).map(|target| f64::from(target) / 1e3);

    target_reached: &'static str, One, Some(Metric::Info("missile_tenant", "target", "none")), [],
    "Whether the target is kept: `none`, `learning`, `steered` or `not_reachable`.", |slot| slot.orders.aim.reached().name();

    reached_ratio: Option<f64>, One, Some(Metric::gauge("missile_tenant_reached_ratio")),
    [Column::right("P99 X", 7, |ratio| ratio.text_or("-"))],
    "The p99 of its requests beside best-effort work over the last 10 s, as a multiple of that alone; null while unknown.",
    |slot| slot.orders.aim.ratio();

    alone_ms: Option<f64>, Millis, Some(Metric::gauge("missile_tenant_alone")), [],
    "The p99 of its requests alone, where it has a target; null while unknown.",
    |slot| slot.orders.aim.alone().map(Nanos::as_millis_f64);

    freedom: Option<f64>, One, Some(Metric::gauge("missile_tenant_best_effort_freedom")), [],
    "The freedom that its target leaves best-effort tenants, 0 (strictest) to 1; null without a target.",
    |slot| (slot.orders.aim.reached() != Reached::NoTarget).then(|| slot.orders.aim.freedom());

    sms: Option<u32>, One, Some(Metric::Info("missile_tenant", "sms", "all")),
    [Column::right("SMS", 4, |sms| sms.text_or("all"))],
    "Number of SMs that the tenant is confined to; null (`all`) for all.",
    |slot| Some(slot.tenant.sms.load(Ordering::Relaxed)).filter(|&sms| sms != 0);

    maps: u64, One, Some(Metric::gauge("missile_tenant_maps")), [], "UVM maps that the tenant holds.",
    |slot| number(&slot.tenant.maps);

    bypassed: u64, One, Some(Metric::counter("missile_tenant_bypassed_calls")), [Column::right("BYPASSED", 8, count)],
    "Calls that were noticed to reach the driver past the preloaded library.", |slot| number(&slot.tenant.bypassed);

    bypassed_by: Option<String>, One, None, [],
    "Function of the driver through which the last of them came; null if there were none.",
    |slot| Some(slot.tenant.bypassed_by()).filter(|name| !name.is_empty());

    passed: BTreeMap<&'static str, u64>, One,
    Some(Metric::counter("missile_tenant_passed_calls").labelled(Label::Part("why"))), [],
    "Governed calls that passed through as they were, by reason.",
    |slot| slot.tenant.passed.counts().map(|(why, count)| (why.name(), count)).collect();

    state: &'static str, One, Some(Metric::Info("missile_tenant", "state", "unknown")), [Column::left("STATE", 0)],
    "`joining`, `coloured`, or why the tenant is not coloured.", |slot| slot.state();
}

/// The family that the copies of all directions are in.
const COPIED: Metric = Metric::counter("missile_tenant_copied");

/// A slot that a process has taken.
struct Occupied<'a> {
    pid: u32,
    /// The class, once the tenant has said it; before that most of the rest means nothing.
    class: Option<Class>,
    tenant: &'a Tenant,
    activity: &'a Activity,
    orders: &'a Orders,
}

impl<'a> Occupied<'a> {
    fn of(slot: &'a Slot) -> Option<Self> {
        Some(Occupied {
            pid: slot.pid()?,
            class: slot.tenant.class(),
            tenant: &slot.tenant,
            activity: &slot.activity,
            orders: &slot.orders,
        })
    }

    /// The tenant's groups on an engine, by GPU.
    fn groups(&self, engine: Engine) -> impl Iterator<Item = &'a Groups> {
        self.tenant.groups.iter().map(move |gpu| &gpu[engine as usize])
    }

    fn color(&self) -> Option<u32> {
        Some(self.tenant.color.load(Ordering::Relaxed)).filter(|&color| self.class.is_some() && color != u32::MAX)
    }

    fn state(&self) -> &'static str {
        match (self.class, ColorState::from_code(self.tenant.color_state.load(Ordering::Relaxed))) {
            (None, _) => "joining",
            (_, Some(ColorState::On)) => "coloured",
            (_, Some(other)) => other.name(),
            (_, None) => "unknown",
        }
    }
}

/// A value for each engine.
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
}

impl<T: ToValue> ToValue for ByEngine<T> {
    fn to_value(&self) -> Value {
        Value::Each(vec![(Engine::Graphics.name(), self.gr.to_value()), (Engine::Copy.name(), self.copy.to_value())])
    }
}

fn number(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

fn moved(tenant: &Tenant, direction: Direction) -> u64 {
    tenant.moved.iter().map(|gpu| Bytes::new(number(&gpu[direction as usize]))).sum::<Bytes>().get()
}

fn count(value: &Value) -> String {
    value.text_or("-")
}

fn size(value: &Value) -> String {
    match value {
        Value::Count(bytes) => Bytes::new(*bytes).to_string(),
        other => other.text_or("-"),
    }
}

fn sum(value: &Value) -> f64 {
    match value {
        Value::Each(parts) => parts.iter().filter_map(|(_, part)| part.number()).sum(),
        other => other.number().unwrap_or(0.0),
    }
}
