//! `missile run`: makes a program a tenant.

use crate::failure::{Failure, Outcome};
use crate::governance::Governance;
use crate::known_gpus::known_gpus;
use crate::simulated::SimulatedGpu;
use crate::tables;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;

/// Runs a program as a tenant of the GPU.
///
/// Exits with the program's own code; with 127 where the program is not found and 126 where it cannot be executed.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Latency-sensitive or best-effort: ls, be [MISSILE_CLASS]
    #[arg(long)]
    class: Option<OsString>,
    /// Share of the bus and of the GPU's time among tenants of its class: 1 to 10000 [MISSILE_WEIGHT]
    #[arg(long, value_name = "N")]
    weight: Option<OsString>,
    /// Which DRAM channels its memory lies on: auto, on, a colour number, off [MISSILE_COLOR]
    #[arg(long, value_name = "auto|on|N|off")]
    color: Option<OsString>,
    /// The way in which its copies share the bus: on (time slices), gate (held back on the host), off [MISSILE_COPIES]
    #[arg(long, value_name = "on|gate|off")]
    copies: Option<OsString>,
    /// Govern libraries too that bind deeply (RTLD_DEEPBIND), by a second library that stands before the driver's
    #[arg(long)]
    deepbind: bool,
    /// Run on a simulated GPU: a built-in name such as h200, or a TOML file
    #[arg(long, value_name = "GPU", value_parser = SimulatedGpu::find)]
    sim: Option<SimulatedGpu>,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    program: Vec<OsString>,
}

/// Does not return where the program was started.
pub fn run(arguments: Arguments) -> Outcome {
    let Arguments { class, weight, color, copies, deepbind, sim, program } = arguments;
    let mut governance = Governance::new(sim).deepbind(deepbind);
    let flags =
        [("MISSILE_CLASS", class), ("MISSILE_WEIGHT", weight), ("MISSILE_COLOR", color), ("MISSILE_COPIES", copies)];
    for (variable, value) in flags {
        if let Some(value) = value {
            governance = governance.with(variable, value);
        }
    }
    let settings = governance.settings().map_err(Failure::usage)?;
    let data_folder = settings::data_folder(&|name| governance.get(name));
    tables::check(&settings, &data_folder, &known_gpus(governance.simulated())).map_err(Failure::usage)?;

    let Some((program, arguments)) = program.split_first() else {
        return Err(Failure::usage("say which program to run: missile run -- CMD"));
    };
    let error = governance.command(program).map_err(Failure::failed)?.args(arguments).exec();
    let message = format!("cannot run {}: {error}", program.display());
    Err(match error.kind() {
        ErrorKind::NotFound => Failure::not_found(message),
        _ => Failure::not_executable(message),
    })
}
