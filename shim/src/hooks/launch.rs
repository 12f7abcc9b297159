//! Launches of kernels and of graphs: counted, and forwarded.

use crate::{ferry, life};
use abi::cuda::{CUlaunchConfig, CUresult};

#[inline]
pub(crate) fn kernel(forward: impl FnOnce() -> CUresult) -> CUresult {
    life::count(|tenant| &tenant.launches);
    forward()
}

/// A kernel that may need every SM at a time.
pub(crate) fn cooperative(forward: impl FnOnce() -> CUresult) -> CUresult {
    ferry::cooperates();
    kernel(forward)
}

/// cuda.h: `CU_LAUNCH_ATTRIBUTE_COOPERATIVE`, and the size of a `CUlaunchAttribute`.
const COOPERATIVE: u32 = 2;
const ATTRIBUTE_BYTES: usize = 72;

/// A kernel whose attributes may say that it is such a one.
///
/// # Safety
/// `config` is null or points to a configuration with as many attributes as it says.
#[inline]
pub(crate) unsafe fn configured(forward: impl FnOnce() -> CUresult, config: *const CUlaunchConfig) -> CUresult {
    // SAFETY: the function's contract; as the program may, unaligned.
    let attributes = (!config.is_null()).then(|| unsafe { config.read_unaligned() });
    if let Some(config) = attributes.filter(|config| !config.attrs.is_null()) {
        let kind = |index: usize| {
            // SAFETY: the function's contract; an attribute begins with its kind.
            unsafe { config.attrs.cast::<u8>().add(index * ATTRIBUTE_BYTES).cast::<u32>().read_unaligned() }
        };
        if (0..(config.numAttrs as usize).min(64)).any(|index| kind(index) == COOPERATIVE) {
            ferry::cooperates();
        }
    }
    kernel(forward)
}

#[inline]
pub(crate) fn graph(forward: impl FnOnce() -> CUresult) -> CUresult {
    life::count(|tenant| &tenant.graph_launches);
    forward()
}
