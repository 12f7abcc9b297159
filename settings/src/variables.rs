//! The one list of variables. [`Settings`] and its reader are made from it, and outside of this crate `missile run`'s
//! options and help, `missile doctor`'s check and the table in README.md.

use crate::choices::{ColorChoice, CopyChoice, Idle};
use crate::log::{Log, LogLevel};
use crate::paths::default_region;
use crate::words;
use region::Class;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use units::{Bytes, Nanos};

/// One environment variable of a tenant's.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The values it takes, for people.
    pub values: &'static str,
    /// Its value where it is not set, for people.
    pub default: &'static str,
    /// Its meaning, as the end of a sentence.
    pub meaning: &'static str,
    /// The option of `missile run` that sets it.
    pub option: Option<RunOption>,
}

/// An option of `missile run` that sets a variable.
#[derive(Clone, Copy, Debug)]
pub struct RunOption {
    /// Its name, without the dashes.
    pub name: &'static str,
    /// The placeholder for its value in a usage line.
    pub value: &'static str,
}

/// A variable of Missile's that is none of a tenant's settings.
#[derive(Clone, Copy, Debug)]
pub struct Internal {
    /// Its name.
    pub name: &'static str,
    /// Its meaning.
    pub meaning: &'static str,
}

/// A variable with a value that it does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable.
    pub variable: &'static str,
    /// The value, as far as it is text.
    pub value: String,
    /// The values that it takes.
    pub expected: &'static str,
    /// The value that holds instead.
    pub default: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?} is not understood: it takes {}", self.variable, self.value, self.expected)
    }
}

/// Takes, for each variable: its field in [`Settings`], type and reader; its name, values and default for people; the
/// default itself, from the other variables; its meaning; and the option of `missile run` that sets it.
macro_rules! variables {
    ($(
        $field:ident: $type:ty, $read:path;
        $name:literal, $values:literal, $default_text:literal, $default:expr;
        $meaning:literal $(, --$option:literal $placeholder:literal)?;
    )*) => {
        /// Each variable that a tenant reads, in the order in which they are documented.
        pub const VARIABLES: &[Variable] = &[$(
            Variable {
                name: $name,
                values: $values,
                default: $default_text,
                meaning: $meaning,
                option: [$(Some(RunOption { name: $option, value: $placeholder }),)? None][0],
            },
        )*];

        /// A tenant's settings.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Settings {
            $(#[doc = concat!("`", $name, "`: ", $meaning, ".")] pub $field: $type,)*
        }

        impl Settings {
            /// Reads the settings through `get`, which looks a variable up. A bad value leaves the default and a
            /// [`Problem`].
            pub fn read(get: &dyn Fn(&str) -> Option<OsString>) -> (Settings, Vec<Problem>) {
                let mut problems = Vec::new();
                let settings = Settings {
                    $($field: {
                        let known = Known { name: $name, values: $values, default: $default_text };
                        known.read(get, &mut problems, $read).unwrap_or_else(|| {
                            let default: fn(&dyn Fn(&str) -> Option<OsString>) -> $type = $default;
                            default(get)
                        })
                    },)*
                };
                (settings, problems)
            }
        }
    };
}

