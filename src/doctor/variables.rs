//! The check of the variables.

use super::case::Case;
use super::report::{Effective, Finding};
use crate::variables::{Unknown, unknown};
use settings::{Problem, Settings, VARIABLES};
use std::ffi::OsString;

/// The check.
pub fn check(case: &Case) -> Finding {
    let (_, problems) = Settings::read(&|name| case.governance.get(name));
    findings(&problems, &unknown(std::env::vars_os().map(|(name, _)| name)))
}

fn findings(problems: &[Problem], unknown: &[Unknown]) -> Finding {
    let bad = problems.iter().map(|problem| (problem.to_string(), format!("mend or unset {}", problem.variable)));
    let strange = unknown.iter().map(|unknown| {
        let Unknown { name, nearest } = unknown;
        (format!("{name} is not a variable of Missile"), format!("did you mean {nearest}? If not, unset {name}"))
    });
    let (details, fixes): (Vec<String>, Vec<String>) = bad.chain(strange).unzip();
    if details.is_empty() {
        return Finding::good("all that are set are understood");
    }
    Finding::bad(details.join("; "), fixes.join("; "))
}

/// Each variable as a program would take it.
pub fn effective(get: &dyn Fn(&str) -> Option<OsString>) -> Vec<Effective> {
    let (_, problems) = Settings::read(get);
    let row = |name: &'static str, default: &str| {
        let problem = problems.iter().find(|problem| problem.variable == name).map(Problem::to_string);
        match get(name).filter(|value| !value.is_empty() && problem.is_none()) {
            Some(value) => {
                Effective { name, value: value.to_string_lossy().into_owned(), source: "set", problem: None }
            }
            None => Effective { name, value: default_of(name, default, get), source: "default", problem },
        }
    };
    VARIABLES.iter().map(|variable| row(variable.name, variable.default)).collect()
}

/// The default, with the file's path where it is one.
fn default_of(name: &str, default: &str, get: &dyn Fn(&str) -> Option<OsString>) -> String {
    match name {
        "MISSILE_REGION" => settings::default_region(get).display().to_string(),
        "MISSILE_TABLE" => settings::tables_folder(get).join("<GPU UUID>.toml").display().to_string(),
        _ => default.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(name: &str) -> Option<OsString> {
        let set = [
            ("MISSILE_CLASS", "ls"),
            ("MISSILE_WEIGHT", "0"),
            ("MISSILE_COLOR", ""),
            ("XDG_RUNTIME_DIR", "/run/me"),
            ("XDG_DATA_HOME", "/data"),
        ];
        set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
    }

    #[test]
    fn a_row_says_what_holds_and_why() {
        let rows = effective(&get);
        assert_eq!(rows.len(), VARIABLES.len());
        let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
        assert_eq!((row("MISSILE_CLASS").value.as_str(), row("MISSILE_CLASS").source), ("ls", "set"));
        let weight = row("MISSILE_WEIGHT");
        assert_eq!((weight.value.as_str(), weight.source), ("1024", "default"));
        assert!(weight.problem.as_ref().is_some_and(|problem| problem.contains("1 to 10000")), "{weight:?}");
        assert_eq!((row("MISSILE_COLOR").value.as_str(), row("MISSILE_COLOR").source), ("auto", "default"));
        assert_eq!(row("MISSILE_REGION").value, "/run/me/missile/region");
        assert_eq!(row("MISSILE_TABLE").value, "/data/missile/tables/<GPU UUID>.toml");
    }
}
