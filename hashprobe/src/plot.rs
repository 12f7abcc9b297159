//! A picture of what a probe found, as SVG: a title, a stretch of pages, slices as SMs see them, the latencies of one
//! SM, and the sides of SMs. Where something is not known, its panel says so.

mod order;
mod pages;
mod palette;
mod slices;
mod sms;
mod svg;

use crate::{Finding, Level, Table, store};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use svg::{Anchor, Svg};

/// The width of the picture, and that of the margin around it.
const WIDTH: f64 = 1280.0;
const MARGIN: f64 = 28.0;
/// The widths of the left panels, the pages and the latencies.
const LEFT: [f64; 2] = [450.0, 600.0];
/// The gap between panels.
const BETWEEN: f64 = 36.0;

/// A picture that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the picture {}: {source}; choose another place with `missile probe --plot`", path.display())]
pub struct PlotError {
    path: PathBuf,
    source: io::Error,
}

/// The picture of a finding that was made at some time.
pub fn draw(finding: &Finding, at: SystemTime) -> String {
    // The height is known only when all is drawn.
    let (_, height) = draw_in(finding, at, 0.0);
    draw_in(finding, at, height).0
}

/// Writes a picture: afterwards the file is either the new one or, on an error, what it was before.
pub fn save(picture: &str, path: &Path) -> Result<(), PlotError> {
    store::write_whole(path, picture.as_bytes()).map_err(|source| PlotError { path: path.to_owned(), source })
}

/// The picture in some height, and the height that it needs.
fn draw_in(finding: &Finding, at: SystemTime, height: f64) -> (String, f64) {
    let table = Table::new(finding, at);
    let mut svg = Svg::new(WIDTH, height);
    let y = draw_title(&mut svg, finding, &table);
    let beside = |left: f64| (MARGIN + left + BETWEEN, WIDTH - 2.0 * MARGIN - left - BETWEEN);
    let left_down = pages::draw(&mut svg, finding, &table, (MARGIN, y), LEFT[0]);
    let (x, width) = beside(LEFT[0]);
    let y = slices::draw(&mut svg, finding, (x, y), width).max(left_down) + 24.0;
    let left_down = sms::draw_humps(&mut svg, finding, (MARGIN, y), LEFT[1]);
    let (x, width) = beside(LEFT[1]);
    let down = sms::draw_sides(&mut svg, finding, (x, y), width).max(left_down);
    (svg.finish(), down + MARGIN)
}

/// Draws what the picture is of; returns how far down that goes.
fn draw_title(svg: &mut Svg, finding: &Finding, table: &Table) -> f64 {
    let (x, width) = (MARGIN, WIDTH - 2.0 * MARGIN);
    let name = &finding.gpu.name;
    svg.title(&format!("Memory of {name}, as missile probe found it"));
    svg.styled((x, 44.0), 22.0, Anchor::Start, " font-weight=\"bold\"", name);
    let driver = finding.gpu.driver.as_ref().map_or("unknown driver".to_owned(), |driver| format!("driver {driver}"));
    let about = format!(
        "{}, {driver}, {} SMs; measured {} in {:.1} s from {} of memory",
        finding.gpu.uuid,
        finding.gpu.sms,
        table.measured().at,
        table.measured().seconds,
        finding.effort.memory
    );
    let mut y = svg.paragraph((x, 50.0), width, 12.0, &about);
    for level in &finding.levels {
        y = svg.paragraph((x, y - 4.0), width, 12.0, &of_level(level));
    }
    let colors = match (table.color_level(), table.why_not()) {
        (Some(level), _) => format!("{} colours by {}, in pages of {}", table.colors(), level.name, table.page()),
        (None, Some(reason)) => format!("one colour: {reason}"),
        (None, None) => "one colour".to_owned(),
    };
    svg.paragraph((x, y - 4.0), width, 12.0, &colors) + 14.0
}

fn of_level(level: &Level) -> String {
    // Cut, not rounded: what is not all must not look like it.
    let right = match level.accuracy {
        all if all >= 1.0 => "all".to_owned(),
        share => format!("{} % of", (share * 1e5).floor() / 1e3),
    };
    let usable = if level.usable { "usable" } else { "not usable" };
    format!(
        "{} {}s in units of {}, by {}; right for {right} {} lines kept out: {usable}",
        level.classes, level.name, level.unit, level.kind, level.held_out
    )
}

#[cfg(test)]
mod tests;
