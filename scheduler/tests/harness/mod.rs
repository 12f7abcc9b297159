//! An arbiter in a thread on a region of its own, and tenants played by the test.
#![allow(dead_code, reason = "each test file uses its own part of this module")]

use parking_lot::Mutex;
use region::{Class, Engine, GpuKey, HashTable, Hold, Layout, Means, Region, Slot, Tpcs, monotonic_nanos};
use scheduler::{ArbiterError, Options, Stop, Tables, run};
use std::os::unix::thread::JoinHandleExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use units::Nanos;

/// The GPU of most tests.
pub const GPU: GpuKey = GpuKey::from_uuid([7; 16]);

/// Tables that the test changes while the arbiter runs.
#[derive(Clone, Default)]
pub struct SharedTables(pub Arc<Mutex<Vec<(GpuKey, HashTable)>>>, pub Arc<Mutex<Vec<(GpuKey, Tpcs)>>>);

impl Tables for SharedTables {
    fn hashes(&mut self) -> Vec<(GpuKey, HashTable)> {
        self.0.lock().clone()
    }

    fn tpcs(&self) -> Vec<(GpuKey, Tpcs)> {
        self.1.lock().clone()
    }
}

/// An arbiter in a thread. Stopped when dropped.
pub struct Running {
    pub region: Region,
    pub path: PathBuf,
    pub tables: SharedTables,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<Result<(), ArbiterError>>>,
    holds: Mutex<Vec<Hold>>,
    _folder: Arc<TempDir>,
}

/// A folder for a region: on a tmpfs, as an overlay, which a container may have for /tmp, keeps no locks.
pub fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir_in("/dev/shm").expect("a folder"))
}

/// The region that a tenant joins in a process of its own, and its class.
const TENANT_PATH: &str = "SCHEDULER_TEST_TENANT";
const TENANT_CLASS: &str = "SCHEDULER_TEST_CLASS";

/// A tenant in a process of its own, which joins and waits to be killed: by the test of this name that a test file has.
pub fn tenant_process(path: &Path, class: Class) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this test's path"));
    command.args(["--exact", "a_tenant_in_a_process_of_its_own"]);
    command.env(TENANT_PATH, path).env(TENANT_CLASS, class.name()).stdout(Stdio::null());
    command.spawn().expect("it starts")
}

/// Becomes the tenant that [`tenant_process`] asks for, if it does.
pub fn be_a_tenant() {
    let Some(path) = std::env::var_os(TENANT_PATH) else { return };
    let region = Region::open(Path::new(&path)).expect("the region");
    let _hold =
        join(&region, if std::env::var(TENANT_CLASS).as_deref() == Ok("ls") { Class::Ls } else { Class::Be }, 1024);
    loop {
        std::thread::park();
    }
}

/// Takes a slot and fills it in.
pub fn join(region: &Region, class: Class, weight: u32) -> Hold {
    let hold = region.join().expect("a free slot");
    let tenant = &region.layout().slots[hold.slot()].tenant;
    tenant.weight.store(weight, Ordering::Relaxed);
    tenant.copies.store(1, Ordering::Relaxed);
    tenant.class.store(class.code(), Ordering::Release);
    region.layout().header.doorbell.ring_loudly();
    hold
}

impl Running {
    pub fn start() -> Running {
        Running::start_in(folder())
    }

