//! A target instead of knobs: how free best-effort (BE) tenants may be beside latency-sensitive (LS) tenants that said how
//! much slower than alone they tolerate to be.
//!
//! [`Targets`] is one GPU's. It reads the requests that each LS tenant with a [`Target`] finished, learns online what the
//! tenant has alone ([`alone`], by kind of request: [`kinds`]), and steers one number, the [`Freedom`] of the BE tenants
//! ([`control`]), so that of a tenant's requests beside BE work one in a hundred takes longer than the target times the p99
//! of those alone. A pure function makes the knobs of that number ([`allowance`]). Where too few requests are alone by
//! themselves, BE tenants are held now and then for some to be so ([`probe`]).
//!
//! All is arithmetic on plain values and a clock that is passed in. The requests are numbers that tenants write: none of
//! them may do more than make BE tenants beside that tenant as strict as its target could.

mod allowance;
mod alone;
mod control;
mod kinds;
mod probe;
mod reached;
mod request;
mod targets;
mod tenant;

pub use allowance::{Allowance, Duty, Freedom, SIXTEENTHS};
pub use request::{Kind, Request, Target};
pub use targets::{Decision, Targets};
pub use tenant::{Reached, Report};
