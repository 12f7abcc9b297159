//! `missile run`: makes a program a tenant.

use crate::failure::{Failure, Outcome};
use crate::governance::Governance;
use crate::known_gpus::known_gpus;
use crate::simulated::SimulatedGpu;
use crate::tables;
use crate::variables::unknown;
use clap::{Arg, ArgMatches, FromArgMatches, value_parser};
use region::Class;
use settings::{VARIABLES, Variable};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;

/// Runs a program as a tenant of the GPU.
///
/// Exits with the program's own code; with 127 where the program is not found and 126 where it cannot be executed.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    chosen: Chosen,
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

/// The variables that options set, with their values.
#[derive(Debug)]
struct Chosen(Vec<(&'static str, OsString)>);

impl clap::Args for Chosen {
    fn augment_args(command: clap::Command) -> clap::Command {
        let options = VARIABLES.iter().filter_map(|variable| Some((variable, variable.option?)));
        command.args(options.map(|(variable, option)| {
            let arg = Arg::new(variable.name).long(option.name).value_name(option.value);
            arg.value_parser(value_parser!(OsString)).help(help_of(variable))
        }))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Chosen::augment_args(command)
    }
}

fn help_of(Variable { name, values, default, meaning, .. }: &Variable) -> String {
    let (first, rest) = meaning.split_at(1);
    format!("{}{rest} [{name}: {values}; default {default}]", first.to_uppercase())
}

impl FromArgMatches for Chosen {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let options = VARIABLES.iter().filter(|variable| variable.option.is_some());
        let chosen = options.filter_map(|variable| Some((variable.name, matches.get_one(variable.name).cloned()?)));
        Ok(Chosen(chosen.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Chosen::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Does not return where the program was started.
pub fn run(arguments: Arguments) -> Outcome {
    let Arguments { chosen, deepbind, sim, program } = arguments;
    let mut governance = Governance::new(sim).deepbind(deepbind);
    for (variable, value) in chosen.0 {
        governance = governance.with(variable, value);
    }
    if let Some(unknown) = unknown(std::env::vars_os().map(|(name, _)| name)).first() {
        return Err(Failure::usage(unknown.to_string()));
    }
    let settings = governance.settings().map_err(Failure::usage)?;
    if settings.target.is_some() && settings.class != Class::Ls {
        return Err(Failure::usage(
            "--slo (MISSILE_SLO) is a latency-sensitive tenant's: add --class ls, or leave it out",
        ));
    }
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
