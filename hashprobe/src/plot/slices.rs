//! A heat map of the latency of each slice from each SM.

use super::order::{Ordered, runs};
use super::palette;
use super::svg::{Anchor, Svg};
use crate::Finding;
use std::collections::BTreeMap;

/// How many colours the map has.
const STEPS: usize = 48;
/// The height of the map, as far as its rows allow that.
const HEIGHT: f64 = 690.0;
/// The width of the rows' labels.
const LABELS: f64 = 56.0;
/// The gap between sides.
const GAP: f64 = 4.0;
/// The share of values that may lie beyond each end of the scale.
const BEYOND: f64 = 0.005;

/// Draws it; returns how far down it goes.
pub(super) fn draw(svg: &mut Svg, finding: &Finding, (x, y): (f64, f64), width: f64) -> f64 {
    svg.open("slices");
    let down = match Ordered::of(finding) {
        Some(ordered) => draw_map(svg, &ordered, (x, y), width),
        None => svg.heading((x, y), width, "Slices of the L2", "Not shown: no slices were found."),
    };
    svg.close();
    down
}

fn draw_map(svg: &mut Svg, ordered: &Ordered<'_>, (x, y): (f64, f64), width: f64) -> f64 {
    let structure = &ordered.layout.structure;
    let order = match (&structure.sides, structure.rings.is_empty()) {
        (Some(_), false) => "by side, then around the ring of slices that share granules",
        (Some(_), true) => "by side",
        (None, false) => "around the ring of slices that share granules",
        (None, true) => "by number",
    };
    let columns = if structure.sides.is_some() { "by side, then by %smid" } else { "by %smid; there are no sides" };
    let explained = format!(
        "mean latency of an atomic in cycles: each row a slice ({order}), each column an SM ({columns}); dark is near"
    );
    let heading = format!("{} slices seen from {} SMs", structure.slices, ordered.rows.len());
    let y = svg.heading((x, y), width, &heading, &explained);

    // By column, by slice.
    let means: Vec<Vec<Option<f64>>> = ordered.rows.iter().map(|&row| ordered.means(row)).collect();
    let scale = Scale::of(&means);
    let y = scale.draw(svg, (x + LABELS, y + 4.0), width - LABELS);

    let of_rows = runs(ordered.rows.iter().map(|&row| ordered.side_of_row(row)));
    let of_slices = runs(ordered.slices.iter().map(|&slice| ordered.side_of_slice(slice)));
    let gaps = |runs: usize| GAP * runs.saturating_sub(1) as f64;
    let cell = (
        (width - LABELS - gaps(of_rows.len())) / ordered.rows.len().max(1) as f64,
        ((HEIGHT - gaps(of_slices.len())) / ordered.slices.len().max(1) as f64).min(44.0),
    );
    let top = y + 16.0;
    let mut left = x + LABELS;
    for (side, columns) in &of_rows {
        let wide = columns.len() as f64 * cell.0;
        if structure.sides.is_some() {
            let what = format!("{}: {} SMs", side_name(*side), columns.len());
            // A few SMs of unknown side have no room for their name.
            let what = if wide < 60.0 { "?" } else { &what };
            svg.rect((left, top - 5.0), (wide, 3.0), side_fill(*side));
            svg.text((left + wide / 2.0, top - 8.0), 10.0, Anchor::Middle, what);
        }
        left += wide + GAP;
    }
    let mut y = top;
    for (side, rows) in &of_slices {
        let high = rows.len() as f64 * cell.1;
        if structure.sides.is_some() {
            svg.rect((x + LABELS - 5.0, y), (3.0, high), side_fill(*side));
            let (tx, ty) = (x + 10.0, y + high / 2.0);
            let turned = format!(" transform=\"rotate(-90 {tx:.1} {ty:.1})\"");
            let what = format!("{}: {} slices", side_name(*side), rows.len());
            svg.styled((tx, ty), 10.0, Anchor::Middle, &turned, if high < 60.0 { "?" } else { &what });
        }
        for &slice in &ordered.slices[rows.clone()] {
            let label = (x + LABELS - 8.0, y + cell.1 / 2.0 + 0.35 * cell.1.min(9.0));
            svg.text(label, cell.1.min(9.0), Anchor::End, &slice.to_string());
            let mut left = x + LABELS;
            for (_, columns) in &of_rows {
                let of_columns = means[columns.clone()].iter().map(|means| means[slice as usize]);
                svg.open_at(if left == x + LABELS { "slice" } else { "more" }, (left, y), cell);
                draw_row(svg, of_columns.map(|mean| scale.step(mean)));
                svg.close();
                left += columns.len() as f64 * cell.0 + GAP;
            }
            y += cell.1;
        }
        y += GAP;
    }
    y
}

