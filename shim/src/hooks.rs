//! The hooks, by class. Each announces what the call is, decides, and forwards to the driver.

pub(crate) mod alloc;
pub(crate) mod copy_async;
pub(crate) mod copy_sync;
pub(crate) mod free;
pub(crate) mod graph;
pub(crate) mod init;
pub(crate) mod launch;
pub(crate) mod resolver;
