//! A place for one test: folders, a simulated GPU and an arbiter of its own.
//!
//! Only the built artefacts are used: the binary, the examples and the libraries. Where a folder must not leak into
//! another test, or something of the machine into this one, [`Place::command`] is the one to keep it out.

#![allow(dead_code, reason = "each file of tests uses its part")]

pub mod c;
pub mod conformance;
pub mod files;
pub mod programs;
pub mod scrape;
pub mod ways;

use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Longer than anything takes that works, on a machine that is busy.
pub const LONG: Duration = Duration::from_secs(180);

/// The name of the UUID of the built-in GPU that most tests use.
const H200_TABLE: &str = "missile/tables/GPU-4d697373-696c-6500-8200-000000000200.toml";

/// A test's own folders. Removed when dropped.
pub struct Place {
    root: tempfile::TempDir,
    /// The runtime folder, on a tmpfs as on any machine: an overlay, which a container may have for /tmp, keeps no region.
    _run: tempfile::TempDir,
}

impl Place {
    /// Empty folders.
    pub fn new() -> Place {
        Place::within(tempfile::tempdir().unwrap())
    }

    /// Empty folders in memory.
    pub fn in_memory() -> Place {
        Place::within(tempfile::tempdir_in("/dev/shm").unwrap())
    }

    fn within(root: tempfile::TempDir) -> Place {
        let run = tempfile::tempdir_in("/dev/shm").unwrap();
        symlink(run.path(), root.path().join("run")).unwrap();
        let place = Place { root, _run: run };
        for folder in ["data", "home", "gpu"] {
            DirBuilder::new().mode(0o700).create(place.path(folder)).unwrap();
        }
        place
    }

    /// With the table of the simulated H200 in its data folder.
    pub fn with_table() -> Place {
        let place = Place::new();
        place.keep_table();
        place
    }

    /// Puts the table of the simulated H200 into its data folder.
    pub fn keep_table(&self) {
        fs::create_dir_all(self.table().parent().unwrap()).unwrap();
        fs::write(self.table(), probed_table()).unwrap();
    }

    /// A file or folder in here.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The path of the simulated H200's table, there or not.
    pub fn table(&self) -> PathBuf {
        self.path("data").join(H200_TABLE)
    }

    /// The path of the region.
    pub fn region(&self) -> PathBuf {
        self.path("run/missile/region")
    }

