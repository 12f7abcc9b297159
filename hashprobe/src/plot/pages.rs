//! A stretch of pages: what each is made of.

use super::order::{Ordered, runs};
use super::palette;
use super::svg::{Anchor, Svg};
use crate::{Finding, Table};
use std::collections::BTreeMap;
use units::{Bytes, PhysAddr};

/// The size of the pages.
const PAGE: Bytes = Bytes::kib(4);
/// How many pages.
const PAGES: usize = 64;
/// The height of a page.
const ROW: f64 = 11.0;
/// The left edges of the columns.
const SIDES_AT: f64 = 84.0;
const CELLS_AT: f64 = 104.0;
/// The width of the column of sides, and that of colours.
const SIDES: f64 = 14.0;
const COLORS: f64 = 40.0;

/// Draws it; returns how far down it goes.
pub(super) fn draw(svg: &mut Svg, finding: &Finding, table: &Table, (x, y): (f64, f64), width: f64) -> f64 {
    svg.open("pages");
    let down = match Ordered::of(finding) {
        Some(ordered) => draw_slices(svg, &ordered, table, (x, y), width),
        None => draw_sides(svg, finding, table, (x, y), width),
    };
    svg.close();
    down
}

/// A cell: its class, and the sides and lines in it.
struct Cell {
    /// The text in it; empty where that is not known.
    name: String,
    /// The number that its colour goes by.
    number: Option<usize>,
    side: Option<u32>,
}

/// The pages as slices were measured: no function is needed for that, and none may hold.
fn draw_slices(svg: &mut Svg, ordered: &Ordered<'_>, table: &Table, at: (f64, f64), width: f64) -> f64 {
    let layout = ordered.layout;
    let structure = &layout.structure;
    let sides = if structure.sides.is_some() { 2 } else { 1 };
    let by_channel = structure.groups.len() > sides && structure.groups.len() < structure.slices;
    let number = |slice: u32| match by_channel {
        true => structure.groups.iter().position(|group| group.contains(&slice)),
        false => ordered.slices.iter().position(|&of| of == slice),
    };
    // Where more than two slices take turns, a cell of them all would say little.
    let cell_bytes = if structure.slices_per_unit > 2 { structure.interleave } else { structure.unit }.min(PAGE);
    let mut lines: BTreeMap<PhysAddr, usize> = BTreeMap::new();
    lines.extend(layout.lines.iter().enumerate().map(|(at, &line)| (line, at)));
    let cell = |start: PhysAddr| {
        let of: Vec<usize> = lines.range(start..start + cell_bytes).map(|(_, &line)| line).collect();
        let mut slices: Vec<u32> = Vec::new();
        for slice in of.iter().filter_map(|&line| structure.slice_of_line.get(line).copied().flatten()) {
            if !slices.contains(&slice) {
                slices.push(slice);
            }
        }
        let number = slices.first().and_then(|&slice| number(slice));
        let name = match number {
            Some(channel) if by_channel => channel.to_string(),
            Some(_) => slices.iter().map(|slice| slice.to_string()).collect::<Vec<String>>().join(" "),
            None => String::new(),
        };
        let side = of.first().and_then(|&line| ordered.side_of_line(line));
        Cell { name, number, side }
    };
    let mut pages: Vec<PhysAddr> =
        lines.keys().map(|line| PhysAddr::new(line.get() / PAGE.get() * PAGE.get())).collect();
    pages.dedup();
    pages.truncate(PAGES);
    let (what, things) = match by_channel {
        true => ("channel", structure.groups.len()),
        false => ("slice", structure.slices),
    };
    let numbers = if by_channel { "the number is the channel's" } else { "the numbers are its slices" };
    let sides = if structure.sides.is_some() {
        "the bar beside the address is the side, left and blue for 0, right and orange for 1"
    } else {
        "there are no sides"
    };
    let explained =
        format!("each row a {PAGE} page, each cell {cell_bytes}, coloured by {what} as measured: {numbers}; {sides}");
    let heading = format!("{} pages of {PAGE}", pages.len());
    let y = svg.heading(at, width, &heading, &explained);
    let grid = Grid { at: (at.0, y), width, things, cell_bytes };
    grid.draw(svg, &pages, table, cell)
}

