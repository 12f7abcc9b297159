//! Colours that people who see few colours can tell apart as well.

/// Side 0 and side 1; of Okabe and Ito's palette, one dark and one light, so that they differ in print too.
pub(super) const SIDES: [&str; 2] = ["#0072b2", "#e69f00"];
/// Latencies where there are no sides.
pub(super) const NO_SIDE: &str = "#555";
/// The colour of everything that is not known.
pub(super) const UNKNOWN: &str = "#c8c8c8";
/// Lines and ticks.
pub(super) const RULE: &str = "#888";

/// Okabe and Ito's palette, for few things that have no order.
const FEW: [Rgb; 8] = [
    [0x56, 0xb4, 0xe9],
    [0xd5, 0x5e, 0x00],
    [0x00, 0x9e, 0x73],
    [0xf0, 0xe4, 0x42],
    [0xcc, 0x79, 0xa7],
    [0x00, 0x72, 0xb2],
    [0xe6, 0x9f, 0x00],
    [0x40, 0x40, 0x40],
];
/// Viridis, for many things.
const MANY: [Rgb; 10] = [
    [0x44, 0x01, 0x54],
    [0x48, 0x28, 0x78],
    [0x3e, 0x49, 0x89],
    [0x31, 0x68, 0x8e],
    [0x26, 0x82, 0x8e],
    [0x1f, 0x9e, 0x89],
    [0x35, 0xb7, 0x79],
    [0x6e, 0xce, 0x58],
    [0xb5, 0xde, 0x2b],
    [0xfd, 0xe7, 0x25],
];
/// Cividis, for quantities.
const HEAT: [Rgb; 10] = [
    [0x00, 0x22, 0x4e],
    [0x12, 0x35, 0x70],
    [0x3b, 0x49, 0x6c],
    [0x57, 0x5d, 0x6d],
    [0x70, 0x71, 0x73],
    [0x8a, 0x86, 0x78],
    [0xa5, 0x9c, 0x74],
    [0xc3, 0xb3, 0x69],
    [0xe1, 0xcc, 0x55],
    [0xfe, 0xe8, 0x38],
];

type Rgb = [u8; 3];

/// The colour of one of several things, and that of text on it.
pub(super) fn thing(number: usize, of: usize) -> (String, &'static str) {
    let color = match FEW.get(number) {
        Some(&color) if of <= FEW.len() => color,
        _ => between(&MANY, number as f64 / of.saturating_sub(1).max(1) as f64),
    };
    let [red, green, blue] = color.map(f64::from);
    let bright = 0.299 * red + 0.587 * green + 0.114 * blue > 140.0;
    (hex(color), if bright { "#000" } else { "#fff" })
}

/// The colour of a side, and that of text on it.
pub(super) fn side(side: u32) -> (String, &'static str) {
    if side == 0 { (SIDES[0].to_owned(), "#fff") } else { (SIDES[1].to_owned(), "#000") }
}

/// The colour of a quantity: 0 is the least, 1 the most.
pub(super) fn heat(share: f64) -> String {
    hex(between(&HEAT, share))
}

fn between(colors: &[Rgb], share: f64) -> Rgb {
    let place = share.clamp(0.0, 1.0) * (colors.len() - 1) as f64;
    let first = (place as usize).min(colors.len() - 2);
    let part = place - first as f64;
    let mix = |a: u8, b: u8| (f64::from(a) + part * (f64::from(b) - f64::from(a))).round() as u8;
    let (a, b) = (colors[first], colors[first + 1]);
    [mix(a[0], b[0]), mix(a[1], b[1]), mix(a[2], b[2])]
}

fn hex([red, green, blue]: Rgb) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_have_different_colors() {
        for of in [1, 2, 8, 9, 94, 200] {
            let mut colors: Vec<String> = (0..of).map(|number| thing(number, of).0).collect();
            colors.sort();
            colors.dedup();
            assert_eq!(colors.len(), of);
        }
    }

    #[test]
    fn quantities_go_from_end_to_end() {
        assert_eq!((heat(0.0), heat(1.0)), ("#00224e".to_owned(), "#fee838".to_owned()));
        assert_eq!(heat(7.0), heat(1.0));
    }
}
