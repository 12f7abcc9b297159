//! `missile probe`: measures the channel hash of a GPU.

use crate::failure::{Failure, Outcome};
use crate::governance::Governance;
use crate::known_gpus::kernel_driver;
use crate::simulated::SimulatedGpu;
use hashprobe::{BenchError, CudaBench, Options, ProbeError, Progress, Table};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Measures which channels the GPU's pages lie on, and keeps the answer as a table.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Which GPU, as CUDA counts them
    #[arg(long, value_name = "N", default_value_t = 0)]
    gpu: u32,
    /// Probe a simulated GPU: a built-in name such as h200, or a TOML file
    #[arg(long, value_name = "GPU", value_parser = SimulatedGpu::find)]
    sim: Option<SimulatedGpu>,
    /// Where to keep the table [default: by the GPU's UUID in the data folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the finding as JSON
    #[arg(long)]
    json: bool,
    /// This process has libmissile.so already, which tells physical addresses.
    #[arg(long, hide = true)]
    preloaded: bool,
}

/// Probes, in a process that has the library preloaded.
pub fn run(arguments: Arguments) -> Outcome {
    if !arguments.preloaded {
        return Err(again_with_the_library(arguments.sim));
    }
    let bar = progress_bar(arguments.json);
    let driver = arguments.sim.map(|gpu| gpu.driver).or_else(kernel_driver);
    let mut bench = CudaBench::open(arguments.gpu, driver).map_err(bench_failure)?;
    let mut progress = |step: Progress| {
        bar.set_message(step.to_string());
        bar.inc(1);
    };
    let finding = hashprobe::probe(&mut bench, &Options::default(), &mut progress).map_err(|error| match error {
        ProbeError::Bench(error) => bench_failure(error),
        error => Failure::failed(error),
    })?;
    bar.finish_and_clear();
    let table = Table::new(&finding, SystemTime::now());
    let path = arguments.out.unwrap_or_else(|| {
        let data_folder = settings::data_folder(&|name| std::env::var_os(name));
        Table::default_path(&data_folder, table.gpu().uuid)
    });
    table.save(&path).map_err(Failure::failed)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&table.report(Some(&path))).map_err(Failure::failed)?);
    } else {
        print_summary(&table, &path);
    }
    Ok(())
}

/// Replaces this process by one like it that has the library; returns only why that failed.
fn again_with_the_library(sim: Option<SimulatedGpu>) -> Failure {
    // Ungoverned: the probe must see memory as the driver hands it out, and all of the GPU.
    let settings =
        [("MISSILE_DISABLE", "0"), ("MISSILE_COLOR", "off"), ("MISSILE_COPIES", "off"), ("MISSILE_SMS", "off")];
    let mut governance = Governance::new(sim).with("MISSILE_STRICT", "0").with("MISSILE_LOG", "error");
    for (name, value) in settings {
        governance = governance.with(name, value);
    }
    let mut command = match std::env::current_exe() {
        Ok(this) => match governance.command(this) {
            Ok(command) => command,
            Err(error) => return Failure::failed(error),
        },
        Err(error) => return Failure::failed(format!("cannot find the program that is running: {error}")),
    };
    let error = command.args(std::env::args_os().skip(1)).arg("--preloaded").exec();
    Failure::failed(format!("cannot run missile again with libmissile.so: {error}"))
}

/// A machine without a usable GPU is not a fault.
fn bench_failure(error: BenchError) -> Failure {
    use abi::cuda::{CUDA_ERROR_NO_DEVICE, CUDA_ERROR_NOT_SUPPORTED, CUDA_ERROR_SYSTEM_NOT_READY};
    match error {
        BenchError::NoLibrary(_) | BenchError::NoFunction { .. } | BenchError::NoSuchGpu { .. } => {
            Failure::impossible(error)
        }
        BenchError::Call { code, .. }
            if [CUDA_ERROR_NO_DEVICE, CUDA_ERROR_NOT_SUPPORTED, CUDA_ERROR_SYSTEM_NOT_READY].contains(&code) =>
        {
            Failure::impossible(error)
        }
        BenchError::NoPhysicalAddresses | BenchError::UnknownRange { .. } => Failure::impossible(error),
        error => Failure::failed(error),
    }
}

fn progress_bar(json: bool) -> ProgressBar {
    let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target).with_style(ProgressStyle::default_spinner());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn print_summary(table: &Table, path: &Path) {
    println!("{} ({})", table.gpu().name, table.gpu().uuid);
    match table.why_not() {
        Some(reason) => println!("one colour: {reason}"),
        None => println!("{} colours, in pages of {}", table.colors(), table.page()),
    }
    for level in table.levels() {
        let masks: Vec<String> = level.masks.iter().map(|mask| mask.to_string()).collect();
        println!(
            "{}: {} classes in units of {}, mask {}, right for {:.3} % of the lines kept out",
            level.name,
            level.classes,
            level.unit,
            masks.join(" "),
            level.accuracy * 100.0
        );
    }
    println!("measured in {:.1} s, kept in {}", table.measured().seconds, path.display());
}
