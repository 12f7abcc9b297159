//! A snapshot for people.

use crate::figure::{Column, Described};
use crate::snapshot::{MapState, Snapshot, TenantState};
use std::fmt;
use units::Bytes;

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.arbiter {
            Some(arbiter) => writeln!(f, "arbiter {}, up {:.0} s", arbiter.pid, arbiter.uptime_s)?,
            None => writeln!(f, "no arbiter runs: start one with `missile up`")?,
        }
        let MapState { used, budget, guaranteed } = self.maps;
        writeln!(f, "maps    {used} of {budget}, {guaranteed} guaranteed to a tenant")?;
        for bus in &self.bus {
            let (bytes, busy) = (Bytes::new(bus.bytes).to_string(), bus.busy_ratio * 100.0);
            writeln!(f, "gpu {} {}  {bytes:>10}  {busy:3.0} % busy", bus.gpu, bus.dir)?;
        }
        writeln!(f)?;
        line(f, |_, column| column.title.to_owned())?;
        self.tenants.iter().try_for_each(|tenant| line(f, |value, column| (column.show)(&value(tenant))))
    }
}

/// One line of the tenants' table, whose cells `cell` makes from a figure's value and a column.
fn line(f: &mut fmt::Formatter<'_>, cell: impl Fn(fn(&TenantState) -> crate::Value, &Column) -> String) -> fmt::Result {
    let columns =
        TenantState::FIGURES.iter().flat_map(|figure| figure.columns.iter().map(move |it| (figure.value, it)));
    let cells = columns.map(|(value, column)| {
        let (text, width) = (cell(value, column), column.width);
        match column.is_left {
            true if width > 0 => format!("{text:<width$.width$}"),
            true => text,
            false => format!("{text:>width$}"),
        }
    });
    writeln!(f, "{}", cells.collect::<Vec<_>>().join(" "))
}
