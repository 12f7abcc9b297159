//! This process as a tenant: its place in the region, the GPUs that it uses, and which of its calls are its own.

pub(crate) mod activity;
pub(crate) mod gpus;
pub(crate) mod membership;
pub(crate) mod reentry;
