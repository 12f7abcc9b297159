//! The description of a figure: one row, from which JSON, table, OpenMetrics and docs are made.

use crate::value::Value;

/// A kind of thing that has figures: the arbiter, a bus, a tenant.
pub trait Described: Sized + 'static {
    /// Its key in the JSON of `missile top`.
    const PART: &'static str;
    /// Its figures.
    const FIGURES: &'static [Figure<Self>];
}

/// One figure.
pub struct Figure<T> {
    /// Its key in JSON, which is stable.
    pub key: &'static str,
    /// Its meaning, a sentence.
    pub help: &'static str,
    /// Its unit in JSON.
    pub unit: Unit,
    /// Its place among the metrics, if it has one.
    pub metric: Option<Metric>,
    /// Its columns in the table for people.
    pub(crate) columns: &'static [Column],
    /// Its value of one thing.
    pub value: fn(&T) -> Value,
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// None: a count, an identity or words.
    One,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// Milliseconds, as metrics seconds.
    Millis,
    /// Microseconds, as metrics seconds.
    Micros,
    /// Parts of one.
    Ratio,
}

impl Unit {
    /// Its name; empty for [`Unit::One`].
    pub fn name(self) -> &'static str {
        match self {
            Unit::One => "",
            Unit::Bytes => "bytes",
            Unit::Seconds => "s",
            Unit::Millis => "ms",
            Unit::Micros => "us",
            Unit::Ratio => "ratio",
        }
    }

    /// The unit of its metric, by which the metric's name ends, and how many of this one make one of that.
    pub(crate) fn base(self) -> (Option<&'static str>, f64) {
        match self {
            Unit::One => (None, 1.0),
            Unit::Bytes => (Some("bytes"), 1.0),
            Unit::Seconds => (Some("seconds"), 1.0),
            Unit::Millis => (Some("seconds"), 1e3),
            Unit::Micros => (Some("seconds"), 1e6),
            Unit::Ratio => (Some("ratio"), 1.0),
        }
    }
}

/// The place of a figure among the metrics. Names are without unit and suffix, which the unit and the kind say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// A label on each sample of its thing, which tells things apart.
    Identity(&'static str),
    /// A label of the info metric of this name; what stands for nothing.
    Info(&'static str, &'static str, &'static str),
    /// Samples of a family, which several figures may share.
    Samples {
        /// Whether the family only grows.
        kind: Kind,
        /// The family.
        family: &'static str,
        /// Label that tells this figure's samples apart from others of the family.
        label: Label,
    },
}

/// A kind of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows.
    Counter,
}

/// A label of a figure's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// None.
    None,
    /// This one with this value.
    Fixed(&'static str, &'static str),
    /// This one with the key of each part.
    Part(&'static str),
}

impl Label {
    /// Its name.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Label::None => None,
            Label::Fixed(name, _) | Label::Part(name) => Some(name),
        }
    }
}

impl Metric {
    /// A gauge.
    pub(crate) const fn gauge(family: &'static str) -> Metric {
        Metric::Samples { kind: Kind::Gauge, family, label: Label::None }
    }

    /// A counter.
    pub(crate) const fn counter(family: &'static str) -> Metric {
        Metric::Samples { kind: Kind::Counter, family, label: Label::None }
    }

    /// With a label.
    pub(crate) const fn labelled(self, label: Label) -> Metric {
        match self {
            Metric::Samples { kind, family, .. } => Metric::Samples { kind, family, label },
            other => other,
        }
    }

    /// The whole name of the metric of a figure with this unit; `None` for a label that is on all of them.
    pub fn name(self, unit: Unit) -> Option<String> {
        match self {
            Metric::Identity(_) => None,
            Metric::Info(family, ..) => Some(format!("{family}_info")),
            Metric::Samples { kind, family, .. } => {
                let unit = unit.base().0.map_or_else(String::new, |unit| format!("_{unit}"));
                Some(format!("{family}{unit}{}", if kind == Kind::Counter { "_total" } else { "" }))
            }
        }
    }

    /// The label that the figure is, or that tells its samples apart.
    pub fn label(self) -> Option<&'static str> {
        match self {
            Metric::Identity(label) | Metric::Info(_, label, _) => Some(label),
            Metric::Samples { label, .. } => label.name(),
        }
    }
}

/// A column of the table for people.
pub(crate) struct Column {
    pub(crate) title: &'static str,
    /// In characters; the last column has none.
    pub(crate) width: usize,
    pub(crate) is_left: bool,
    pub(crate) show: fn(&Value) -> String,
}

impl Column {
    /// Numbers, at the right.
    pub(crate) const fn right(title: &'static str, width: usize, show: fn(&Value) -> String) -> Column {
        Column { title, width, is_left: false, show }
    }

    /// Words, at the left.
    pub(crate) const fn left(title: &'static str, width: usize) -> Column {
        Column { title, width, is_left: true, show: |value| value.text_or("-") }
    }
}

/// Describes a kind of thing: its state as a structure, and its figures. A row has the figure's key and type, its unit, its
/// place among the metrics, its columns, its meaning, and the function that reads it from its source.
macro_rules! figures {
    (
        $(#[doc = $doc:literal])* $name:ident ($part:literal) from $source:ty:
        $($key:ident: $type:ty, $unit:ident, $metric:expr, [$($column:expr),*], $help:literal, $read:expr;)*
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, Default, serde::Serialize)]
        pub struct $name {
            $(#[doc = $help] pub $key: $type,)*
        }

        impl $name {
            fn read(source: &$source) -> Self {
                $(let $key: fn(&$source) -> $type = $read;)*
                $name { $($key: $key(source),)* }
            }
        }

        impl $crate::figure::Described for $name {
            const PART: &'static str = $part;
            const FIGURES: &'static [$crate::figure::Figure<Self>] = &[$(
                $crate::figure::Figure {
                    key: stringify!($key),
                    help: $help,
                    unit: $crate::figure::Unit::$unit,
                    metric: $metric,
                    columns: &[$($column),*],
                    value: |state| $crate::value::ToValue::to_value(&state.$key),
                },
            )*];
        }
    };
}
pub(crate) use figures;
