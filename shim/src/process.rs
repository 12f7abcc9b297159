//! The course of a process: its start, and the rounds of its helper thread. The only place that knows all wings.

mod rounds;
pub(crate) mod start;
