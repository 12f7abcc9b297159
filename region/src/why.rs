//! The reasons for which governed calls pass through, and their counters.

use crate::shared::Shared;
use crate::sync::{AtomicU64, Ordering};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident $text:literal,)*) => {
        /// The reason for which a governed call passed through. Decisions, counters and `top` share these.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Why {
            $($(#[$doc])* $variant,)*
        }

        impl Why {
            /// All of them, in the order of their counters.
            pub const ALL: [Why; [$($text),*].len()] = [$(Why::$variant),*];

            /// The word for it in JSON and messages.
            pub const fn name(self) -> &'static str {
                match self { $(Why::$variant => $text,)* }
            }
        }
    };
}

reasons! {
    /// The process did not join a region, is a forked child of one that did, or is switched off.
    NotJoined "not_joined",
    /// No GPU is current, or the region has no entry left for it.
    UnknownGpu "unknown_gpu",
    /// Colouring is off for this process, for the reason in the tenant's colour state.
    ColoringOff "coloring_off",
    /// The allocation is smaller or larger than the settings allow.
    OutsideSizes "outside_sizes",
    /// The driver did not map the allocation as one whole object of its own.
    NotOneObject "not_one_object",
    /// The object does not lie in one stretch of VRAM.
    NotContiguous "not_contiguous",
    /// The object's memory may be compressed, which excludes smaller pages.
    Compressible "compressible",
    /// Other GPUs see the range too.
    SharedWithPeers "shared_with_peers",
    /// The machine's map budget has no room.
    OverBudget "over_budget",
    /// There is not enough free VRAM of the right colour.
    NoDonor "no_donor",
    /// The kernel refused a map call; the range is as the driver made it.
    MapFailed "map_failed",
    /// The copy does not cross the bus.
    OffTheBus "off_the_bus",
    /// The memory is handed out of the process.
    Exported "exported",
    /// The memory may leave the process by a handle, or is of a special kind (compressible, for other devices).
    Exportable "exportable",
    /// The pager could not try itself out yet: no context is current, or a stream is being captured.
    Unproven "unproven",
    /// The library itself failed; the process goes on as without Missile.
    Fault "fault",
    /// A launch that should carry an SM mask went without, as masks are off for this process.
    MasksOff "masks_off",
    /// A launch that should carry an SM mask went without, as not all of its blocks that must run together have place
    /// under it.
    LargerThanMask "larger_than_mask",
    /// A launch that should carry an SM mask went without, as the driver does not say which of its blocks must run together.
    UnknownShape "unknown_shape",
    /// The driver let a launch go without the SM mask that it should carry.
    MaskNotTaken "mask_not_taken",
}

/// The number of calls that passed through, by reason. Written by the tenant; there is room for more reasons than there are.
#[repr(transparent)]
pub struct Passed([AtomicU64; 24]);

// SAFETY: transparent atomics.
unsafe impl Shared for Passed {}

const _: () = assert!(Why::ALL.len() <= 24);

impl Passed {
    /// Tenant: counts one call.
    pub fn count(&self, why: Why) {
        self.0[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Each reason that occurred, with its count.
    pub fn counts(&self) -> impl Iterator<Item = (Why, u64)> {
        let counted = |why: Why| (why, self.0[why as usize].load(Ordering::Relaxed));
        Why::ALL.into_iter().map(counted).filter(|&(_, count)| count > 0)
    }

    pub(crate) fn clear(&self) {
        for word in &self.0 {
            word.store(0, Ordering::Relaxed);
        }
    }
}
