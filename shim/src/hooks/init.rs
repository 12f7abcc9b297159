//! `cuInit`: where a tenant's life begins.

use crate::life;
use abi::cuda::{CUDA_SUCCESS, CUresult};

pub(crate) fn begin(forward: impl FnOnce() -> CUresult) -> CUresult {
    match forward() {
        CUDA_SUCCESS => life::start(),
        failed => failed,
    }
}
