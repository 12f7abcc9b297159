//! `missile up`: starts the arbiter.

use crate::failure::{Failure, Outcome};
use crate::interrupt::stop_on_signals;
use crate::output::print;
use crate::own_program::own_program;
use crate::private_folder::make_private;
use crate::tables::TableFolder;
use crate::{governance::Governance, mps};
use hashprobe::Table;
use observe::exporter::{Exporter, MetricsAddress, MetricsSocket, metrics_of};
use region::{OpenError, Region};
use scheduler::{ArbiterError, Beside, DEFAULT_MAP_BUDGET, DEFAULT_MAP_TENANTS, Options};
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long an arbiter may take until it holds its region.
const START: Duration = Duration::from_secs(30);

/// Starts the arbiter, which shares the bus and the GPU's time among tenants and frees what the dead held.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Stay in the foreground until Ctrl-C or `missile down`
    #[arg(long)]
    foreground: bool,
    /// Start NVIDIA's MPS as well, and end it with the arbiter
    #[arg(long)]
    mps: bool,
    /// How many UVM maps all tenants together may hold; the kernel has handles for 524288
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAP_BUDGET)]
    map_budget: u64,
    /// How many tenants share half of that budget in guaranteed parts; the other half goes to whoever comes first
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAP_TENANTS)]
    map_tenants: u64,
    /// Serve metrics for Prometheus at PORT or 127.0.0.1:PORT, [::1]:PORT, or the Unix socket unix:PATH
    ///
    /// Every user of the machine can read metrics at a port; a Unix socket is this user's alone. Port 0 stands for any
    /// free one. Metrics are at /metrics, in the OpenMetrics format. An arbiter that runs already is not changed.
    #[arg(long, value_name = "ADDR")]
    metrics: Option<OsString>,
}

/// Starts the arbiter, or is the arbiter.
pub fn run(arguments: Arguments) -> Outcome {
    let settings = Governance::default().settings().map_err(Failure::usage)?;
    if let Some(table) = &settings.table {
        Table::load(table).map_err(Failure::usage)?;
    }
    let metrics = arguments.metrics.as_deref().map(MetricsAddress::parse).transpose().map_err(Failure::usage)?;
    let region = settings.region;
    if let Some(folder) = region.parent().filter(|folder| *folder == crate::private_folder::runtime_folder()) {
        make_private(folder).map_err(Failure::failed)?;
    }
    if arguments.mps {
        mps::check_installed().map_err(Failure::impossible)?;
    }
    if let Some(pid) = living_arbiter(&region) {
        return Err(already_running(pid, &region, metrics.as_ref()));
    }
    match arguments.foreground {
        true => be_the_arbiter(&arguments, metrics, &region),
        false => start_in_background(&arguments, metrics.as_ref(), &region),
    }
}

fn already_running(pid: u32, region: &Path, metrics: Option<&MetricsAddress>) -> Failure {
    let how = match (metrics_of(region), metrics) {
        (Some(served), Some(_)) => format!(" and goes on serving metrics at {served}"),
        (None, Some(_)) => " and goes on without metrics".to_owned(),
        (_, None) => String::new(),
    };
    Failure::failed(format!("an arbiter is already running (process {pid}){how}: `missile down` ends it"))
}

/// The process that holds the region.
fn living_arbiter(region: &Path) -> Option<u32> {
    let region = Region::open(region).ok()?;
    region.arbiter_is_alive().then(|| region.layout().header.arbiter_pid.load(Ordering::Acquire))
}

fn be_the_arbiter(arguments: &Arguments, metrics: Option<MetricsAddress>, region: &Path) -> Outcome {
    let stop = stop_on_signals().map_err(Failure::failed)?;
    let metrics = metrics.map(MetricsSocket::bind).transpose().map_err(Failure::failed)?;
    if let Some(metrics) = &metrics {
        print(&format!("metrics at {}\n", metrics.address()))?;
    }
    if arguments.mps {
        mps::start(region).map_err(Failure::failed)?;
    }
    let options = Options {
        region: region.to_owned(),
        map_budget: arguments.map_budget,
        map_tenants: arguments.map_tenants,
        beside: serving(metrics),
        tables: Box::new(TableFolder::default()),
    };
    let ended = scheduler::run(options, stop).map_err(|error| match error {
        ArbiterError::MapTenants { .. } | ArbiterError::MapBudget { .. } => Failure::usage(error),
        ArbiterError::Region(OpenError::Unkept(_)) => Failure::impossible(error),
        error => Failure::failed(error),
    });
    let quit = mps::quit_if_started(region).map_err(Failure::failed);
    ended.and(quit.map(|_| ()))
}

/// Serves metrics beside the arbiter, or sees to it that none of a dead arbiter's are believed in.
fn serving(metrics: Option<MetricsSocket>) -> Beside {
    Box::new(|region| match metrics {
        Some(socket) => Ok(Box::new(Exporter::start(socket, region)?)),
        None => Ok(Box::new(Exporter::none(region)?)),
    })
}

fn start_in_background(arguments: &Arguments, metrics: Option<&MetricsAddress>, region: &Path) -> Outcome {
    let log = region.with_extension("log");
    let cannot = |error: io::Error| Failure::failed(format!("cannot start the arbiter in the background: {error}"));
    let output = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&log)
        .map_err(|error| Failure::failed(format!("cannot write the arbiter's log {}: {error}", log.display())))?;
    let mut command = Command::new(own_program().map_err(cannot)?);
    command.args(["up", "--foreground"]).args(arguments.mps.then_some("--mps"));
    command.args(["--map-budget", &arguments.map_budget.to_string()]);
    command.args(["--map-tenants", &arguments.map_tenants.to_string()]);
    if let Some(metrics) = metrics {
        command.arg("--metrics").arg(metrics.to_os_string());
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).current_dir("/");
    // SAFETY: setsid is safe between fork and exec; it leaves the terminal, so that Ctrl-C there does not reach it.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            Ok(())
        })
    };
    let arbiter = command.spawn().map_err(cannot)?;
    wait_until_held(arbiter, region, &log)
}

fn wait_until_held(mut arbiter: Child, region: &Path, log: &Path) -> Outcome {
    let started = Instant::now();
    while started.elapsed() < START {
        if living_arbiter(region) == Some(arbiter.id()) {
            let metrics = metrics_of(region).map_or_else(String::new, |served| format!("metrics at {served}\n"));
            return print(&format!("arbiter {} holds {}\n{metrics}", arbiter.id(), region.display()));
        }
        if let Ok(Some(status)) = arbiter.try_wait() {
            let said = fs::read_to_string(log).unwrap_or_default();
            let said = said.lines().last().unwrap_or_default().trim_start_matches("missile: ");
            let reason = match said {
                "" => format!("the arbiter ended at once ({status})"),
                said => said.to_owned(),
            };
            return Err(match status.code() {
                Some(2) => Failure::usage(reason),
                Some(3) => Failure::impossible(reason),
                _ => Failure::failed(reason),
            });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = arbiter.kill();
    let _ = arbiter.wait();
    Err(Failure::failed(format!("the arbiter did not start within {} s: see {}", START.as_secs(), log.display())))
}
