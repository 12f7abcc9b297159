//! The reasons for which a probe ends without colours, or without a finding.

use crate::colors::NoColors;
use crate::{BenchError, Kind, Mask};
use units::Bytes;

/// A reason for which a GPU's pages have only one colour.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Uncolorable {
    /// The latencies are not of two kinds.
    #[error(
        "the latencies form one group, not a near and a far one (separation {separation:.1}, 3 is needed): either the \
         L2 has one side, or other work disturbed the probe"
    )]
    OneHump {
        /// Distance of the groups' means over the sum of their standard deviations.
        separation: f64,
    },
    /// One kind of latency is rare.
    #[error("{:.0} % of the lines are far, but two sides hold about half each", 100.0 * .far_share)]
    Unbalanced {
        /// The share of far lines.
        far_share: f64,
    },
    /// Near and far lines differ from SM to SM.
    #[error("only {agreeing} of {sms} SMs agree on which lines belong together")]
    SmsDisagree {
        /// The number that agree.
        agreeing: usize,
        /// The number that were asked.
        sms: usize,
    },
    /// Near and far follow no XOR.
    #[error("near and far lines follow no XOR of physical address bits")]
    NoXor,
    /// The best mask does not hold.
    #[error("the best mask {mask} holds on {:.2} % of {held_out} other lines only, 99.9 % are needed", 100.0 * .accuracy)]
    Inaccurate {
        /// The mask.
        mask: Mask,
        /// The share of lines it holds on.
        accuracy: f64,
        /// The number of those lines.
        held_out: usize,
    },
    /// A level holds, but no page keeps to a part of its classes.
    #[error("the hash of the {level}s is known, but {reason}")]
    Pages {
        /// The level.
        level: &'static str,
        /// The reason.
        reason: NoColors,
    },
    /// No function of the slices holds.
    #[error(
        "the best function of the {level}s, a {kind}, foretells {:.2} % of {held_out} other units only, 99.9 % are \
         needed", 100.0 * .accuracy
    )]
    Unusable {
        /// The level.
        level: &'static str,
        /// The form of the function.
        kind: Kind,
        /// The share of lines that it foretells.
        accuracy: f64,
        /// The number of those units.
        held_out: usize,
    },
    /// There is not even a lookup.
    #[error("no function of the {level}s was found")]
    Unsolved {
        /// The level.
        level: &'static str,
    },
}

/// A reason for which a probe found nothing out.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The lines could not be timed.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The memory has fewer lines than asked for.
    #[error("the memory to probe has {lines} lines of 128 B but {wanted} are asked for: free memory, or ask for fewer")]
    TooLittleMemory {
        /// Lines that there are.
        lines: u64,
        /// Lines that are asked for.
        wanted: usize,
    },
    /// Some address bits do not vary in the memory at hand.
    #[error(
        "only {free} of the GPU's {vram} can be looked at, and {hidden} of the {bits} address bits that may count do not \
         vary in it, so the hash would hold for a part of the memory only: end the programs that use the GPU, then \
         probe again"
    )]
    TooFull {
        /// Memory at hand.
        free: Bytes,
        /// Memory of the GPU.
        vram: Bytes,
        /// Independent bits that cannot be seen.
        hidden: usize,
        /// Bits that may count.
        bits: usize,
    },
    /// No lines are asked for.
    #[error("samples, held-out lines and tries must all be at least 1")]
    NothingAsked,
    /// A measurement has another shape than asked for.
    #[error("{cells} latencies came back where {blocks} times {lines} were asked for: this is a fault of the bench")]
    WrongShape {
        /// Latencies that came.
        cells: usize,
        /// Blocks that were asked for.
        blocks: u32,
        /// Lines that were asked for.
        lines: usize,
    },
}
