//! A table in words: the whole for `missile table`, the gist for `missile probe`.

mod levels;
mod tpcs;
mod wrap;

use hashprobe::Table;
use hashprobe::colors::PageColors;
use std::path::Path;
use wrap::{join, section};

/// The whole of a table, for somebody who has never seen one.
pub fn whole(table: &Table) -> String {
    let mut text = section("GPU", &[gpu(table)]);
    text += &section("Measured", &[measured(table), memory(table)]);
    text += &section("L2 cache", &[slices(table), sides(table), channels(table)]);
    for level in table.levels() {
        text += &section(&capital(&level.name), &levels::whole(level));
    }
    text += &section("TPCs", &tpcs::whole(table));
    text += &section("Pages", &pages(table));
    text += &section("Tenants", &tenants(table));
    text + &section("Words", &words())
}

/// The gist of a table that was saved in a file: a line or two each.
pub fn gist(table: &Table, path: &Path) -> String {
    let mut text = section("GPU", &[gpu(table)]);
    text += &section("L2 cache", &[join(&[slices(table), sides(table)])]);
    for level in table.levels() {
        text += &section(&capital(&level.name), &[levels::gist(level)]);
    }
    text += &section("TPCs", &[tpcs::gist(table)]);
    text += &section("Tenants", &tenants(table)[..1]);
    let seconds = table.measured().seconds;
    let kept = format!("Measured in {seconds:.1} s, kept in {}; `missile table` explains that file.", path.display());
    text + &section("Table", &[kept])
}

fn gpu(table: &Table) -> String {
    let gpu = table.gpu();
    format!("{} with {} SMs, {}.", gpu.name, gpu.sms, gpu.uuid)
}

fn measured(table: &Table) -> String {
    let measured = table.measured();
    let driver = match table.driver() {
        Some(driver) => format!("with driver {driver}, the only one that this table is used with"),
        None => "with an unknown driver".to_owned(),
    };
    let slices = match (measured.slice_lines, measured.strange_units) {
        (0, _) => String::new(),
        (lines, None | Some(0)) => format!("; slices and channels in {} lines", number(lines)),
        (lines, Some(strange)) => format!(
            "; slices and channels in {} lines, without {} units that look like no slice and that no accuracy counts",
            number(lines),
            number(strange)
        ),
    };
    format!(
        "On {}, in {:.1} s, {driver}. All is found from how long atomics take on lines of 128 B, seen from different \
         SMs. Sides were looked for in {} lines and checked on {} others, the least of {} tries each{slices}.",
        time(&measured.at),
        measured.seconds,
        number(measured.samples),
        number(measured.held_out),
        measured.reps,
    )
}

fn memory(table: &Table) -> String {
    let measured = table.measured();
    format!(
        "The lines lie all over {} of memory, up to physical address {}. Whether address bits above that count is not \
         known.",
        measured.memory, measured.highest
    )
}

fn slices(table: &Table) -> String {
    match (table.slices(), table.granule()) {
        (Some(slices), Some((granule, interleave))) if granule > interleave => format!(
            "{slices} slices. {interleave} in a row lie on one slice; throughout a granule of {granule} the same slices \
             take turns."
        ),
        (Some(slices), Some((granule, _))) => {
            format!("{slices} slices. A granule of {granule} in a row lies on one slice.")
        }
        (Some(slices), None) => format!("{slices} slices."),
        (None, _) => "Its slices are not known: none were found, or looked for.".to_owned(),
    }
}

fn sides(table: &Table) -> String {
    let [zero, one] = table.sms_by_side();
    if zero + one == 0 {
        return "No sides showed: no part of the memory is clearly nearer to some SMs than to others.".to_owned();
    }
    let placed =
        format!("Two sides, each near to some SMs and far from the others: {zero} SMs are on side 0, {one} on side 1");
    match (table.gpu().sms as usize).saturating_sub(zero + one) {
        0 => format!("{placed}."),
        unknown => format!("{placed}, and of {unknown} the side is not known."),
    }
}

fn channels(table: &Table) -> String {
    match (table.levels().iter().find(|level| level.name == "channel"), table.slices()) {
        (Some(level), _) => format!("{} channels: sets of slices that share granules.", level.classes),
        (None, Some(_)) => "No channels other than the slices showed in the latencies.".to_owned(),
        (None, None) => "Its channels are not known either.".to_owned(),
    }
}

fn pages(table: &Table) -> Vec<String> {
    let pages = table.pages();
    if pages.is_empty() {
        return vec!["No level is usable, so nothing is known of what a page touches.".to_owned()];
    }
    let of =
        |pages: &PageColors| table.levels().iter().find(|level| level.name == pages.level).map(|level| level.classes);
    pages.iter().map(|pages| one_size(pages, of(pages).unwrap_or(pages.touches))).collect()
}

/// The classes that pages of one size touch, of so many.
fn one_size(pages: &PageColors, classes: u32) -> String {
    let PageColors { level, page, colors, share, touches, .. } = pages;
    let touched = match *touches {
        2 if classes == 2 => format!("touches both {level}s"),
        all if all == classes => format!("touches all {classes} {level}s"),
        1 => format!("touches 1 of {classes} {level}s"),
        some => format!("touches up to {some} of {classes} {level}s"),
    };
    let colored = match *colors {
        1 if *touches < classes => "different pages overlap, so they have no colours".to_owned(),
        1 => "they have no colours".to_owned(),
        _ => {
            // Where colours have unequal shares, this is the least; cut, not rounded, so that none has less.
            let least = if share * f64::from(*colors) < 1.0 { "at least " } else { "" };
            format!("{colors} colours, each with {least}{} % of the {level}s", (share * 1e3).floor() / 10.0)
        }
    };
    let seen = pages.looked_at.map_or(String::new(), |pages| format!(" (seen on {} pages)", number(pages)));
    format!("{page} pages by {level}: a page {touched}; {colored}{seen}.")
}

/// The level that tenants are coloured by, the gist first.
fn tenants(table: &Table) -> Vec<String> {
    let Some(level) = table.color_level() else {
        let reason = table.why_not().unwrap_or("the probe gave no reason");
        return vec![
            format!("Nothing can be coloured: {reason}."),
            "Tenants run, but share all slices and channels, as they do without this table.".to_owned(),
        ];
    };
    let (colors, page, name) = (table.colors(), table.page(), &level.name);
    let mut said = vec![format!("Coloured by {name}: {colors} colours, in pages of {page}.")];
    if let Some(masks) = table.color_masks() {
        said.extend(levels::bits("colour", &masks));
    }
    said.push(match table.sms_by_side() {
        [0, 0] => format!("No sides are known, so the {name} decides: of the usable levels it gives the most colours."),
        _ if name == "side" => {
            "A tenant's SMs have to be on the side of its memory, else most of the gain is lost: so \
                                it is the side that decides, and not a level with more colours."
                .to_owned()
        }
        _ => format!("Sides of SMs are known, but no page keeps to one: so the {name} decides."),
    });
    said
}

/// The facts that an operator may not know.
fn words() -> Vec<String> {
    [
        "Slice: a part of the L2 cache, through which its part of the memory is reached.",
        "TPC: some SMs, two on most GPUs, that a launch can be kept from by one bit of its mask.",
        "Parity: 1 where an odd number of these bits of the physical address are 1, else 0.",
        "Colour: pages of different colours have no slice or channel in common.",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// A count with its thousands apart.
fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut apart = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}

/// RFC 3339 as people write it.
fn time(at: &str) -> String {
    at.replacen('T', " at ", 1).replacen('Z', " UTC", 1)
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests;
