//! SM masks of launches: the SMs that a best-effort launch leaves to latency-sensitive tenants.
//!
//! The driver announces each launch to those who follow its callbacks, before the GPU is told, and a mask that is written
//! into the announced descriptor holds for that launch alone. It is used on a GPU only once the self-test has seen it hold
//! there ([`prove`]). Any surprise switches masks off in this process, with one line of the log
//! (docs/decisions/masks.md).

mod announced;
mod decision;
mod scratch;
mod selftest;
pub(crate) mod shape;
mod state;
mod subscription;
mod tpcs;

pub(crate) use decision::{Choice, Shape, Together, which};
pub(crate) use selftest::prove;
pub(crate) use state::{Off, is_ready, why_off};
pub(crate) use tpcs::{End, Sms, TpcSet, Tpcs};

use crate::base::shield;
use crate::tenant::membership;
use abi::cuda::{CUDA_SUCCESS, CUresult};
use abi::qmd::TpcMask;
use announced::Written;
use region::Why;

/// Forwards a launch, or the upload of a graph, under a mask of [`Tpcs`]; whether all that was launched carries it, which
/// is counted where it does not. Not for a launch that is captured, which the driver does not announce.
#[inline]
pub(crate) fn with(mask: TpcMask, forward: impl FnOnce() -> CUresult) -> (CUresult, bool) {
    let (result, written) = announced::with(mask, forward);
    let is_kept = written.all();
    if !is_kept && result == CUDA_SUCCESS {
        not_kept(written);
    }
    (result, is_kept)
}

#[cold]
fn not_kept(written: Written) {
    membership::passed(Why::MaskNotTaken);
    if let Some(off) = written.off {
        shield::shielded(|| state::switch_off(off));
    }
}
