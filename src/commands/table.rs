//! `missile table`: what a table says, in words.

use crate::explain;
use crate::failure::{Failure, Outcome};
use crate::output::print;
use hashprobe::Table;
use std::path::PathBuf;

/// Explains what a probe found: what the GPU's memory is divided into, how good that is, and what can be coloured.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A table that `missile probe` made
    file: PathBuf,
    /// Print the finding as JSON, as `missile probe --json` does
    #[arg(long)]
    json: bool,
}

/// Prints a table's explanation; one that is damaged or cannot be true is refused.
pub fn run(arguments: Arguments) -> Outcome {
    let table = Table::load(&arguments.file).map_err(Failure::failed)?;
    print(&match arguments.json {
        true => serde_json::to_string_pretty(&table.report(Some(&arguments.file))).map_err(Failure::failed)? + "\n",
        false => explain::whole(&table),
    })
}
