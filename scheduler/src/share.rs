//! Sharing an engine's time: each tenant's time slice, and the tenants that stand still.
//!
//! [`policy`], [`turns`] and [`demand`] are arithmetic without a region; [`engine`] applies them to one engine of one GPU.

mod demand;
mod engine;
mod policy;
mod turns;

pub(crate) use engine::EngineShare;
pub use policy::{Share, Sharer, shares};
pub use turns::Turns;
