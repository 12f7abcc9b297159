//! A level of the channel hash in words.

use super::number;
use hashprobe::{Kind, Level, LutInfo, Mask, Over, Permutation};

/// The share of held-out lines that a level has to foretell, in percent; for the words only, the table says whether it
/// does.
const NEEDED: f64 = 99.9;

/// All that there is to say.
pub fn whole(level: &Level) -> Vec<String> {
    let Level { name, classes, unit, .. } = level;
    let mut said = vec![format!("Divides the memory into {classes} {name}s, {unit} at a time.")];
    match (&level.kind, &level.permutation, &level.lookup) {
        (_, Some(permutation), _) => said.extend(of_permutation(name, permutation)),
        (_, _, Some(lookup)) => said.push(of_lookup(name, lookup)),
        (Kind::Xor, ..) => said.extend(bits(name, &level.masks)),
        _ => {}
    }
    said.push(how_good(level));
    if !level.tried.is_empty() {
        said.push(format!("Tried: {}.", level.tried));
    }
    said
}

/// In one sentence.
pub fn gist(level: &Level) -> String {
    let Level { name, classes, unit, kind, masks, .. } = level;
    let mask = match masks.as_slice() {
        [mask] => format!(" with mask {mask}"),
        [] => String::new(),
        masks => format!(" with {} masks", masks.len()),
    };
    format!("{classes} {name}s, {unit} at a time, by {kind}{mask}. {}", how_good(level))
}

/// The masks of a number, one for each of its bits.
pub fn bits(of: &str, masks: &[Mask]) -> Vec<String> {
    match masks {
        [mask] => vec![format!("The {of} is the {}.", parity(*mask, "address"))],
        masks => {
            let bit = |(at, mask): (usize, &Mask)| format!("Bit {at} of the {of}: {}.", parity(*mask, "address"));
            masks.iter().enumerate().map(bit).collect()
        }
    }
}

fn of_permutation(name: &str, permutation: &Permutation) -> Vec<String> {
    match permutation {
        Permutation::Blocks(blocks) => {
            let of = match blocks.over {
                Over::Block => "block number",
                Over::Address => "address",
            };
            let length = blocks.sequences.first().map_or(0, Vec::len);
            let orders = blocks.sequences.len();
            let mut said = vec![format!(
                "A permutation in blocks: {length} units of {} in a row are a block, and hold the {name}s in one of \
                 {orders} orders.",
                blocks.unit
            )];
            let bit = |(at, mask): (usize, &Mask)| format!("Bit {at} of the order: {}.", parity(*mask, of));
            said.extend(blocks.selectors.iter().enumerate().map(bit));
            said
        }
        Permutation::Ring(ring) => {
            let places: Vec<usize> = ring.rings.iter().map(|ring| ring.places.len()).collect();
            let forms = ring.rings.iter().map(|ring| ring.forms.len()).max().unwrap_or(0);
            let rings = match places.as_slice() {
                [places] => format!("a ring of {places} places"),
                [first, rest @ ..] if rest.iter().all(|places| places == first) => {
                    format!("{} rings of {first} places each", places.len())
                }
                places => format!("{} rings of different lengths", places.len()),
            };
            let mut said = vec![format!(
                "A permutation in {rings}; on each place is a {name}. {forms} parities of address bits each step on by \
                 some places; where that ends is the {name}."
            )];
            let bit = |(at, mask): (usize, &Mask)| match ring.selectors.len() {
                1 => format!("Which ring it is: the {}.", parity(*mask, "address")),
                _ => format!("Bit {at} of the ring's number: {}.", parity(*mask, "address")),
            };
            said.extend(ring.selectors.iter().enumerate().map(bit));
            said
        }
    }
}

fn of_lookup(name: &str, lookup: &LutInfo) -> String {
    let bits = lookup.bits.0.count_ones();
    let all = 1u64.checked_shl(bits).map_or(format!("2^{bits}"), number);
    format!(
        "No rule was found, so each {name} is looked up by {bits} address bits: {} (mask {}). {} of the {all} entries \
         are known, for addresses from {} to {}.",
        places(lookup.bits),
        lookup.bits,
        number(lookup.entries),
        lookup.lowest,
        lookup.highest
    )
}

/// How much of what it foretells is so.
fn how_good(level: &Level) -> String {
    let lines = number(level.held_out);
    let usable = if level.usable { "usable" } else { "not usable" };
    if level.accuracy >= 1.0 {
        return format!("Right for all {lines} lines kept out of the solving: {usable}.");
    }
    // Cut, not rounded: what is not all must not look like it.
    let percent = (level.accuracy * 1e5).floor() / 1e3;
    let needed = if level.usable { String::new() } else { format!(", as {NEEDED} % are needed") };
    format!("Right for {percent} % of {lines} lines kept out of the solving: {usable}{needed}.")
}

fn parity(mask: Mask, of: &str) -> String {
    let bits = if mask.0.count_ones() == 1 { "bit" } else { "bits" };
    format!("parity of {of} {bits} {} (mask {mask})", places(mask))
}

/// The bits of a mask: `10, 11, 13`; three or more in a row as `12-23`.
fn places(mask: Mask) -> String {
    let bits: Vec<u32> = (0..u64::BITS).filter(|&bit| mask.0 >> bit & 1 == 1).collect();
    let runs = bits.chunk_by(|a, b| a + 1 == *b);
    let of_run = |run: &[u32]| match run {
        [first, _, .., last] => format!("{first}-{last}"),
        few => few.iter().map(|bit| bit.to_string()).collect::<Vec<String>>().join(", "),
    };
    runs.map(of_run).collect::<Vec<String>>().join(", ")
}
