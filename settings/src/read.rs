//! Reading the variables.

use crate::log_level::LogLevel;
use crate::paths::default_region;
use crate::variables::{self as var, VARIABLES};
use region::Class;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use units::Bytes;

/// Which colour a tenant wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorChoice {
    /// As [`ColorChoice::On`] where colours are channels; none where they are sides of the L2.
    Auto,
    /// By class: the latency-sensitive and the best-effort get different ones.
    On,
    /// This one.
    Number(u32),
    /// None: memory stays as the driver makes it.
    Off,
}

impl ColorChoice {
    /// The colour that this choice means where there are `colors` of them: the latency-sensitive get the first and the
    /// best-effort the last. `None` for a colour that does not exist, for `Off`, or where there is only one colour, which
    /// separates nobody.
    pub fn resolve(self, class: Class, colors: u32) -> Option<u32> {
        match (self, class) {
            _ if colors < 2 => None,
            (ColorChoice::Off, _) => None,
            (ColorChoice::Auto | ColorChoice::On, Class::Ls) => Some(0),
            (ColorChoice::Auto | ColorChoice::On, Class::Be) => Some(colors - 1),
            (ColorChoice::Number(number), _) => (number < colors).then_some(number),
        }
    }
}

/// The way in which a tenant's copies share the bus with others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyChoice {
    /// By time slices of the copy engines; by the software gate where the kernel refuses those.
    On,
    /// By the software gate: the host holds copies back.
    Gate,
    /// As without Missile.
    Off,
}

/// A tenant's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the tenant is to the others.
    pub class: Class,
    /// Its share of the bus and of the GPU's time among its class, 1 to 10000.
    pub weight: u32,
    /// Its colour.
    pub color: ColorChoice,
    /// Smaller allocations stay uncoloured.
    pub color_min: Bytes,
    /// Larger allocations stay uncoloured.
    pub color_max: Option<Bytes>,
    /// The way in which its copies share the bus.
    pub copies: CopyChoice,
    /// The table file, where not the default one.
    pub table: Option<PathBuf>,
    /// The region file.
    pub region: PathBuf,
    /// Whether `cuInit` fails where Missile cannot govern.
    pub strict: bool,
    /// Whether every call passes through.
    pub disable: bool,
    /// How much the library says.
    pub log: LogLevel,
    /// Where it says it, where not on standard error.
    pub log_file: Option<PathBuf>,
}

/// A variable with a value that it does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable.
    pub variable: &'static str,
    /// The value, as far as it is text.
    pub value: String,
    /// What it may be.
    pub expected: &'static str,
    /// What holds instead.
    pub default: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?} is not understood: it takes {}", self.variable, self.value, self.expected)
    }
}

impl Settings {
    /// Reads the settings through `get`, which looks a variable up. A bad value leaves the default and a [`Problem`].
    pub fn read(get: &dyn Fn(&str) -> Option<OsString>) -> (Settings, Vec<Problem>) {
        let mut problems = Vec::new();
        let (log, log_file) = value(get, &mut problems, var::LOG, log_target).unwrap_or((LogLevel::Warn, None));
        let mut read = Reader { get, problems: &mut problems };
        let settings = Settings {
            class: read.or(var::CLASS, class, Class::Be),
            weight: read.or(var::WEIGHT, |text| number(text, 1, 10_000), 1024),
            color: read.or(var::COLOR, color, ColorChoice::Auto),
            color_min: read.or(var::COLOR_MIN, |text| text.parse().ok(), Bytes::mib(2)),
            color_max: read.or(var::COLOR_MAX, |text| text.parse().ok().map(Some), None),
            copies: read.or(var::COPIES, copies, CopyChoice::On),
            strict: read.or(var::STRICT, flag, false),
            disable: read.or(var::DISABLE, flag, false),
            table: path(get, var::TABLE),
            region: path(get, var::REGION).unwrap_or_else(|| default_region(get)),
            log,
            log_file,
        };
        (settings, problems)
    }

    /// Reads the settings from this process's environment.
    pub fn from_env() -> (Settings, Vec<Problem>) {
        Settings::read(&|name| std::env::var_os(name))
    }
}

struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<OsString>,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn or<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Option<T>, default: T) -> T {
        value(self.get, self.problems, name, parse).unwrap_or(default)
    }
}

fn value<T>(
    get: &dyn Fn(&str) -> Option<OsString>,
    problems: &mut Vec<Problem>,
    name: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let text = get(name).filter(|text| !text.is_empty())?;
    let parsed = text.to_str().and_then(parse);
    if parsed.is_none() {
        let variable = VARIABLES.iter().find(|variable| variable.name == name);
        problems.push(Problem {
            variable: name,
            value: text.to_string_lossy().into_owned(),
            expected: variable.map_or("", |v| v.values),
            default: variable.map_or("", |v| v.default),
        });
    }
    parsed
}

fn path(get: &dyn Fn(&str) -> Option<OsString>, name: &str) -> Option<PathBuf> {
    get(name).filter(|text| !text.is_empty()).map(PathBuf::from)
}

fn class(text: &str) -> Option<Class> {
    [Class::Ls, Class::Be].into_iter().find(|class| class.name() == text)
}

fn number(text: &str, least: u32, most: u32) -> Option<u32> {
    text.parse().ok().filter(|n| (least..=most).contains(n))
}

fn color(text: &str) -> Option<ColorChoice> {
    match text {
        "auto" => Some(ColorChoice::Auto),
        "on" => Some(ColorChoice::On),
        "off" => Some(ColorChoice::Off),
        _ => number(text, 0, 255).map(ColorChoice::Number),
    }
}

fn copies(text: &str) -> Option<CopyChoice> {
    match text {
        "on" => Some(CopyChoice::On),
        "gate" => Some(CopyChoice::Gate),
        "off" => Some(CopyChoice::Off),
        _ => None,
    }
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

fn log_target(text: &str) -> Option<(LogLevel, Option<PathBuf>)> {
    let (level, file) = match text.split_once(':') {
        Some((level, file)) => (level, Some(PathBuf::from(file)).filter(|file| !file.as_os_str().is_empty())),
        None => (text, None),
    };
    LogLevel::from_name(level).map(|level| (level, file))
}
