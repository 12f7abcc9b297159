//! Time slices: the arbiter's orders carried out on this process's channel groups.

mod apply;

pub(crate) use apply::{Applier, Turn};
