//! The tenants that the arbiter knows: those that came, those that live, and those that are gone.

mod death;
mod join;

pub(crate) use death::{DeathWatch, EndOnDrop};
pub(crate) use join::{Live, Members};
