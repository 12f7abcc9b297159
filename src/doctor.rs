//! The checks of `missile doctor`, one file a subject.
//!
//! A check looks at the [`Case`], which holds what is gathered once, and returns a [`Finding`]. It must not change
//! anything on the machine, and whatever may hang or crash (the driver) is asked in a child ([`witness`]).

mod arbiter;
mod case;
mod coverage;
mod driver;
mod gpus;
mod kernel;
mod libraries;
mod mps;
mod preload;
mod region;
mod report;
mod table;
mod variables;
mod witness;

pub use case::Case;
pub use report::Report;
pub use witness::Question;

use crate::libraries::SHIM;
use report::{Check, Finding};

/// A check.
type Look = fn(&Case) -> Finding;

/// Every check under its name, in the order in which things depend on each other. The names are stable.
const CHECKS: &[(&str, Look)] = &[
    ("kernel", kernel::check),
    ("libraries", libraries::check),
    ("preload", preload::check),
    ("driver", |case| driver::check(&case.driver, case.governance.simulated().is_some(), case.driver_version())),
    ("gpus", gpus::check),
    ("table", table::check),
    ("region", region::check),
    ("arbiter", arbiter::check),
    ("mps", mps::check),
    ("coverage", coverage::check),
    ("variables", variables::check),
];

/// A witness's answer to a question.
pub fn answer(question: Question) -> String {
    match question {
        Question::Preload => witness::mapped(SHIM).join("\n"),
        Question::Driver => serde_json::to_string(&driver::Answer::of_this_process()).unwrap_or_default(),
    }
}

/// Makes every check.
pub fn report(case: &Case) -> Report {
    let checks = CHECKS.iter().map(|(name, check)| Check::new(name, check(case))).collect();
    Report { checks, variables: variables::effective(&|name| case.governance.get(name)) }
}
