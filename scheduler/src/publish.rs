//! Publishing to tenants and onlookers: channel hashes, and the use of the buses.

mod tables;
mod utilization;

pub(crate) use tables::Publisher;
pub use tables::Tables;
pub(crate) use utilization::Utilization;
