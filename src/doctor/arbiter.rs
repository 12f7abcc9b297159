//! Whether an arbiter lives and can be reached.

use super::case::Case;
use super::report::Finding;
use observe::{ArbiterState, Snapshot};
use region::OpenError;
use std::fs;

const START: &str = "`missile up`";

/// The check.
pub fn check(case: &Case) -> Finding {
    match &case.snapshot {
        Ok(Snapshot { arbiter: Some(arbiter), .. }) => {
            alive(arbiter, process(arbiter.pid), observe::exporter::metrics_of(&case.settings.region))
        }
        Ok(_) => {
            let region = case.settings.region.display();
            Finding::bad(format!("none is running: nobody holds {region}"), START)
        }
        Err(OpenError::Missing(path)) => {
            Finding::bad(format!("none is running: there is no {}", path.display()), START)
        }
        Err(_) => Finding::bad("not looked for, as the region cannot be read", "mend `region` first"),
    }
}

/// The kernel's view of the process that the region names.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    name: String,
    is_stopped: bool,
}

fn alive(arbiter: &ArbiterState, process: Option<Process>, metrics: Option<String>) -> Finding {
    let ArbiterState { pid, uptime_s } = arbiter;
    match process {
        Some(Process { name, is_stopped: false }) if name.starts_with("missile") => {
            let metrics = metrics.map_or_else(String::new, |served| format!(", metrics at {served}"));
            Finding::good(format!("process {pid}, running for {}{metrics}", duration(*uptime_s)))
        }
        Some(Process { name, is_stopped: true }) if name.starts_with("missile") => {
            Finding::bad(format!("process {pid} is stopped: tenants run ungoverned"), format!("`kill -CONT {pid}`"))
        }
        _ => Finding::bad(
            format!("one holds the region, but process {pid}, as it calls itself, is not it here"),
            "run the arbiter and the tenants in one PID namespace (containers: `--pid=host`, or one pod with \
             shareProcessNamespace)",
        ),
    }
}

fn process(pid: u32) -> Option<Process> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads `PID (NAME) STATE …` (proc(5)); the name may have any character.
fn parse_stat(stat: &str) -> Option<Process> {
    let (before, after) = stat.rsplit_once(')')?;
    let name = before.split_once('(')?.1.to_owned();
    Some(Process { name, is_stopped: after.trim_start().starts_with(['T', 't']) })
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read_whatever_the_name() {
        let process = |name: &str, is_stopped| Some(Process { name: name.to_owned(), is_stopped });
        assert_eq!(parse_stat("12 (missile) S 1 12 12"), process("missile", false));
        assert_eq!(parse_stat("12 (a) S (b) T 1 12"), process("a) S (b", true));
        assert_eq!(parse_stat("garbage"), None);
    }

    #[test]
    fn a_stopped_or_foreign_arbiter_is_not_ok() {
        let arbiter = ArbiterState { pid: 7, uptime_s: 200.0 };
        let process = |name: &str, is_stopped| Some(Process { name: name.to_owned(), is_stopped });
        let good = alive(&arbiter, process("missile", false), None);
        assert_eq!((good.ok, good.detail.as_str()), (true, "process 7, running for 3 min"));
        let served = alive(&arbiter, process("missile", false), Some("unix:/m".to_owned()));
        assert_eq!((served.ok, served.detail.as_str()), (true, "process 7, running for 3 min, metrics at unix:/m"));
        assert!(alive(&arbiter, process("missile", true), None).fix.is_some_and(|fix| fix.contains("-CONT 7")));
        for foreign in [None, process("sh", false)] {
            assert!(alive(&arbiter, foreign, None).fix.is_some_and(|fix| fix.contains("namespace")));
        }
    }
}
