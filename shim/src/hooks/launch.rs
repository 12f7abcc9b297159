//! Launches of kernels and of graphs: counted, and forwarded.

use crate::{copies, graphs, life};
use abi::cuda::{CUgraphExec, CUresult};

#[inline]
pub(crate) fn kernel(forward: impl FnOnce() -> CUresult) -> CUresult {
    life::submitted(|tenant| &tenant.launches);
    forward()
}

/// A graph is launched; what its copies move counts as if they were made alone.
#[inline]
pub(crate) fn graph(forward: impl FnOnce() -> CUresult, exec: CUgraphExec) -> CUresult {
    life::submitted(|tenant| &tenant.graph_launches);
    match graphs::loads_of(exec) {
        None => forward(),
        Some(loads) => copies::together(|| loads, forward),
    }
}
