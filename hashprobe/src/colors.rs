//! From a channel function to colours of pages.
//!
//! A page touches every class that some address in it has. Pages of two colours must share no class: so classes that
//! one page touches are of one colour, and so are classes that such pages chain together. The colours are what is left
//! apart.
//!
//! For parities this is linear algebra, exact and for all pages at once. The low bits of the masks, those below the
//! page's size, change inside a page: a page touches 2^r classes, with r the rank of the masks' low parts, and the
//! combinations of masks without a low bit, of which there are k - r independent ones, are the bits of its colour. For
//! other functions random pages of those given are looked at, unit by unit, and a union-find over the classes joins
//! what a page touches. Classes that no page seen touches together may be joined by another: with as many pages as
//! [`Pages::looked_at`] says, that is unlikely, and pages outside the domain of a lookup have no colour.

use crate::gf2::Span;
use crate::level::plain_bytes;
use crate::{Function, Mask, XorHash};
use core::ops::Range;
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use units::{Bytes, PhysAddr};

/// The page sizes that a GPU can map, the finest first.
pub const PAGE_SIZES: [Bytes; 3] = [Bytes::kib(4), Bytes::kib(64), Bytes::mib(2)];
/// How many units are looked at for one page size at most.
const MOST_UNITS: u64 = 1 << 19;
/// How many pages are looked at for one page size, at most and at least.
const PAGES: Range<u64> = 16..4_096;

/// One colour: classes that no page of another colour touches.
#[derive(Clone, Debug, PartialEq)]
pub struct Color {
    /// The classes, ascending.
    pub classes: Vec<u32>,
    /// Their share of all classes.
    pub share: f64,
}

/// The colours of pages of one size.
#[derive(Clone, Debug, PartialEq)]
pub struct Pages {
    /// The size.
    pub page: Bytes,
    /// The colours, by their least class. One means that pages of this size cannot be told apart.
    pub colors: Vec<Color>,
    /// The most classes that one page touches.
    pub touches: usize,
    /// How many pages this was found on; `None` where it holds for all.
    pub looked_at: Option<u64>,
}

/// The colours of a level's pages of one size, as a table file says them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageColors {
    /// Which level.
    pub level: String,
    /// The size of a page.
    #[serde(rename = "page_bytes", with = "plain_bytes")]
    pub page: Bytes,
    /// How many colours; 1 means that pages of this size cannot be told apart.
    pub colors: u32,
    /// The share of all classes that the smallest colour has.
    pub share: f64,
    /// The most classes that one page touches.
    pub touches: u32,
    /// How many pages this was found on; `None` where it holds for all.
    pub looked_at: Option<u64>,
}

impl PageColors {
    pub(crate) fn of(level: String, pages: &Pages) -> PageColors {
        PageColors {
            level,
            page: pages.page,
            colors: pages.colors.len() as u32,
            share: pages.colors.iter().map(|color| color.share).fold(1.0, f64::min),
            touches: pages.touches as u32,
            looked_at: pages.looked_at,
        }
    }
}

impl Pages {
    /// By class: its colour; the number of colours for a class that no page seen touches.
    pub(crate) fn colors_of_classes(&self, classes: u32) -> Vec<u32> {
        (0..classes).map(|class| self.color_of(class).unwrap_or(self.colors.len()) as u32).collect()
    }

    /// The colour of the page that an address lies in, by the class of the address.
    pub fn color_of(&self, class: u32) -> Option<usize> {
        self.colors.iter().position(|color| color.classes.binary_search(&class).is_ok())
    }
}

/// Why there are no colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoColors {
    /// There is one class only.
    #[error("all of the memory is of one class")]
    OneClass,
    /// There is no memory to look at.
    #[error("no {page} page lies in the domain of the channel function")]
    NoPages {
        /// The smallest page size.
        page: Bytes,
    },
    /// Every page has it all.
    #[error("each {page} page touches all {classes} classes: they alternate every {unit}")]
    TooFine {
        /// The smallest page size.
        page: Bytes,
        /// How many classes there are.
        classes: usize,
        /// The bytes below which the class cannot change.
        unit: Bytes,
    },
    /// No page has it all, but they overlap.
    #[error("a {page} page touches {touches} of {classes} classes, and the classes of different pages overlap")]
    Chained {
        /// The smallest page size.
        page: Bytes,
        /// The most classes that one page touches.
        touches: usize,
        /// How many classes there are.
        classes: usize,
    },
}

/// The worth of a channel function for colouring.
#[derive(Clone, Debug, PartialEq)]
pub struct Coloring {
    /// The colours at each of [`PAGE_SIZES`]; a size is missing where no page of it could be looked at.
    pub sizes: Vec<Pages>,
    /// The place in `sizes` to use: most colours, and of several with as many the largest pages.
    pub auto: Result<usize, NoColors>,
}

