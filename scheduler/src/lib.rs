//! The arbiter: it gives each tenant its time slices of a GPU's engines, and knows which tenants live.
//!
//! This crate exists so that the tenants of a GPU share its engines by class and weight, and so that nothing a dead tenant
//! held stays held. It knows the region (the memory shared with the tenants), the clock and the processes of the machine:
//! [`run`] is the arbiter's whole life, [`shares`], [`Turns`] and [`Targets`] its policy as plain arithmetic. It knows
//! nothing of CUDA, of how hashes are measured or stored ([`Tables`] brings them) or of the command line, and it stands on
//! the way of no copy and no launch. It must never trust a number that a tenant wrote, index by one, wait for a tenant
//! without a bound, stop a tenant without saying when that ends, burn a core, or free the place of a process
//! that still lives.

mod aims;
mod arbiter;
mod error;
mod members;
mod publish;
mod recent;
mod share;
mod stop;
mod target;
mod times;
mod wakeup;

pub use arbiter::{Beside, DEFAULT_MAP_BUDGET, DEFAULT_MAP_TENANTS, Options, run};
pub use error::ArbiterError;
pub use publish::Tables;
pub use share::{Share, Sharer, Turns, shares};
pub use stop::Stop;
pub use target::{Allowance, Decision, Duty, Freedom, Kind, Reached, Report, Request, SIXTEENTHS, Target, Targets};
pub use times::{LEAST_SLICE, MOST_SLICE};
