//! The output of `missile probe --json`.

use crate::colors::PageColors;
use crate::{GpuEntry, Level, Tpcs};
use serde::Serialize;
use std::path::Path;

/// A table in the shape for programs; the keys are stable.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Report<'a> {
    /// The GPU.
    pub gpu: &'a GpuEntry,
    /// The largest page size at which a page has one colour.
    pub page_bytes: u64,
    /// How many colours there are.
    pub colors: u32,
    /// The level whose classes they follow.
    pub color_level: Option<&'a str>,
    /// The size below which all addresses are on the same slices.
    pub granule_bytes: Option<u64>,
    /// The size below which all addresses are on one slice.
    pub interleave_bytes: Option<u64>,
    /// How many L2 slices there are.
    pub slices: Option<u32>,
    /// Why there is only one colour, where there is.
    pub why_not: Option<&'a str>,
    /// The colours of every usable level at every page size.
    pub pages: &'a [PageColors],
    /// The levels of the channel hash.
    pub levels: &'a [Level],
    /// The near side of each SM by `%smid`, -1 where it is not known.
    pub sm_side: &'a [i32],
    /// The TPCs by their bits in a launch's mask.
    pub tpcs: Option<&'a Tpcs>,
    /// Why there are none, where they were looked for in vain.
    pub why_no_tpcs: Option<&'a str>,
    /// How long the probe took.
    pub seconds: f64,
    /// The path of the table, if it was saved.
    pub table: Option<&'a Path>,
}
