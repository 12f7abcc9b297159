//! The hooks of calls about memory.

pub(crate) mod alloc;
pub(crate) mod free;
pub(crate) mod share;
