//! The arbiter: who copies next over the bus, who lives, and what there is to tell about it.
//!
//! This crate exists so that the tenants of a GPU share its bus by class and weight, and so that nothing a dead tenant
//! held stays held. It knows the region (the memory shared with the tenants), the clock and the processes of the
//! machine: [`run`] is the arbiter's whole life, [`FairQueue`] its policy as plain arithmetic, [`snapshot`] what an
//! onlooker sees. It knows nothing of CUDA, of how hashes are measured or stored ([`Tables`] brings them) or of the
//! command line. It must never trust a number that a tenant wrote, index by one, wait for a tenant without a bound, hold
//! a best-effort copy back for a latency-sensitive one that does not move, burn a core while nothing happens, or free
//! the place of a process that still lives.

mod arbiter;
mod bus;
mod error;
mod felt;
mod gate;
mod line;
mod meter;
mod metrics;
mod pace;
mod queue;
mod room;
mod sizer;
mod snapshot;
mod stop;
mod tables;
mod tenants;
mod watch;

pub use arbiter::{DEFAULT_MAP_BUDGET, DEFAULT_MAP_TENANTS, Options, run};
pub use error::ArbiterError;
pub use metrics::{MetricsAddress, MetricsAddressError, MetricsSocket, MetricsSocketError, metrics_of};
pub use queue::{FairQueue, VirtualTime, Want};
pub use snapshot::{ArbiterState, BusState, MapState, Snapshot, TenantState, snapshot};
pub use stop::Stop;
pub use tables::Tables;
