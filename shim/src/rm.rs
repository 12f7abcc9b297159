//! The kernel's modules below the driver: their requests as types, and the channel groups of this process.

pub(crate) mod call;
pub(crate) mod control;
pub(crate) mod decode;
pub(crate) mod groups;
pub(crate) mod request;
pub(crate) mod version;
