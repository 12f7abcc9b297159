//! The pages that stand for those of another colour.

pub(crate) mod donors;
pub(crate) mod overlay;
mod plan;