    /// A program in this place, with nothing of Missile's in its environment.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["MISSILE_", "SIMGPU_", "LD_", "CUDA_"].iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command.env("XDG_RUNTIME_DIR", self.path("run")).env("XDG_DATA_HOME", self.path("data"));
        command.env("HOME", self.path("home")).env("SIMGPU_STATE", self.path("gpu"));
        // Tenants are coloured, unless a test says otherwise: by default nobody is on the simulated H200.
        command.env("MISSILE_COLOR", "on");
        command.stdin(Stdio::null());
        command
    }

    /// `missile` with arguments.
    pub fn missile(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_missile"));
        command.args(arguments);
        command
    }

    /// `missile run` of an example on the simulated H200. `flags` are those of `run`.
    pub fn tenant(&self, flags: &[&str], example: &str, arguments: &[&str]) -> Command {
        self.tenant_on("h200", flags, example, arguments)
    }

    /// `missile run` of an example on a simulated GPU.
    pub fn tenant_on(&self, gpu: &str, flags: &[&str], example: &str, arguments: &[&str]) -> Command {
        let mut command = self.missile(&["run", "--sim", gpu]);
        command.args(flags).arg("--").arg(example_path(example)).args(arguments);
        command
    }

    /// An example on the simulated H200 without Missile.
    pub fn bare(&self, example: &str, arguments: &[&str]) -> Command {
        let mut command = self.simulated(example_path(example));
        command.args(arguments);
        command
    }

    /// A program that finds the simulated H200, without Missile.
    pub fn simulated(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.command(program);
        command.env("SIMGPU_GPU", "h200").env("LD_LIBRARY_PATH", libraries().join("sim"));
        command
    }

    /// An example on the simulated H200 with the library preloaded by hand.
    pub fn preloaded(&self, example: &str, arguments: &[&str]) -> Command {
        let mut command = self.bare(example, arguments);
        let [shim, driver] = ["libmissile.so", "sim/libcuda.so.1"].map(|name| libraries().join(name));
        command.env("LD_PRELOAD", self.preload(&[&shim, &driver]));
        command
    }

    /// A value of `LD_PRELOAD`. The loader splits it at spaces, which paths may have, so it names links.
    pub fn preload(&self, libraries: &[&Path]) -> OsString {
        let links = libraries.iter().map(|library| {
            let mut hasher = DefaultHasher::new();
            library.hash(&mut hasher);
            let link = self.path(&format!("{:x}.so", hasher.finish()));
            if !link.exists() {
                symlink(library, &link).unwrap();
            }
            link.into_os_string()
        });
        links.collect::<Vec<_>>().join(OsStr::new(":"))
    }

    /// Starts an arbiter, which ends with the guard.
    pub fn up(&self, flags: &[&str]) -> Arbiter {
        let region = self.region();
        DirBuilder::new().recursive(true).mode(0o700).create(region.parent().unwrap()).unwrap();
        let mut command = self.missile(&["up", "--foreground"]);
        let child = command.args(flags).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let arbiter = Arbiter { child };
        let pid = u64::from(arbiter.child.id());
        self.wait_for("the arbiter", |top| top["arbiter"]["pid"] == pid);
        arbiter
    }

    /// The answer of `missile top --once --json`, or `None` without an arbiter.
    pub fn top(&self) -> Option<Value> {
        let output = self.missile(&["top", "--once", "--json"]).output().unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Waits until `missile top` shows something, and returns what it shows then.
    pub fn wait_for(&self, what: &str, shown: impl Fn(&Value) -> bool) -> Value {
        let asked = Instant::now();
        let mut last = None;
        while asked.elapsed() < LONG {
            last = self.top();
            if let Some(top) = last.as_ref().filter(|top| shown(top)) {
                return top.clone();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{what} did not show up in `top`, which says {last:?}");
    }

    /// Waits until a tenant with this process id shows something.
    pub fn wait_for_tenant(&self, pid: u32, what: &str, shown: impl Fn(&Value) -> bool) -> Value {
        let top = self.wait_for(what, |top| tenant_of(top, pid).is_some_and(&shown));
        tenant_of(&top, pid).unwrap().clone()
    }
}

/// The tenant with a process id.
pub fn tenant_of(top: &Value, pid: u32) -> Option<&Value> {
    top["tenants"].as_array()?.iter().find(|tenant| tenant["pid"] == u64::from(pid))
}

/// An arbiter; killed when dropped.
pub struct Arbiter {
    child: Child,
}

impl Arbiter {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a crash does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill touches no memory; the child is not waited for yet, so the number is its own.
        assert_eq!(unsafe { libc::kill(self.id() as libc::pid_t, signal) }, 0);
    }
}

impl Drop for Arbiter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder of the libraries that the build made.
pub fn libraries() -> &'static Path {
    Path::new(env!("MISSILE_BUILT_LIBS"))
}

/// An example's executable.
pub fn example_path(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_missile")).with_file_name("examples").join(name);
    assert!(
        path.exists(),
        "{} is not there: run `cargo build --examples`, or `cargo test` without --test",
        path.display()
    );
    path
}

/// The table of the simulated H200, probed once in each test program.
fn probed_table() -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let place = Place::new();
        let probe = place.missile(&["probe", "--quick", "--sim", "h200"]).output().unwrap();
        assert!(probe.status.success(), "{}", String::from_utf8_lossy(&probe.stderr));
        fs::read(place.table()).unwrap()
    })
}