/// The pages as the side's function has them, where no slices are known.
fn draw_sides(svg: &mut Svg, finding: &Finding, table: &Table, at: (f64, f64), width: f64) -> f64 {
    let Some(function) = finding.levels.iter().find(|level| level.usable).and_then(|level| level.function()) else {
        let nothing = "Not shown: neither sides nor slices were found, so nothing is known of pages.";
        return svg.heading(at, width, "Pages", nothing);
    };
    let explained = format!(
        "No slices were found, so only the side is shown, as its function foretells it: each row a {PAGE} page."
    );
    let y = svg.heading(at, width, &format!("{PAGES} pages of {PAGE}"), &explained);
    let cell_bytes = function.unit().min(PAGE);
    let first = finding.effort.highest.get().saturating_sub(PAGES as u64 * PAGE.get()) / PAGE.get() * PAGE.get();
    let pages: Vec<PhysAddr> =
        (0..PAGES as u64).map(|page| PhysAddr::new(first) + Bytes::new(page * PAGE.get())).collect();
    let cell = |start: PhysAddr| {
        let side = function.class_of(start);
        Cell { name: side.map_or(String::new(), |side| side.to_string()), number: None, side }
    };
    Grid { at: (at.0, y), width, things: 0, cell_bytes }.draw(svg, &pages, table, cell)
}

/// The places of the cells.
struct Grid {
    at: (f64, f64),
    width: f64,
    /// How many colours cells can have.
    things: usize,
    cell_bytes: Bytes,
}

impl Grid {
    fn draw(&self, svg: &mut Svg, pages: &[PhysAddr], table: &Table, cell: impl Fn(PhysAddr) -> Cell) -> f64 {
        let (x, mut y) = (self.at.0, self.at.1 + 12.0);
        let colors = if table.colors() > 1 { COLORS } else { 0.0 };
        let cells = PAGE.get() / self.cell_bytes.get();
        let cell_width = (self.width - CELLS_AT - colors) / cells as f64;
        svg.text((x + SIDES_AT - 6.0, y - 2.0), 9.0, Anchor::End, "address");
        let first = pages.first().map(|&page| cell(page));
        if first.is_some_and(|cell| cell.side.is_some()) {
            svg.text((x + SIDES_AT + 7.0, y - 2.0), 9.0, Anchor::Middle, "side");
        }
        if colors > 0.0 {
            svg.text((x + self.width, y - 2.0), 9.0, Anchor::End, "colour");
        }
        let mut last: Option<PhysAddr> = None;
        for &page in pages {
            if last.is_some_and(|last| last + PAGE != page) {
                y += 6.0;
                svg.text((x + SIDES_AT - 6.0, y - 1.0), 9.0, Anchor::End, "…");
                y += 2.0;
            }
            last = Some(page);
            let base = y + ROW - 2.5;
            let address = format!("{page}");
            svg.styled((x + SIDES_AT - 6.0, base), 8.5, Anchor::End, " font-family=\"monospace\"", &address);
            let of_page: Vec<Cell> =
                (0..cells).map(|number| cell(page + Bytes::new(number * self.cell_bytes.get()))).collect();
            for (number, cell) in of_page.iter().enumerate() {
                let left = x + CELLS_AT + number as f64 * cell_width;
                self.draw_cell(svg, cell, (left, y), cell_width, base);
            }
            for (side, cells) in runs(of_page.iter().map(|cell| cell.side)) {
                let part = SIDES / of_page.len() as f64;
                let left = x + SIDES_AT + cells.start as f64 * part;
                self.draw_side(svg, side, (left, y), part * cells.len() as f64);
            }
            if let Some(color) = table.color_of(page).filter(|_| colors > 0.0) {
                svg.text((x + self.width - 4.0, base), 9.0, Anchor::End, &color.to_string());
            }
            y += ROW;
        }
        y + 4.0
    }

    fn draw_cell(&self, svg: &mut Svg, cell: &Cell, (left, y): (f64, f64), width: f64, base: f64) {
        let (fill, ink) = match (cell.number, cell.side) {
            (Some(number), _) => palette::thing(number, self.things),
            (None, Some(side)) if self.things == 0 => palette::side(side),
            (None, _) => (palette::UNKNOWN.to_owned(), "#000"),
        };
        svg.rect((left, y), (width - 1.0, ROW - 1.0), &fill);
        let name = if cell.name.is_empty() { "?" } else { &cell.name };
        if width >= 6.0 * name.len() as f64 {
            let style = format!(" fill=\"{ink}\"");
            svg.styled((left + (width - 1.0) / 2.0, base), 8.0, Anchor::Middle, &style, name);
        }
    }

    /// Side 1 stands to the right: a mark that needs no colour.
    fn draw_side(&self, svg: &mut Svg, side: Option<u32>, (left, y): (f64, f64), width: f64) {
        if let Some(side) = side.map(|side| side as usize % 2) {
            svg.rect((left + side as f64 * width / 2.0, y), (width / 2.0, ROW - 1.0), palette::SIDES[side]);
        }
    }
}