    pub fn start_in(folder: Arc<TempDir>) -> Running {
        let path = folder.path().join("region");
        let (stop, tables) = (Arc::new(Stop::new().expect("an eventfd")), SharedTables::default());
        let options = Options::new(path.clone(), Box::new(tables.clone()));
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || run(options, &stop)
        });
        let own = std::process::id();
        let opened = || Region::open(&path).ok().filter(|region| region.arbiter_is_alive());
        let started = |region: &Region| region.layout().header.arbiter_pid.load(Ordering::Acquire) == own;
        let mut region = None;
        until("the arbiter starts", || {
            region = region.take().or_else(opened);
            region.as_ref().is_some_and(started)
        });
        let region = region.expect("the arbiter started");
        Running { region, path, tables, stop, thread: Some(thread), holds: Mutex::default(), _folder: folder }
    }

    pub fn layout(&self) -> &Layout {
        self.region.layout()
    }

    /// Joins as a tenant of this process.
    pub fn join(&self, class: Class, weight: u32) -> &Slot {
        self.keep(join(&self.region, class, weight))
    }

    /// Has a slot held for as long as the arbiter runs.
    pub fn keep(&self, hold: Hold) -> &Slot {
        let slot = &self.layout().slots[hold.slot()];
        self.holds.lock().push(hold);
        slot
    }

    /// Has a process of its own join, and waits until it has.
    pub fn join_elsewhere(&self, class: Class) -> (Child, &Slot) {
        let child = tenant_process(&self.path, class);
        let slot_of = || self.layout().slots.iter().find(|slot| slot.pid() == Some(child.id()));
        until("it joins", || slot_of().is_some_and(|slot| slot.tenant.class().is_some()));
        let slot = slot_of().expect("it has joined");
        (child, slot)
    }

    /// The index of [`GPU`].
    pub fn gpu(&self) -> usize {
        self.layout().gpu_index(GPU).expect("an entry")
    }

    /// Joins with channel groups on every engine, which can be stopped.
    pub fn join_with_groups(&self, class: Class, weight: u32) -> &Slot {
        let slot = self.join(class, weight);
        self.describe(slot, Means::SlicesAndStops);
        slot
    }

    /// Says that a tenant has channel groups.
    pub fn describe(&self, slot: &Slot, means: Means) {
        Engine::ALL.into_iter().for_each(|engine| slot.tenant.groups(self.gpu(), engine).describe(1, means));
        self.layout().header.doorbell.ring_loudly();
    }

    /// The slice that a tenant is to have.
    pub fn slice(&self, slot: &Slot, engine: Engine) -> Option<u32> {
        slot.orders.of(self.gpu(), engine).slice_us()
    }

    /// Whether a tenant is to stand still now.
    pub fn stands_still(&self, slot: &Slot, engine: Engine) -> bool {
        slot.orders.of(self.gpu(), engine).stop_until(Nanos::new(monotonic_nanos())).is_some()
    }

    /// Gives an engine work.
    pub fn submit(&self, slot: &Slot, engine: Engine) {
        match engine {
            Engine::Copy => slot.tenant.moved[self.gpu()][0].fetch_add(64 << 20, Ordering::Relaxed),
            Engine::Graphics => slot.tenant.launches.fetch_add(1, Ordering::Relaxed),
        };
        self.layout().header.doorbell.nudge();
    }

    /// The processor time that the arbiter's thread has used.
    pub fn cpu_time(&self) -> Duration {
        let thread = self.thread.as_ref().expect("it runs").as_pthread_t();
        let mut clock = 0;
        let mut used = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the thread is not joined yet, and both results are live.
        let failed = unsafe { libc::pthread_getcpuclockid(thread, &mut clock) != 0 };
        // SAFETY: as above.
        assert!(!failed && unsafe { libc::clock_gettime(clock, &mut used) } == 0, "the thread's clock is read");
        Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
    }

    /// Whether the arbiter's thread is still in its loop.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Stops the arbiter; how it ended and how long that took.
    pub fn stop(&mut self) -> (Result<(), ArbiterError>, Duration) {
        let start = Instant::now();
        self.stop.request();
        let ended = self.thread.take().expect("it is stopped once").join().expect("the arbiter does not panic");
        (ended, start.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.request();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits until it is so; fails the test after longer than anything takes that works, on a machine that is busy.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    const LONG: Duration = Duration::from_secs(60);
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "within {LONG:?}: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Makes sure that something stays so for a while.
pub fn stays(time: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < time {
        assert!(is_so(), "does not stay so: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}
