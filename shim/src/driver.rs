//! The driver as this library uses it: its functions, what it is asked, and what is known of its objects.

pub(crate) mod calls;
pub(crate) mod capture;
pub(crate) mod contexts;
pub(crate) mod loader;
pub(crate) mod null_stream;
pub(crate) mod objects;
pub(crate) mod query;
pub(crate) mod streams;
