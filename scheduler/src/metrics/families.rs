//! A snapshot in the OpenMetrics text format.
//!
//! The snapshot is a collector of `prometheus-client`, whose encoder writes names, labels and numbers. The counters lie
//! in the region, so there is nothing to keep between two scrapes, and the ready-made families are not used.

use crate::snapshot::{BusState, Snapshot, TenantState};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::collections::HashSet;
use std::fmt;

/// Labels of one sample, by name.
type Labels = Vec<(&'static str, String)>;

/// The snapshot as text.
pub(super) fn page(snapshot: Snapshot) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(snapshot)));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Page(Snapshot);

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut families = Families { encoder };
        arbiter(&mut families, &self.0)?;
        buses(&mut families, &self.0.bus)?;
        tenants(&mut families, &self.0.tenants)
    }
}

fn arbiter(families: &mut Families, Snapshot { arbiter, maps, .. }: &Snapshot) -> fmt::Result {
    let alone = |value: f64| [(Labels::new(), value)];
    families.gauge("missile_up", "Whether an arbiter holds the region.", None, alone(arbiter.is_some().into()))?;
    let uptime = arbiter.as_ref().map_or(0.0, |arbiter| arbiter.uptime_s);
    families.gauge("missile_uptime", "For how long the arbiter runs.", Some(Unit::Seconds), alone(uptime))?;
    for (name, help, count) in [
        ("missile_maps_used", "UVM maps that all tenants hold.", maps.used),
        ("missile_maps_budget", "UVM maps that all tenants together may hold.", maps.budget),
        ("missile_maps_guaranteed", "UVM maps that each tenant may hold whatever the others do.", maps.guaranteed),
    ] {
        families.gauge(name, help, None, [(Labels::new(), count)])?;
    }
    Ok(())
}

fn buses(families: &mut Families, buses: &[BusState]) -> fmt::Result {
    let labels = |bus: &BusState| vec![("gpu", bus.gpu.to_string()), ("direction", bus.dir.to_owned())];
    let bytes = buses.iter().map(|bus| (labels(bus), bus.bytes));
    families.counter("missile_bus", "Bytes moved over a GPU's bus.", Some(Unit::Bytes), bytes)?;
    let busy = buses.iter().map(|bus| (labels(bus), bus.busy_ratio));
    let ratio = Some(Unit::Other("ratio".to_owned()));
    families.gauge("missile_bus_busy", "Traffic of the last second against the busiest second seen.", ratio, busy)
}

fn tenants(families: &mut Families, tenants: &[TenantState]) -> fmt::Result {
    let tenants = &Tenants::without_doubles(tenants);
    families.info("missile_tenant", "What a tenant is and how it stands.", tenants.each(about))?;
    let mut gauge = |name, help, unit, value: fn(&TenantState) -> u64| {
        families.gauge(name, help, unit, tenants.each(|tenant| (Labels::new(), value(tenant))))
    };
    let bytes = Some(Unit::Bytes);
    gauge("missile_tenant_colored", "Bytes allocated on the tenant's color.", bytes.clone(), |t| t.colored_bytes)?;
    gauge("missile_tenant_uncolored", "Bytes that stayed as the driver made them.", bytes.clone(), |t| {
        t.uncolored_bytes
    })?;
    gauge("missile_tenant_maps", "UVM maps that the tenant holds.", None, |t| t.maps)?;
    gauge("missile_tenant_weight", "The tenant's weight among its class.", None, |t| t.weight.into())?;

    let copied = tenants.every(|tenant| {
        let moved = [("h2d", tenant.h2d_bytes), ("d2h", tenant.d2h_bytes), ("d2d", tenant.d2d_bytes)];
        moved.map(|(direction, bytes)| (vec![("direction", direction.to_owned())], bytes)).into()
    });
    let help = "Bytes that the tenant copied to devices, from them and within their memory.";
    families.counter("missile_tenant_copied", help, bytes.clone(), copied)?;
    let mut counter = |name, help, unit, value: fn(&TenantState) -> u64| {
        families.counter(name, help, unit, tenants.each(|tenant| (Labels::new(), value(tenant))))
    };
    counter("missile_tenant_slice_calls", "Time slices set.", None, |t| t.slice_calls)?;
    counter("missile_tenant_launches", "Kernels launched.", None, |t| t.launches)?;
    counter("missile_tenant_graph_launches", "Graphs launched.", None, |t| t.graph_launches)?;
    let help = "Calls that were noticed to reach the driver past the preloaded library.";
    counter("missile_tenant_bypassed_calls", help, None, |t| t.bypassed)?;
    let passed = tenants
        .every(|tenant| tenant.passed.iter().map(|(why, &count)| (vec![("why", (*why).to_owned())], count)).collect());
    let help = "Governed calls that passed through as they were, by reason.";
    families.counter("missile_tenant_passed_calls", help, None, passed)?;

    let engine = |name: &'static str| vec![("engine", name.to_owned())];
    let slices = tenants.every(|tenant| {
        let set = tenant.slice_us.named().into_iter();
        set.filter_map(|(name, slice)| Some((engine(name), f64::from((*slice)?) / 1e6))).collect()
    });
    let help = "The longest turn of the tenant's channel groups on an engine, where one was set.";
    families.gauge("missile_tenant_slice", help, Some(Unit::Seconds), slices)?;
    let held = tenants.every(|tenant| tenant.held_ms.named().map(|(name, ms)| (engine(name), ms / 1e3)).into());
    let help = "For how long the tenant's channel groups stood still while others had their turns.";
    families.counter("missile_tenant_held", help, Some(Unit::Seconds), held)
}

