//! Memory: the program's allocations shown on pages of its colour, and on the driver's own again before they leave the
//! process.

pub(crate) mod account;
mod announce;
mod backing;
pub(crate) mod color;
mod decision;
mod extents;
mod headroom;
pub(crate) mod hooks;
mod intent;
mod ledger;
pub(crate) mod observe;
mod pager;
mod pools;
mod remap;
mod selftest;
mod share;
