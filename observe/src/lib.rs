//! The figures of the arbiter and its tenants, for people and for Prometheus.
//!
//! This crate exists so that `missile top`, `missile doctor`, the metrics and the documentation say the same: each figure
//! is described once, with its unit, its meaning and the place in the region where it is read, and JSON, table, OpenMetrics
//! and docs are made from that. It knows the region, as any onlooker does, and nothing of the arbiter, which carries on
//! whether anybody looks or not. It must never write to the region, trust a number that a tenant wrote, or serve
//! metrics where another machine could reach them.

pub mod exporter;
mod figure;
mod page;
mod snapshot;
mod table;
mod value;

pub use figure::{Described, Figure, Kind, Metric, Unit};
pub use snapshot::{ArbiterState, BusState, ByEngine, MapState, Snapshot, TenantState, snapshot};
pub use value::Value;
