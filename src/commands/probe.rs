//! `missile probe`: measures the channel hash of a GPU.

use crate::explain;
use crate::failure::{Failure, Outcome};
use crate::governance::Governance;
use crate::known_gpus::kernel_driver;
use crate::output::print;
use crate::own_program::own_program;
use crate::simulated::SimulatedGpu;
use hashprobe::{BenchError, Busy, CudaBench, NoMasks, NoTpcs, Options, ProbeError, Progress, Table, how_busy, plot};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
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
    /// File to keep the table in [default: by the GPU's UUID in the data folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Draw what was found, as a picture in SVG
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Find the sides of the L2 only, not slices and channels: all that tenants need of a GPU that has sides
    #[arg(long)]
    quick: bool,
    /// Probe even where other work disturbs the timings
    #[arg(long)]
    force: bool,
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
    if let Some(busy) = how_busy(&mut bench).map_err(bench_failure)? {
        check_idle(busy, arguments.force)?;
    }
    let mut progress = |step: Progress| match step {
        Progress::Measured(lines) => bar.inc(lines as u64),
        step => {
            if let Progress::Measuring(lines) = step {
                bar.inc_length(lines as u64);
            }
            bar.set_message(step.to_string());
        }
    };
    let options = Options { slices: !arguments.quick, ..Options::default() };
    let finding = hashprobe::probe(&mut bench, &options, &mut progress).map_err(|error| match error {
        ProbeError::Bench(error) => bench_failure(error),
        error => Failure::failed(error),
    })?;
    bar.finish_and_clear();
    let now = SystemTime::now();
    let mut table = Table::new(&finding, now);
    let path = arguments.out.unwrap_or_else(|| {
        let data_folder = settings::data_folder(&|name| std::env::var_os(name));
        Table::default_path(&data_folder, table.gpu().uuid)
    });
    if finding.tpcs == Err(NoTpcs::Masks(NoMasks::UnderMps))
        && let Ok(former) = Table::load(&path)
    {
        table = table.with_tpcs_of(&former);
    }
    table.save(&path).map_err(Failure::failed)?;
    if let Some(path) = &arguments.plot {
        plot::save(&plot::draw(&finding, now), path).map_err(Failure::failed)?;
    }
    print(&match arguments.json {
        true => serde_json::to_string_pretty(&table.report(Some(&path))).map_err(Failure::failed)? + "\n",
        false => explain::gist(&table, &path),
    })
}

/// Replaces this process by one like it that has the library; returns only why that failed.
fn again_with_the_library(sim: Option<SimulatedGpu>) -> Failure {
    // Ungoverned: the probe must see memory as the driver hands it out, and all of the GPU.
    let settings = [("MISSILE_DISABLE", "0"), ("MISSILE_COLOR", "off"), ("MISSILE_COPIES", "off")];
    let mut governance = Governance::new(sim).with("MISSILE_STRICT", "0").with("MISSILE_LOG", "error");
    for (name, value) in settings {
        governance = governance.with(name, value);
    }
    let mut command = match own_program() {
        Ok(this) => match governance.command(this) {
            Ok(command) => command,
            Err(error) => return Failure::failed(error),
        },
        Err(error) => return Failure::failed(format!("cannot find the program that is running: {error}")),
    };
    let error = command.args(std::env::args_os().skip(1)).arg("--preloaded").exec();
    Failure::failed(format!("cannot run missile again with libmissile.so: {error}"))
}

/// Refuses a GPU that is busy, and warns of one that is not idle.
fn check_idle(busy: Busy, force: bool) -> Outcome {
    let share = format!("other work disturbs {:.1} % of the timings (next to none on an idle GPU)", 100.0 * busy.share);
    if busy.share >= Busy::TOO_BUSY && !force {
        let advice = "end the programs that use the GPU, or probe all the same with --force";
        return Err(Failure::failed(format!("the GPU is too busy to probe: {share}; {advice}")));
    }
    if busy.share >= Busy::DISTURBED {
        eprintln!("missile: {share}: if the probe finds nothing, end the programs that use the GPU and probe again");
    }
    Ok(())
}

/// A machine without a usable GPU is not a fault.
fn bench_failure(error: BenchError) -> Failure {
    match error {
        BenchError::Driver(ref driver) if driver.is_absence() => Failure::impossible(error),
        BenchError::NoPhysicalAddresses | BenchError::UnknownRange { .. } => Failure::impossible(error),
        error => Failure::failed(error),
    }
}

fn progress_bar(json: bool) -> ProgressBar {
    let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let style = ProgressStyle::with_template("{spinner} {bar:30} {human_pos} of {human_len} lines, {elapsed}: {msg}");
    let bar = ProgressBar::with_draw_target(Some(0), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