variables! {
    class: Class, words::class;
    "MISSILE_CLASS", "ls, be", "be", |_| Class::Be;
    "latency-sensitive or best-effort", --"class" "ls|be";

    weight: u32, words::weight;
    "MISSILE_WEIGHT", "1 to 10000", "1024", |_| 1024;
    "share of the bus and of the GPU's time among tenants of its class", --"weight" "N";

    color: ColorChoice, words::color;
    "MISSILE_COLOR", "auto, on, a colour number, off", "auto", |_| ColorChoice::Auto;
    "DRAM channels that its memory lies on (auto: all where colours are sides of the L2)", --"color" "auto|on|N|off";

    color_min: Bytes, words::size;
    "MISSILE_COLOR_MIN", "a size such as 2M", "2M", |_| Bytes::mib(2);
    "size of the smallest allocations that are coloured";

    color_max: Option<Bytes>, words::limit;
    "MISSILE_COLOR_MAX", "a size such as 8G", "none", |_| None;
    "size of the largest allocations that are coloured";

    copies: CopyChoice, words::copies;
    "MISSILE_COPIES", "on, gate, off", "on", |_| CopyChoice::On;
    "way in which its copies share the bus (time slices of the copy engines, a gate on the host, none)",
    --"copies" "on|gate|off";

    hold_max: Nanos, words::hold;
    "MISSILE_HOLD_MAX_MS", "0 to 10000", "250", |_| Nanos::from_millis(250);
    "longest time in milliseconds for which a best-effort launch waits for latency-sensitive work under MPS (0: never)",
    --"hold-max-ms" "N";

    ahead: Nanos, words::ahead;
    "MISSILE_AHEAD_US", "20 to 100000", "100", |_| Nanos::from_micros(100);
    "work in microseconds that a best-effort tenant may have queued under MPS beside latency-sensitive ones",
    --"ahead-us" "N";

    idle: Idle, words::idle;
    "MISSILE_IDLE_US", "auto, 0 to 10000", "auto", |_| Idle::Auto;
    "time in microseconds for which a latency-sensitive tenant counts as at work after its work is done",
    --"idle-us" "auto|N";

    target: Option<u32>, words::target;
    "MISSILE_SLO", "1.01 to 10", "no target", |_| None;
    "factor of its p99 alone within which a latency-sensitive tenant's p99 is to stay; best-effort tenants get what that allows",
    --"slo" "FACTOR";

    table: Option<PathBuf>, words::file;
    "MISSILE_TABLE", "a file", "by GPU UUID in the data folder", |_| None;
    "probed channel hash of the GPU";

    region: PathBuf, words::path;
    "MISSILE_REGION", "a file", "in the runtime folder", default_region;
    "the arbiter's region";

    strict: bool, words::flag;
    "MISSILE_STRICT", "0, 1", "0", |_| false;
    "whether cuInit fails where the program would run ungoverned";

    disable: bool, words::flag;
    "MISSILE_DISABLE", "0, 1", "0", |_| false;
    "whether each call passes through";

    log: Log, words::log;
    "MISSILE_LOG", "error, warn, info or debug, and optionally :FILE", "warn",
    |_| Log { level: LogLevel::Warn, file: None };
    "messages of the preloaded library, and the file that they go to instead of standard error";
}

/// Each other variable that begins with `MISSILE_`: of the command line, the build and the tests. No tenant reads them.
pub const INTERNAL: &[Internal] = &[
    Internal { name: "MISSILE_LIB_DIR", meaning: "folder of the libraries that programs are given" },
    Internal { name: "MISSILE_BUILT_LIBS", meaning: "folder of the libraries that the build made, set by cargo" },
    Internal { name: "MISSILE_PACKAGED", meaning: "set while a release is built, which looks where it is installed" },
    Internal { name: "MISSILE_BREAK", meaning: "fault of a preloaded library that is built to be tested" },
    Internal { name: "MISSILE_BENCH_INSIDE", meaning: "set for the program that the benchmark of the hooks starts" },
    Internal { name: "MISSILE_FUZZ_CALLS", meaning: "number of calls that the test with random calls makes" },
    Internal { name: "MISSILE_STORM_KILLS", meaning: "number of tenants that the arbiter's test with deaths kills" },
    Internal { name: "MISSILE_GPU_CHECK", meaning: "set for the programs that the checks on a GPU start" },
];

/// A variable, as far as its reading needs it.
struct Known {
    name: &'static str,
    values: &'static str,
    default: &'static str,
}

impl Known {
    /// The value, if there is one that is understood. One that is empty counts as none.
    fn read<T>(
        &self,
        get: &dyn Fn(&str) -> Option<OsString>,
        problems: &mut Vec<Problem>,
        read: fn(&OsStr) -> Option<T>,
    ) -> Option<T> {
        let text = get(self.name).filter(|text| !text.is_empty())?;
        let value = read(&text);
        if value.is_none() {
            problems.push(Problem {
                variable: self.name,
                value: text.to_string_lossy().into_owned(),
                expected: self.values,
                default: self.default,
            });
        }
        value
    }
}

impl Settings {
    /// Reads the settings from this process's environment.
    pub fn from_env() -> (Settings, Vec<Problem>) {
        Settings::read(&|name| std::env::var_os(name))
    }
}
