//! A writer of SVG text.

use std::fmt::{Display, Write};

/// A picture in the making. Lengths are in pixels.
#[derive(Debug)]
pub(super) struct Svg {
    text: String,
}

/// How a text stands to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// It begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

impl Svg {
    /// A white picture.
    pub(super) fn new(width: f64, height: f64) -> Svg {
        let mut svg = Svg { text: String::new() };
        svg.put(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" \
             font-family=\"DejaVu Sans, Arial, sans-serif\" fill=\"#222\">\n\
             <rect width=\"{w}\" height=\"{h}\" fill=\"#fff\"/>\n",
            w = short(width),
            h = short(height)
        ));
        svg
    }

    /// The whole of it.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    /// Begins a group of some class, which ends with [`Svg::close`].
    pub(super) fn open(&mut self, class: &str) {
        self.put(format_args!("<g class=\"{}\">\n", escape(class)));
    }

    /// As [`Svg::open`], in units of `scale` pixels from a place on.
    pub(super) fn open_at(&mut self, class: &str, (x, y): (f64, f64), scale: (f64, f64)) {
        let [x, y, width, height] = [x, y, scale.0, scale.1].map(short);
        self.put(format_args!(
            "<g class=\"{}\" transform=\"translate({x} {y}) scale({width} {height})\" shape-rendering=\"crispEdges\">",
            escape(class)
        ));
    }

    /// Ends what was opened last.
    pub(super) fn close(&mut self) {
        self.text.push_str("</g>\n");
    }

    /// Gives the group that was opened last, or the whole, the text that shows when a pointer rests on it.
    pub(super) fn title(&mut self, title: &str) {
        self.put(format_args!("<title>{}</title>\n", escape(title)));
    }

    /// A filled rectangle.
    pub(super) fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), fill: &str) {
        let [x, y, width, height] = [x, y, width, height].map(short);
        self.put(format_args!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\"/>\n"));
    }

    /// Filled cells of a grid with cells of 1 by 1: runs of a first cell and a length.
    pub(super) fn cells(&mut self, runs: &[(usize, usize)], fill: &str) {
        self.put(format_args!("<path fill=\"{fill}\" d=\""));
        for (first, length) in runs {
            self.put(format_args!("M{first} 0h{length}v1h-{length}z"));
        }
        self.text.push_str("\"/>");
    }

    /// A line.
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: &str) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(short);
        self.put(format_args!("<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" stroke=\"{stroke}\"/>\n"));
    }

    /// A line of text: the place is on its base line.
    pub(super) fn text(&mut self, at: (f64, f64), size: f64, anchor: Anchor, text: &str) {
        self.styled(at, size, anchor, "", text);
    }

    /// The heading of a panel, and what explains it in smaller lines beneath, wrapped to a width. Returns how far down
    /// these go.
    pub(super) fn heading(&mut self, (x, y): (f64, f64), width: f64, heading: &str, explained: &str) -> f64 {
        self.styled((x, y + 14.0), 14.0, Anchor::Start, " font-weight=\"bold\"", heading);
        self.paragraph((x, y + 20.0), width, 11.0, explained)
    }

    /// Text wrapped to a width. Returns how far down it goes.
    pub(super) fn paragraph(&mut self, (x, mut y): (f64, f64), width: f64, size: f64, text: &str) -> f64 {
        // How wide it will be is not known: letters of the usual fonts are a little over half as wide as high, on the mean.
        let most = (width / (0.58 * size)) as usize;
        for line in wrap(text, most) {
            y += 1.35 * size;
            self.text((x, y), size, Anchor::Start, &line);
        }
        y + 0.4 * size
    }

    /// Text with attributes of its own.
    pub(super) fn styled(&mut self, (x, y): (f64, f64), size: f64, anchor: Anchor, style: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let [x, y, size] = [x, y, size].map(short);
        self.put(format_args!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\"{anchor}{style}>{}</text>\n",
            escape(text)
        ));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).expect("a string takes all that is written");
    }
}

/// Lines of at most so many letters; a longer word has a line of its own.
fn wrap(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A length with at most two decimals.
fn short(length: f64) -> impl Display {
    (length * 100.0).round() / 100.0
}

/// Text as XML has it. What XML cannot hold becomes a question mark.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            control if control.is_control() || ['\u{FFFE}', '\u{FFFF}'].contains(&control) => escaped.push('?'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_escaped_or_replaced() {
        assert_eq!(escape("a<b>&\"c\"\u{1}\n"), "a&lt;b&gt;&amp;&quot;c&quot;??");
    }

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakable", 3), ["unbreakable"]);
        assert!(wrap("", 3).is_empty());
    }

    #[test]
    fn lengths_are_short() {
        assert_eq!(short(1.0 / 3.0).to_string(), "0.33");
        assert_eq!(short(12.0).to_string(), "12");
    }
}
