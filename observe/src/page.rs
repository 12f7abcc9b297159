//! A snapshot in the OpenMetrics text format.
//!
//! The snapshot is a collector of `prometheus-client`, whose encoder writes names, labels and numbers. The counters lie
//! in the region, so there is nothing to keep between two scrapes, and the ready-made families are not used.

use crate::figure::{Described, Figure, Kind, Label, Metric, Unit};
use crate::snapshot::Snapshot;
use crate::value::Value;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit as Suffix};
use std::collections::HashSet;
use std::fmt;

/// Labels of one sample, by name.
type Labels = Vec<(&'static str, String)>;

/// The snapshot as text.
pub(crate) fn page(snapshot: Snapshot) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(snapshot)));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Page(Snapshot);

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Snapshot { arbiter, bus, maps, tenants } = &self.0;
        let help = "Whether an arbiter holds the region.";
        encoder
            .encode_descriptor("missile_up", help, None, MetricType::Gauge)?
            .encode_gauge(&f64::from(arbiter.is_some()))?;
        families(&mut encoder, arbiter.as_slice())?;
        families(&mut encoder, std::slice::from_ref(maps))?;
        families(&mut encoder, bus)?;
        families(&mut encoder, tenants)
    }
}

/// Writes the families of all figures of a kind of thing.
fn families<T: Described>(encoder: &mut DescriptorEncoder, things: &[T]) -> fmt::Result {
    let things = &distinct(things);
    let mut written = HashSet::new();
    for figure in T::FIGURES {
        match figure.metric {
            Some(Metric::Info(family, ..)) if written.insert(family) => {
                let help = "Facts about it in words.";
                let mut info = encoder.encode_descriptor(family, help, None, MetricType::Info)?;
                for (identity, thing) in things {
                    let labels = [identity.clone(), facts(*thing, family)].concat();
                    info.encode_family(&labels)?.encode_info(&Labels::new())?;
                }
            }
            Some(Metric::Samples { kind, family, .. }) if written.insert(family) => {
                let members: Vec<_> = T::FIGURES.iter().filter(|other| is_of(other, family)).collect();
                let help = members.iter().map(|member| member.help).collect::<Vec<_>>().join(" ");
                let suffix = figure.unit.base().0.map(|unit| Suffix::Other(unit.to_owned()));
                let kind_of_metric = match kind {
                    Kind::Gauge => MetricType::Gauge,
                    Kind::Counter => MetricType::Counter,
                };
                let mut samples = encoder.encode_descriptor(family, &help, suffix.as_ref(), kind_of_metric)?;
                for (identity, thing) in things {
                    for (labels, value) in members.iter().flat_map(|member| samples_of(member, *thing)) {
                        write(samples.encode_family(&[identity.clone(), labels].concat())?, kind, value)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The things that can be told apart, with the labels that do so. A slot may name any process: a second one that calls
/// itself the same would make the whole page invalid.
fn distinct<T: Described>(things: &[T]) -> Vec<(Labels, &T)> {
    let mut seen = HashSet::new();
    let identity = |thing| {
        let labels = T::FIGURES.iter().filter_map(|figure| match figure.metric? {
            Metric::Identity(label) => Some((label, (figure.value)(thing).text_or("none"))),
            _ => None,
        });
        labels.collect::<Labels>()
    };
    let named = things.iter().map(|thing| (identity(thing), thing));
    named.filter(|(identity, _)| seen.insert(identity.clone())).collect()
}

/// The labels of a thing's info metric.
fn facts<T: Described>(thing: &T, family: &str) -> Labels {
    let labels = T::FIGURES.iter().filter_map(|figure| match figure.metric? {
        Metric::Info(of, label, none) if of == family => Some((label, (figure.value)(thing).text_or(none))),
        _ => None,
    });
    labels.collect()
}

fn is_of<T>(figure: &Figure<T>, family: &str) -> bool {
    matches!(figure.metric, Some(Metric::Samples { family: of, .. }) if of == family)
}

/// A figure's samples: one, or one for each part that there is.
fn samples_of<T>(figure: &Figure<T>, thing: &T) -> Vec<(Labels, Value)> {
    let value = (figure.value)(thing);
    let samples = match (figure.metric, value) {
        (Some(Metric::Samples { label: Label::Part(name), .. }), Value::Each(parts)) => {
            parts.into_iter().map(|(key, part)| (vec![(name, key.to_owned())], part)).collect()
        }
        (Some(Metric::Samples { label: Label::Fixed(name, text), .. }), value) => {
            vec![(vec![(name, text.to_owned())], value)]
        }
        (_, value) => vec![(Labels::new(), value)],
    };
    samples.into_iter().filter_map(|(labels, value)| Some((labels, in_base_unit(value, figure.unit)?))).collect()
}

/// A number in the unit of its metric; whole where it was and that unit is its own.
fn in_base_unit(value: Value, unit: Unit) -> Option<Value> {
    match unit.base().1 {
        1.0 => value.number().map(|_| value),
        parts => value.number().map(|number| Value::Real(number / parts)),
    }
}

fn write(mut sample: MetricEncoder, kind: Kind, value: Value) -> fmt::Result {
    match (kind, value) {
        (Kind::Gauge, Value::Count(count)) => sample.encode_gauge(&count),
        (Kind::Gauge, value) => sample.encode_gauge(&value.number().unwrap_or_default()),
        (Kind::Counter, Value::Count(count)) => sample.encode_counter::<NoLabelSet, _, f64>(&count, None),
        (Kind::Counter, value) => {
            sample.encode_counter::<NoLabelSet, _, f64>(&value.number().unwrap_or_default(), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{MapState, TenantState};

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
