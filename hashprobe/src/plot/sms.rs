//! The latencies that one SM sees, and the side of each SM.

use super::order::Ordered;
use super::palette;
use super::svg::{Anchor, Svg};
use crate::Finding;

/// The height of the histogram.
const HEIGHT: f64 = 150.0;
/// How many bars it has at most.
const BARS: usize = 120;
/// How many SMs a row of the strip has at most.
const ROW: usize = 72;

/// Draws the histogram of latencies from one SM; returns how far down it goes.
pub(super) fn draw_humps(svg: &mut Svg, finding: &Finding, (x, y): (f64, f64), width: f64) -> f64 {
    svg.open("humps");
    let down = match Ordered::of(finding) {
        Some(ordered) => draw_histogram(svg, &ordered, (x, y), width),
        None => {
            let nothing = "Not shown: no slices were found, and only the latencies that show them are kept.";
            svg.heading((x, y), width, "Latencies from one SM", nothing)
        }
    };
    svg.close();
    down
}

fn draw_histogram(svg: &mut Svg, ordered: &Ordered<'_>, (x, y): (f64, f64), width: f64) -> f64 {
    let Some(&row) = ordered.rows.first() else {
        return svg.heading((x, y), width, "Latencies from one SM", "Not shown: no SM was seen.");
    };
    let smid = ordered.layout.latencies.smids[row];
    let own = ordered.side_of_row(row);
    let far = |line: usize| own.is_some() && ordered.side_of_line(line) != own;
    let cycles: Vec<f64> = ordered.cycles(row).collect();
    let humps = [false, true].map(|hump| sorted(cycles.iter().enumerate().filter(|&(at, _)| far(at) == hump)));
    let explained = match (own, [median(&humps[0]), median(&humps[1])]) {
        (Some(own), [Some(near), Some(far)]) => format!(
            "It is on side {own}: lines of that side are near (left hump, {near:.0} cycles), those of the other are far \
             (right hump, {far:.0})."
        ),
        (_, [Some(all), _]) => {
            format!(
                "No near and far humps, so no sides; differences between slices are left. The median is {all:.0} cycles."
            )
        }
        _ => "There are none.".to_owned(),
    };
    let heading = format!("Latencies of {} lines from SM {smid}", cycles.len());
    let y = svg.heading((x, y), width, &heading, &explained) + 6.0;

    let all = sorted(cycles.iter().enumerate());
    let beyond = all.len() / 400;
    let (Some(&least), Some(&most)) = (all.get(beyond), all.get(all.len().saturating_sub(beyond + 1))) else {
        return y;
    };
    let (least, most) = (least.floor(), most.ceil().max(least.floor() + 8.0));
    let bar = ((most - least) / BARS as f64).ceil().max(1.0);
    let bars = ((most - least) / bar).ceil() as usize;
    let mut counts = [vec![0usize; bars], vec![0usize; bars]];
    for (hump, counts) in humps.iter().zip(&mut counts) {
        for cycles in hump.iter().filter(|&&cycles| (least..most).contains(&cycles)) {
            counts[((cycles - least) / bar) as usize] += 1;
        }
    }
    let tallest = counts[0].iter().zip(&counts[1]).map(|(near, far)| near + far).max().unwrap_or(0).max(1);
    let (wide, bottom) = (width / bars as f64, y + HEIGHT);
    for at in 0..bars {
        let mut top = bottom;
        for (far, counts) in counts.iter().enumerate() {
            let high = HEIGHT * counts[at] as f64 / tallest as f64;
            top -= high;
            if high > 0.0 {
                let fill = own.map_or(palette::NO_SIDE, |own| palette::SIDES[(own as usize + far) % 2]);
                svg.rect((x + at as f64 * wide, top), (wide * 0.9, high), fill);
            }
        }
    }
    svg.line((x, bottom), (x + width, bottom), palette::RULE);
    let shown = bars as f64 * bar;
    let step = tick_step(shown);
    let mut tick = (least / step).ceil() * step;
    while tick <= least + shown {
        let at = x + (tick - least) / shown * width;
        svg.line((at, bottom), (at, bottom + 4.0), palette::RULE);
        svg.text((at, bottom + 14.0), 9.0, Anchor::Middle, &format!("{tick:.0}"));
        tick += step;
    }
    svg.text((x + width, bottom + 27.0), 10.0, Anchor::End, "cycles an atomic");
    let hidden = all.iter().filter(|&&cycles| !(least..most).contains(&cycles)).count();
    let hidden = if hidden > 0 { format!(", {hidden} beyond the ends") } else { String::new() };
    let cycles = if bar > 1.0 { "cycles" } else { "cycle" };
    let per_bar = format!("bars of {bar:.0} {cycles}; the tallest has {tallest} lines{hidden}");
    svg.text((x, bottom + 27.0), 10.0, Anchor::Start, &per_bar);
    bottom + 32.0
}

/// Draws the sides of SMs; returns how far down it goes.
pub(super) fn draw_sides(svg: &mut Svg, finding: &Finding, (x, y): (f64, f64), width: f64) -> f64 {
    svg.open("sms");
    let sides = &finding.sm_side;
    let down = if sides.is_empty() {
        let nothing = "Not shown: the L2 has no sides that latencies tell apart, so no SM is on any.";
        svg.heading((x, y), width, "Sides of SMs", nothing)
    } else {
        let count = |side| sides.iter().filter(|&&of| of == Some(side)).count();
        let explained = format!(
            "by %smid: {} SMs on side 0 (upper, blue), {} on side 1 (lower, orange); grey is not known",
            count(0),
            count(1)
        );
        let mut y = svg.heading((x, y), width, "Sides of SMs", &explained) + 6.0;
        let cell = width / sides.len().clamp(1, ROW) as f64;
        for (number, row) in sides.chunks(ROW).enumerate() {
            for (at, side) in row.iter().enumerate() {
                let left = x + at as f64 * cell;
                svg.rect((left, y), (cell - 1.0, 22.0), "#eee");
                match side {
                    Some(side) => {
                        let lower = *side as usize % 2;
                        let top = y + 11.0 * lower as f64;
                        svg.rect((left, top), (cell - 1.0, 11.0), palette::SIDES[lower]);
                    }
                    None => svg.rect((left, y), (cell - 1.0, 22.0), palette::UNKNOWN),
                }
                let smid = number * ROW + at;
                if smid.is_multiple_of(8) {
                    svg.text((left + cell / 2.0, y + 32.0), 9.0, Anchor::Middle, &smid.to_string());
                }
            }
            y += 42.0;
        }
        y
    };
    svg.close();
    down
}

fn sorted<'a>(cycles: impl Iterator<Item = (usize, &'a f64)>) -> Vec<f64> {
    let mut sorted: Vec<f64> = cycles.map(|(_, &cycles)| cycles).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len() / 2).copied()
}

/// A round number of cycles, so that there are about ten ticks.
fn tick_step(shown: f64) -> f64 {
    let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
    steps.into_iter().find(|step| shown / step <= 12.0).unwrap_or(1000.0)
}