/// Finds the colours of the pages in `memory`, ranges of physical addresses.
pub fn colors(function: &Function, memory: &[Range<PhysAddr>], rng: &mut Rng) -> Coloring {
    let sizes: Vec<Pages> = match function {
        Function::Xor(hash) => PAGE_SIZES.into_iter().map(|page| of_parities(hash, page)).collect(),
        _ => PAGE_SIZES.into_iter().filter_map(|page| of_sampled(function, page, memory, rng)).collect(),
    };
    let auto = sizes
        .iter()
        .enumerate()
        .filter(|(_, pages)| pages.colors.len() > 1)
        .max_by_key(|(_, pages)| (pages.colors.len(), pages.page))
        .map(|(at, _)| at);
    let auto = auto.ok_or_else(|| why_none(function, sizes.first()));
    Coloring { sizes, auto }
}

fn why_none(function: &Function, finest: Option<&Pages>) -> NoColors {
    let Some(&Pages { page, touches, .. }) = finest else { return NoColors::NoPages { page: PAGE_SIZES[0] } };
    let classes: usize = finest.map_or(0, |pages| pages.colors.iter().map(|color| color.classes.len()).sum());
    if classes < 2 {
        NoColors::OneClass
    } else if touches == classes {
        NoColors::TooFine { page, classes, unit: function.unit() }
    } else {
        NoColors::Chained { page, touches, classes }
    }
}

/// The masks that are constant on every page of a size: the bits of its colour, independent, by their lowest bit.
pub fn color_masks(hash: &XorHash, page: Bytes) -> Vec<Mask> {
    let low = page.get() - 1;
    // Eliminate the low bits first: turned around, they are the highest.
    let span: Span = hash.masks.iter().map(|mask| mask.0.reverse_bits()).collect();
    let mut masks: Vec<Mask> =
        span.basis().map(|row| Mask(row.reverse_bits())).filter(|mask| mask.0 & low == 0).collect();
    masks.sort_by_key(|mask| (mask.0.trailing_zeros(), *mask));
    masks
}

fn of_parities(hash: &XorHash, page: Bytes) -> Pages {
    let low = page.get() - 1;
    let classes = 1u32 << hash.masks.len();
    // What of the class changes inside a page: what each of its address bits flips.
    let flipped = (0..low.count_ones()).map(|bit| u64::from(hash.class_of(PhysAddr::new(1 << bit))));
    let span: Span = flipped.collect();
    let of_color = |class: u32| span.reduce(class.into()) as u32;
    Pages { page, colors: group(classes, of_color), touches: 1 << span.rank(), looked_at: None }
}

fn of_sampled(function: &Function, page: Bytes, memory: &[Range<PhysAddr>], rng: &mut Rng) -> Option<Pages> {
    let (page_bytes, unit) = (page.get(), function.unit().get().min(page.get()));
    let whole = |range: &Range<PhysAddr>| {
        let first = range.start.get().div_ceil(page_bytes);
        first..(range.end.get() / page_bytes).max(first)
    };
    let ranges: Vec<Range<u64>> = memory.iter().map(whole).collect();
    let there: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    let count = (MOST_UNITS * unit / page_bytes).clamp(PAGES.start, PAGES.end).min(there);
    let mut joined: Vec<Option<u32>> = vec![None; function.classes() as usize];
    let (mut touches, mut looked_at) = (0, 0);
    for number in 0..count {
        let mut at = if count == there { number } else { rng.u64(..there) };
        let range = ranges.iter().find(|range| {
            let size = range.end - range.start;
            let inside = at < size;
            at -= if inside { 0 } else { size };
            inside
        })?;
        let start = (range.start + at) * page_bytes;
        let places = (0..page_bytes / unit).map(|unit_of_page| PhysAddr::new(start + unit_of_page * unit));
        let Some(mut classes) = places.map(|place| function.class_of(place)).collect::<Option<Vec<u32>>>() else {
            continue;
        };
        looked_at += 1;
        classes.sort_unstable();
        classes.dedup();
        touches = touches.max(classes.len());
        for &class in &classes {
            joined[class as usize].get_or_insert(class);
            let (a, b) = (root(&joined, class), root(&joined, classes[0]));
            joined[a.max(b) as usize] = Some(a.min(b));
        }
    }
    let seen: Vec<u32> = (0..joined.len() as u32).filter(|&class| joined[class as usize].is_some()).collect();
    let colors = group(joined.len() as u32, |class| root(&joined, class));
    let colors = colors.into_iter().filter(|color| seen.binary_search(&color.classes[0]).is_ok()).collect();
    (looked_at > 0).then_some(Pages { page, colors, touches, looked_at: Some(looked_at) })
}

/// The least class joined with one; itself for one never seen.
fn root(joined: &[Option<u32>], mut class: u32) -> u32 {
    while let Some(next) = joined[class as usize].filter(|&next| next != class) {
        class = next;
    }
    class
}

/// The classes that `of_color` maps to the same number.
fn group(classes: u32, of_color: impl Fn(u32) -> u32) -> Vec<Color> {
    let mut numbered: Vec<(u32, u32)> = (0..classes).map(|class| (of_color(class), class)).collect();
    numbered.sort_unstable();
    let colors = numbered.chunk_by(|a, b| a.0 == b.0);
    let mut colors: Vec<Color> = colors
        .map(|color| Color {
            classes: color.iter().map(|&(_, class)| class).collect(),
            share: color.len() as f64 / f64::from(classes),
        })
        .collect();
    colors.sort_by_key(|color| color.classes[0]);
    colors
}
