//! Values as operators write them. Each function returns `None` for text that is no such value.

use crate::choices::{ColorChoice, CopyChoice, Idle};
use crate::log::{Log, LogLevel};
use region::Class;
use std::ffi::OsStr;
use std::path::PathBuf;
use units::{Bytes, Nanos};

/// `ls` or `be`.
pub(crate) fn class(text: &OsStr) -> Option<Class> {
    [Class::Ls, Class::Be].into_iter().find(|class| class.name() == text)
}

/// A weight from 1 to 10000.
pub(crate) fn weight(text: &OsStr) -> Option<u32> {
    number(text.to_str()?, 1, 10_000)
}

/// `auto`, `on`, `off` or the number of a colour.
pub(crate) fn color(text: &OsStr) -> Option<ColorChoice> {
    match text.to_str()? {
        "auto" => Some(ColorChoice::Auto),
        "on" => Some(ColorChoice::On),
        "off" => Some(ColorChoice::Off),
        text => number(text, 0, 255).map(ColorChoice::Number),
    }
}

/// `on`, `gate` or `off`.
pub(crate) fn copies(text: &OsStr) -> Option<CopyChoice> {
    match text.to_str()? {
        "on" => Some(CopyChoice::On),
        "gate" => Some(CopyChoice::Gate),
        "off" => Some(CopyChoice::Off),
        _ => None,
    }
}

/// The longest hold of a launch, in milliseconds.
pub(crate) fn hold(text: &OsStr) -> Option<Nanos> {
    number(text.to_str()?, 0, 10_000).map(|millis| Nanos::from_millis(millis.into()))
}

/// The time of work ahead, in microseconds.
pub(crate) fn ahead(text: &OsStr) -> Option<Nanos> {
    number(text.to_str()?, 20, 100_000).map(|micros| Nanos::from_micros(micros.into()))
}

/// `auto`, or a time in microseconds.
pub(crate) fn idle(text: &OsStr) -> Option<Idle> {
    match text.to_str()? {
        "auto" => Some(Idle::Auto),
        text => number(text, 0, 10_000).map(|micros| Idle::Fixed(Nanos::from_micros(micros.into()))),
    }
}

/// A factor from 1.01 to 10, in thousandths.
pub(crate) fn target(text: &OsStr) -> Option<Option<u32>> {
    let factor: f64 = text.to_str()?.parse().ok()?;
    (1.01..=10.0).contains(&factor).then(|| Some((factor * 1e3).round() as u32))
}

/// A size such as `2M`.
pub(crate) fn size(text: &OsStr) -> Option<Bytes> {
    text.to_str()?.parse().ok()
}

/// A size such as `8G`, of a limit that need not be.
pub(crate) fn limit(text: &OsStr) -> Option<Option<Bytes>> {
    size(text).map(Some)
}

/// `0` or `1`.
pub(crate) fn flag(text: &OsStr) -> Option<bool> {
    match text.to_str()? {
        "1" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

/// Any path.
pub(crate) fn path(text: &OsStr) -> Option<PathBuf> {
    Some(text.into())
}

/// The path of a file that need not be named.
pub(crate) fn file(text: &OsStr) -> Option<Option<PathBuf>> {
    path(text).map(Some)
}

/// `LEVEL` or `LEVEL:FILE`.
pub(crate) fn log(text: &OsStr) -> Option<Log> {
    let text = text.to_str()?;
    let (level, file) = text.split_once(':').unwrap_or((text, ""));
    let file = Some(file).filter(|file| !file.is_empty()).map(PathBuf::from);
    LogLevel::from_name(level).map(|level| Log { level, file })
}

fn number(text: &str, least: u32, most: u32) -> Option<u32> {
    text.parse().ok().filter(|n| (least..=most).contains(n))
}