/// Draws a row: cells of one colour are one path, as a picture of each would be too long.
fn draw_row(svg: &mut Svg, steps: impl Iterator<Item = Option<usize>>) {
    let mut by_step: BTreeMap<Option<usize>, Vec<(usize, usize)>> = BTreeMap::new();
    for (at, step) in steps.enumerate() {
        let runs = by_step.entry(step).or_default();
        match runs.last_mut() {
            Some((first, length)) if *first + *length == at => *length += 1,
            _ => runs.push((at, 1)),
        }
    }
    for (step, runs) in by_step {
        let fill = step.map_or(palette::UNKNOWN.to_owned(), fill_of);
        svg.cells(&runs, &fill);
    }
}

/// Which latency has which colour.
struct Scale {
    /// The latencies at its ends, in cycles.
    cycles: (f64, f64),
}

impl Scale {
    /// The scale on which nearly all of the values lie.
    fn of(means: &[Vec<Option<f64>>]) -> Scale {
        let mut all: Vec<f64> = means.iter().flatten().flatten().copied().collect();
        all.sort_by(f64::total_cmp);
        let beyond = (all.len() as f64 * BEYOND) as usize;
        let cycles = match (all.get(beyond), all.get(all.len().saturating_sub(beyond + 1))) {
            (Some(least), Some(most)) => (*least, most.max(least + 1.0)),
            _ => (0.0, 1.0),
        };
        Scale { cycles }
    }

    fn step(&self, mean: Option<f64>) -> Option<usize> {
        let (least, most) = self.cycles;
        mean.map(|mean| ((mean - least) / (most - least) * STEPS as f64).clamp(0.0, STEPS as f64 - 1.0) as usize)
    }

    /// Draws the legend; returns how far down it goes.
    fn draw(&self, svg: &mut Svg, (x, y): (f64, f64), width: f64) -> f64 {
        let wide = (width / 2.0).min(320.0);
        svg.open_at("legend", (x, y), (wide / STEPS as f64, 9.0));
        for step in 0..STEPS {
            svg.cells(&[(step, 1)], &fill_of(step));
        }
        svg.close();
        let (least, most) = self.cycles;
        for quarter in 0..=4 {
            let share = f64::from(quarter) / 4.0;
            let unit = if quarter == 4 { " cycles" } else { "" };
            let value = least + share * (most - least);
            let value = if most - least < 20.0 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") };
            svg.line((x + share * wide, y + 9.0), (x + share * wide, y + 12.0), palette::RULE);
            let (nudge, anchor) = if quarter == 4 { (-8.0, Anchor::Start) } else { (0.0, Anchor::Middle) };
            svg.text((x + share * wide + nudge, y + 22.0), 9.0, anchor, &value);
        }
        y + 28.0
    }
}

fn fill_of(step: usize) -> String {
    palette::heat((step as f64 + 0.5) / STEPS as f64)
}

fn side_name(side: Option<u32>) -> String {
    side.map_or("side unknown".to_owned(), |side| format!("side {side}"))
}

fn side_fill(side: Option<u32>) -> &'static str {
    side.and_then(|side| palette::SIDES.get(side as usize).copied()).unwrap_or(palette::UNKNOWN)
}
