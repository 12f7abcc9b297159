//! The doctor's report.

use serde::Serialize;
use std::fmt;

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether Missile can work with it.
    pub ok: bool,
    /// The facts.
    pub detail: String,
    /// The remedy, where it is not ok.
    pub fix: Option<String>,
}

impl Finding {
    /// In order.
    pub fn good(detail: impl Into<String>) -> Self {
        Finding { ok: true, detail: detail.into(), fix: None }
    }

    /// Not in order, and how to mend it.
    pub fn bad(detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Finding { ok: false, detail: detail.into(), fix: Some(fix.into()) }
    }
}

/// A finding under its check's name, as JSON has it. The keys are stable.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
    fix: Option<String>,
}

impl Check {
    /// The result of the check of this name.
    pub fn new(name: &'static str, finding: Finding) -> Self {
        let Finding { ok, detail, fix } = finding;
        Check { name, ok, detail: one_line(&detail), fix: fix.as_deref().map(one_line) }
    }
}

/// A line break becomes a semicolon, and what else could disturb a terminal a question mark.
fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A variable as a tenant started here would take it. The keys are stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// Its name.
    pub name: &'static str,
    /// The value that holds.
    pub value: String,
    /// `set` or `default`.
    pub source: &'static str,
    /// Why the value that it has does not hold.
    pub problem: Option<String>,
}

/// All that the doctor says. The keys are stable.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The checks.
    pub checks: Vec<Check>,
    /// The variables.
    pub variables: Vec<Effective>,
}

impl Report {
    /// The names of the checks that are not ok.
    pub fn not_ok(&self) -> Vec<&'static str> {
        self.checks.iter().filter(|check| !check.ok).map(|check| check.name).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            writeln!(f, "{}  {}: {}", if check.ok { "ok" } else { "!!" }, check.name, check.detail)?;
            if let Some(fix) = &check.fix {
                writeln!(f, "    fix: {fix}")?;
            }
        }
        let width = |column: fn(&Effective) -> &str, title: &str| {
            self.variables.iter().map(|row| column(row).chars().count()).chain([title.len()]).max().unwrap_or(0)
        };
        let (name, value) = (width(|row| row.name, "variable"), width(|row| &row.value, "value"));
        writeln!(f, "\n{:name$}  {:value$}  from", "variable", "value")?;
        for row in &self.variables {
            write!(f, "{:name$}  {:value$}  {}", row.name, one_line(&row.value), row.source)?;
            match &row.problem {
                Some(problem) => writeln!(f, ": {}", one_line(problem))?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_one_line_and_a_fix_one_more() {
        let checks = vec![
            Check::new("driver", Finding::bad("two\n  lines\n", "one \x1b[31m thing")),
            Check::new("mps", Finding::good("none")),
        ];
        let variables = vec![
            Effective { name: "MISSILE_CLASS", value: "ls".into(), source: "set", problem: None },
            Effective { name: "MISSILE_WEIGHT", value: "1024".into(), source: "default", problem: Some("no".into()) },
        ];
        let report = Report { checks, variables };
        let expected = "!!  driver: two; lines\n    fix: one ?[31m thing\nok  mps: none\n\n\
                        variable        value  from\n\
                        MISSILE_CLASS   ls     set\n\
                        MISSILE_WEIGHT  1024   default: no\n";
        assert_eq!(report.to_string(), expected);
        assert_eq!(report.not_ok(), ["driver"]);
    }
}
