//! The order in which slices and SMs are shown, and what each slice looks like to each SM.

use crate::passes::PER_CYCLE;
use crate::{Finding, Layout};
use std::ops::Range;

/// A layout put in order.
#[derive(Debug)]
pub(super) struct Ordered<'a> {
    /// The layout.
    pub(super) layout: &'a Layout,
    /// Slices by side, then as rings have them, then by number.
    pub(super) slices: Vec<u32>,
    /// Rows of the measurement by side, then by `%smid`.
    pub(super) rows: Vec<usize>,
    /// Whether the layout's side 0 is side 1 of the side's function, which is what all else goes by.
    flipped: bool,
}

impl<'a> Ordered<'a> {
    /// `None` where a finding has no layout.
    pub(super) fn of(finding: &'a Finding) -> Option<Ordered<'a>> {
        let layout = finding.layout.as_ref()?;
        let structure = &layout.structure;
        let ring_place = |slice: u32| {
            let rings = structure.rings.iter().enumerate();
            let places = rings.filter_map(|(ring, of)| of.iter().position(|&on| on == slice).map(|at| (ring, at)));
            places.min().unwrap_or((usize::MAX, 0))
        };
        let mut ordered =
            Ordered { layout, slices: Vec::new(), rows: Vec::new(), flipped: is_flipped(finding, layout) };
        let mut slices: Vec<u32> = (0..structure.slices as u32).collect();
        slices.sort_by_cached_key(|&slice| (last(ordered.side_of_slice(slice)), ring_place(slice), slice));
        let mut rows: Vec<usize> = (0..layout.latencies.smids.len()).collect();
        rows.sort_by_key(|&row| (last(ordered.side_of_row(row)), layout.latencies.smids[row]));
        (ordered.slices, ordered.rows) = (slices, rows);
        Some(ordered)
    }

    pub(super) fn side_of_slice(&self, slice: u32) -> Option<u32> {
        self.side(*self.layout.structure.sides.as_ref()?.of_slice.get(slice as usize)?)
    }

    pub(super) fn side_of_row(&self, row: usize) -> Option<u32> {
        self.side(*self.layout.structure.sides.as_ref()?.of_row.get(row)?)
    }

    pub(super) fn side_of_line(&self, line: usize) -> Option<u32> {
        self.side(self.layout.structure.sides.as_ref()?.of_line.get(line).copied())
    }

    fn side(&self, of_layout: Option<u32>) -> Option<u32> {
        of_layout.map(|side| side ^ u32::from(self.flipped))
    }

    /// The latencies that one SM sees, in cycles.
    pub(super) fn cycles(&self, row: usize) -> impl Iterator<Item = f64> + '_ {
        let lines = self.layout.lines.len();
        let cycles = self.layout.latencies.cycles.iter().skip(row * lines).take(lines);
        cycles.map(|&units| f64::from(units) / f64::from(PER_CYCLE))
    }

    /// By slice: the mean latency that one SM sees, in cycles; `None` for a slice without lines.
    pub(super) fn means(&self, row: usize) -> Vec<Option<f64>> {
        let mut sums = vec![(0.0, 0u32); self.layout.structure.slices];
        for (cycles, slice) in self.cycles(row).zip(&self.layout.structure.slice_of_line) {
            if let Some(sum) = slice.and_then(|slice| sums.get_mut(slice as usize)) {
                *sum = (sum.0 + cycles, sum.1 + 1);
            }
        }
        sums.into_iter().map(|(sum, count)| (count > 0).then(|| sum / f64::from(count))).collect()
    }
}

/// Runs of the same side, in order.
pub(super) fn runs(sides: impl Iterator<Item = Option<u32>>) -> Vec<(Option<u32>, Range<usize>)> {
    let mut runs: Vec<(Option<u32>, Range<usize>)> = Vec::new();
    for (at, side) in sides.enumerate() {
        match runs.last_mut() {
            Some((of, run)) if *of == side => run.end = at + 1,
            _ => runs.push((side, at..at + 1)),
        }
    }
    runs
}

/// Whether most lines are on the other side by the side's function than the layout says, which numbers sides by its
/// lowest line.
fn is_flipped(finding: &Finding, layout: &Layout) -> bool {
    let function = finding.levels.iter().find(|level| level.name == "side").and_then(|level| level.function());
    let (Some(function), Some(sides)) = (function, &layout.structure.sides) else { return false };
    let of_lines = layout.lines.iter().zip(&sides.of_line);
    let same = of_lines.filter(|&(&line, &side)| function.class_of(line) == Some(side)).count();
    2 * same < layout.lines.len()
}

/// The sort key of a side: one that is not known comes last.
fn last(side: Option<u32>) -> u32 {
    side.unwrap_or(u32::MAX)
}
