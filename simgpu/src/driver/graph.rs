//! Graphs, which the simulated driver does not have.

use abi::cuda::*;

export! {
    fn cuGraphLaunch/cuGraphLaunch_ptsz[_default](_graph: CUgraphExec, _stream: CUstream) {
        Err(CUDA_ERROR_NOT_SUPPORTED)
    }
}
