//! Graph launches: counted, and forwarded.

use crate::life;
use abi::cuda::{CUgraphExec, CUresult, CUstream};

type Launch = unsafe extern "C" fn(CUgraphExec, CUstream) -> CUresult;

/// # Safety
/// As `cuGraphLaunch`.
#[allow(non_snake_case)]
pub(crate) unsafe fn cuGraphLaunch(real: Launch, graph: CUgraphExec, stream: CUstream) -> CUresult {
    life::count(|tenant| &tenant.graph_launches);
    // SAFETY: the caller's own arguments.
    unsafe { real(graph, stream) }
}

pub(crate) use cuGraphLaunch as cuGraphLaunch_ptsz;
