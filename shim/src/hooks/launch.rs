//! Launches of kernels and of graphs: counted, and forwarded.

use crate::life;
use abi::cuda::CUresult;

#[inline]
pub(crate) fn kernel(forward: impl FnOnce() -> CUresult) -> CUresult {
    life::count(|tenant| &tenant.launches);
    forward()
}

#[inline]
pub(crate) fn graph(forward: impl FnOnce() -> CUresult) -> CUresult {
    life::count(|tenant| &tenant.graph_launches);
    forward()
}
