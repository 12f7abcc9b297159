//! What the variables hold.

use super::case::Case;
use super::report::{Effective, Finding};
use settings::{Problem, Settings, VARIABLES};
use std::ffi::OsString;

/// Names that begin like a variable of a tenant's and are read elsewhere: where the libraries lie, what cargo sets for
/// what it runs, and the faults of a library that is made to be tested.
const OTHERS: [&str; 3] = ["MISSILE_LIB_DIR", "MISSILE_BUILT_LIBS", "MISSILE_BREAK"];

/// The check.
pub fn check(case: &Case) -> Finding {
    let (_, problems) = Settings::read(&|name| case.governance.get(name));
    let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    findings(&problems, &names.filter(|name| is_unknown(name)).collect::<Vec<_>>())
}

fn findings(problems: &[Problem], unknown: &[String]) -> Finding {
    let bad = problems.iter().map(|problem| (problem.to_string(), format!("mend or unset {}", problem.variable)));
    let strange = unknown.iter().map(|name| {
        let fix = match nearest(name) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("unset {name}"),
        };
        (format!("{name} is not known"), fix)
    });
    let (details, fixes): (Vec<String>, Vec<String>) = bad.chain(strange).unzip();
    if details.is_empty() {
        return Finding::good("all that are set are understood");
    }
    Finding::bad(details.join("; "), fixes.join("; "))
}

fn is_unknown(name: &str) -> bool {
    let is_known = OTHERS.contains(&name) || VARIABLES.iter().any(|variable| variable.name == name);
    name.starts_with("MISSILE_") && !is_known
}

/// The variable that a name is most like, if it is much like one.
fn nearest(name: &str) -> Option<&'static str> {
    let near = VARIABLES.iter().map(|variable| (distance(name, variable.name), variable.name)).min()?;
    Some(near.1).filter(|_| near.0 <= 3)
}

/// How many letters have to be put in, taken out or changed (Levenshtein's distance).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
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

    #[test]
    fn a_misspelt_name_is_answered_with_the_right_one() {
        assert_eq!(nearest("MISSILE_COLOUR"), Some("MISSILE_COLOR"));
        assert_eq!(nearest("MISSILE_WIEGHT"), Some("MISSILE_WEIGHT"));
        assert_eq!(nearest("MISSILE_SOMETHING_ELSE"), None);
        assert!(is_unknown("MISSILE_COLOUR") && !is_unknown("MISSILE_COLOR") && !is_unknown("MISSILE_LIB_DIR"));
        assert!(!is_unknown("PATH"));
    }
}
