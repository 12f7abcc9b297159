//! The tenants that the arbiter knows: who came, who lives, and who is gone.

mod death;
mod join;

pub(crate) use death::{DeathWatch, EndOnDrop};
pub(crate) use join::{Live, Members};