/// What is said of a tenant in words.
fn about(tenant: &TenantState) -> (Labels, ()) {
    let or = |value: Option<u32>, none: &str| value.map_or_else(|| none.to_owned(), |value| value.to_string());
    let labels =
        vec![("color", or(tenant.color, "none")), ("sms", or(tenant.sms, "all")), ("state", tenant.state.to_owned())];
    (labels, ())
}

/// Tenants that can be told apart.
struct Tenants<'a>(Vec<(Labels, &'a TenantState)>);

impl<'a> Tenants<'a> {
    /// A slot may name any process. A second one that calls itself the same would make the whole page invalid.
    fn without_doubles(tenants: &'a [TenantState]) -> Self {
        let mut seen = HashSet::new();
        let named = tenants.iter().map(|tenant| (names(tenant), tenant));
        Tenants(named.filter(|(names, _)| seen.insert(names.clone())).collect())
    }

    /// One sample of each.
    fn each<V>(&self, sample: impl Fn(&TenantState) -> (Labels, V)) -> impl Iterator<Item = (Labels, V)> {
        self.every(move |tenant| vec![sample(tenant)])
    }

    /// Some samples of each.
    fn every<V>(&self, samples: impl Fn(&TenantState) -> Vec<(Labels, V)>) -> impl Iterator<Item = (Labels, V)> {
        self.0.iter().flat_map(move |(names, tenant)| {
            samples(tenant).into_iter().map(|(labels, value)| ([names.clone(), labels].concat(), value))
        })
    }
}

fn names(tenant: &TenantState) -> Labels {
    let class = tenant.class.unwrap_or("none");
    vec![("pid", tenant.pid.to_string()), ("name", tenant.name.clone()), ("class", class.to_owned())]
}

struct Families<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Families<'_> {
    fn counter<V: prometheus_client::encoding::EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        samples: impl IntoIterator<Item = (Labels, V)>,
    ) -> fmt::Result {
        self.family(name, help, unit, MetricType::Counter, samples, |mut sample, value| {
            sample.encode_counter::<NoLabelSet, V, f64>(&value, None)
        })
    }

    fn gauge<V: prometheus_client::encoding::EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        samples: impl IntoIterator<Item = (Labels, V)>,
    ) -> fmt::Result {
        self.family(name, help, unit, MetricType::Gauge, samples, |mut sample, value| sample.encode_gauge(&value))
    }

    fn info(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Labels, ())>) -> fmt::Result {
        self.family(name, help, None, MetricType::Info, samples, |mut sample, ()| sample.encode_info(&Labels::new()))
    }

    fn family<V>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        kind: MetricType,
        samples: impl IntoIterator<Item = (Labels, V)>,
        encode: impl Fn(MetricEncoder, V) -> fmt::Result,
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
        samples.into_iter().try_for_each(|(labels, value)| encode(family.encode_family(&labels)?, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::MapState;

    fn tenant(pid: u32, name: &str) -> TenantState {
        TenantState { pid, name: name.to_owned(), class: Some("be"), ..TenantState::default() }
    }

    fn page_of(tenants: Vec<TenantState>) -> String {
        let maps = MapState { used: 1, budget: 2, guaranteed: 3 };
        page(Snapshot { arbiter: None, bus: Vec::new(), maps, tenants }).unwrap()
    }

    #[test]
    fn a_name_cannot_break_out_of_its_label() {
        let page = page_of(vec![tenant(7, "a\"} 1\nmissile_up 1\\")]);
        let expected = r#"missile_tenant_maps{pid="7",name="a\"} 1\nmissile_up 1\\",class="be"} 0"#;
        assert!(page.lines().any(|line| line == expected), "{page}");
        assert_eq!(page.lines().filter(|line| line.starts_with("missile_up ")).collect::<Vec<_>>(), ["missile_up 0.0"]);
    }

    #[test]
    fn a_tenant_that_calls_itself_as_another_is_shown_once() {
        let page = page_of(vec![tenant(7, "a"), tenant(7, "a"), tenant(7, "b")]);
        assert_eq!(page.matches("missile_tenant_maps{").count(), 2);
    }
}
