//! The demo's results: one row a setup.

use serde::Serialize;
use std::fmt;

/// How the tenants are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Its name in the table and in JSON.
    pub name: &'static str,
    /// Whether the latency-sensitive tenant runs.
    pub ls: bool,
    /// Whether the best-effort tenant runs.
    pub be: bool,
    /// Whether Missile governs them.
    pub governed: bool,
    /// The part that is other than by default: a variable and its value.
    pub part: Option<(&'static str, &'static str)>,
}

const UNGOVERNED: Setup = Setup { name: "shared", ls: true, be: true, governed: false, part: None };
const GOVERNED: Setup = Setup { name: "missile", governed: true, ..UNGOVERNED };

/// All setups, in the order in which they run.
pub const SETUPS: [Setup; 6] = [
    Setup { name: "ls-alone", be: false, ..UNGOVERNED },
    Setup { name: "be-alone", ls: false, ..UNGOVERNED },
    UNGOVERNED,
    GOVERNED,
    Setup { name: "missile-copies-off", part: Some(("MISSILE_COPIES", "off")), ..GOVERNED },
    Setup { name: "missile-color-on", part: Some(("MISSILE_COLOR", "on")), ..GOVERNED },
];

/// The measurements under one setup.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The setup's name.
    pub setup: &'static str,
    /// The latency that half of the latency-sensitive tenant's requests did not exceed.
    pub ls_p50_ms: Option<f64>,
    /// The latency that 9 of 10 did not exceed.
    pub ls_p90_ms: Option<f64>,
    /// The latency that 99 of 100 did not exceed.
    pub ls_p99_ms: Option<f64>,
    /// The best-effort tenant's kernels a second.
    pub be_per_s: Option<f64>,
    /// The best-effort tenant's copies, in GB/s.
    pub be_copy_gbps: Option<f64>,
}

/// The whole demo.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The GPU's name.
    pub gpu: String,
    /// How long each setup ran.
    pub seconds: f64,
    /// One row a setup.
    pub rows: Vec<Row>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: Option<f64>, digits: usize| match value {
            Some(value) => format!("{value:.digits$}"),
            None => "-".to_owned(),
        };
        writeln!(f, "{}, {} s a row", self.gpu, self.seconds)?;
        writeln!(
            f,
            "{:<20} {:>10} {:>10} {:>10} {:>12} {:>12}",
            "", "LS p50 ms", "LS p90 ms", "LS p99 ms", "BE kernels/s", "BE copy GB/s"
        )?;
        for row in &self.rows {
            let [p50, p90, p99] = [row.ls_p50_ms, row.ls_p90_ms, row.ls_p99_ms].map(|value| number(value, 2));
            let [kernels, copies] = [row.be_per_s, row.be_copy_gbps].map(|value| number(value, 1));
            writeln!(f, "{:<20} {p50:>10} {p90:>10} {p99:>10} {kernels:>12} {copies:>12}", row.setup)?;
        }
        Ok(())
    }
}
