//! The effort of a probe: what it is asked for, the steps that it reports, and what it came to rest on.

use core::fmt;
use units::{Bytes, PhysAddr};

/// The thoroughness that is asked of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The number of lines that the side is solved from.
    pub samples: usize,
    /// The number of other lines that it is checked on.
    pub held_out: usize,
    /// The number of times that each of them is timed from each SM; the least latency counts.
    pub reps: u32,
    /// Whether slices and channels are looked for beside the side: that takes seconds instead of a part of one.
    pub slices: bool,
    /// Chooses the lines: the same seed on the same memory measures the same ones.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { samples: 8_192, held_out: 65_536, reps: 8, slices: true, seed: 1 }
    }
}

/// A step that a probe is about to take, or has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It will time so many lines.
    Measuring(usize),
    /// It has timed so many of them.
    Measured(usize),
    /// It sorts so many lines into slices.
    Sorting(usize),
    /// It solves for a function, from so many lines.
    Solving(usize),
    /// It finds the sides of so many SMs.
    PlacingSms(u32),
    /// It finds the bits of TPCs in launches' masks.
    FindingTpcs,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Progress::Measuring(_) | Progress::Measured(_) => f.write_str("timing lines"),
            Progress::Sorting(lines) => write!(f, "sorting {lines} lines into slices"),
            Progress::Solving(lines) => write!(f, "solving the hash from {lines} lines"),
            Progress::PlacingSms(sms) => write!(f, "finding the sides of {sms} SMs"),
            Progress::FindingTpcs => f.write_str("finding TPCs"),
        }
    }
}

/// The measurements that a probe rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// The number of lines that the side was to be solved from.
    pub samples: usize,
    /// The number of them that were left out because SMs disagreed.
    pub contested: usize,
    /// The number of other lines that it was checked on.
    pub held_out: usize,
    /// The number of those that were timed once more with four times the tries.
    pub measured_again: usize,
    /// The number of times that each line was timed from each SM.
    pub reps: u32,
    /// The number of lines that were timed to find slices and channels; 0 where none were found.
    pub slice_lines: usize,
    /// The number of units among them that look like no slice that was found; no accuracy counts them.
    pub strange_units: usize,
    /// The size of the memory that the lines were taken from.
    pub memory: Bytes,
    /// The highest line timed; whether bits above it count is not known.
    pub highest: PhysAddr,
}
