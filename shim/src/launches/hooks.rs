//! The hooks of launches: counted, and forwarded.

use crate::tenant::membership;
use abi::cuda::CUresult;

/// A kernel is launched.
#[inline]
pub(crate) fn kernel(forward: impl FnOnce() -> CUresult) -> CUresult {
    membership::submitted(|tenant| &tenant.launches);
    forward()
}

/// A graph is launched.
#[inline]
pub(crate) fn graph(forward: impl FnOnce() -> CUresult) -> CUresult {
    membership::submitted(|tenant| &tenant.graph_launches);
    forward()
}
