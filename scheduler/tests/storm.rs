//! A storm of deaths: tenants and arbiters are killed at any step of the protocol, and those that live go on.

mod harness;

use harness::{GPU, SharedTables, folder, join, until};
use region::{Class, Engine, Layout, Means, Region, Slot, monotonic_nanos};
use scheduler::{Options, Stop, run};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use units::Nanos;

/// Whether so many tenants have died in all as `MISSILE_STORM_KILLS` says; by default 10,000, or as many as do in a minute.
fn is_over(killed: u32, started: Instant) -> bool {
    match std::env::var("MISSILE_STORM_KILLS") {
        Ok(kills) => killed >= kills.parse().expect("a number of kills"),
        Err(_) => killed >= 10_000 || started.elapsed() > Duration::from_secs(60),
    }
}

/// The tenants that are there to be killed at a time.
const AT_ONCE: usize = 8;

/// An arbiter is killed after so many tenants.
const TENANTS_PER_ARBITER: u32 = 100;

/// The region of [`an_arbiter_in_a_process_of_its_own`].
const PATH_VARIABLE: &str = "SCHEDULER_TEST_STORM";

/// Not a test by itself: the arbiter that the storm kills.
#[test]
fn an_arbiter_in_a_process_of_its_own() {
    if let Some(path) = std::env::var_os(PATH_VARIABLE) {
        let options = Options::new(path.into(), Box::new(SharedTables::default()));
        run(options, &Stop::new().expect("an eventfd")).expect("it runs until it is killed");
    }
}

/// An arbiter in a process of its own; killed when dropped.
struct Arbiter(Child);

impl Arbiter {
    fn start(path: &Path) -> Arbiter {
        let mut command = Command::new(std::env::current_exe().expect("this test's path"));
        command.args(["--exact", "an_arbiter_in_a_process_of_its_own"]).env(PATH_VARIABLE, path);
        let child = command.stdout(Stdio::null()).spawn().expect("the arbiter starts");
        let holds = |region: Region| {
            region.arbiter_is_alive() && region.layout().header.arbiter_pid.load(Ordering::Acquire) == child.id()
        };
        until("the arbiter holds its region", || Region::open(path).is_ok_and(holds));
        Arbiter(child)
    }
}

impl Drop for Arbiter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A survivor that stands still for so long is stuck, however busy the machine is: it is a thousand turns. While there is
/// no arbiter its last stop ends by itself.
const LONGEST_STOP: Duration = Duration::from_secs(60);

/// A tenant in a child process, which submits work until it is killed. Between `fork` and death only atomics, futexes, the
/// clock and what a join asks of the system are used, as the parent has threads.
fn victim(region: &Region, gpu: usize, seed: u32) -> ! {
    // SAFETY: takes plain numbers. A test that is killed itself leaves no child behind that works for ever.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let layout = region.layout();
    let Ok(hold) = region.join() else {
        // SAFETY: ends the child at once, without what the parent's runtime would do at an exit.
        unsafe { libc::_exit(0) }
    };
    let slot = &layout.slots[hold.slot()];
    slot.tenant.weight.store(1 + seed % 1000, Ordering::Relaxed);
    slot.tenant.copies.store(1, Ordering::Relaxed);
    let class = if seed.is_multiple_of(5) { Class::Ls } else { Class::Be };
    slot.tenant.class.store(class.code(), Ordering::Release);
    layout.header.doorbell.ring_loudly();
    loop {
        work(layout, slot, gpu, Duration::from_millis(5));
    }
}

/// One round of a tenant: it says what it has, submits, and follows its orders for at most so long.
fn work(layout: &Layout, slot: &Slot, gpu: usize, limit: Duration) {
    let groups = slot.tenant.groups(gpu, Engine::Copy);
    if groups.count() == 0 {
        groups.describe(1, Means::SlicesAndStops);
        layout.header.doorbell.ring_loudly();
    }
    slot.tenant.moved[gpu][0].fetch_add(1 << 20, Ordering::Relaxed);
    layout.header.doorbell.nudge();
    let seen = slot.orders.changes();
    if slot.orders.of(gpu, Engine::Copy).stop_until(now()).is_some() {
        slot.orders.wait(seen, limit);
    }
}

fn now() -> Nanos {
    Nanos::new(monotonic_nanos())
}

/// A survivor: works until told to end; the longest that it stood still, and how often it ran.
fn survive(layout: &Layout, tenant: usize, gpu: usize, go_on: &AtomicBool) -> (Duration, u32) {
    let slot = &layout.slots[tenant];
    let (mut longest, mut ran, mut since) = (Duration::ZERO, 0, Instant::now());
    while go_on.load(Ordering::Relaxed) && longest < LONGEST_STOP {
        work(layout, slot, gpu, Duration::from_millis(20));
        match slot.orders.of(gpu, Engine::Copy).stop_until(now()) {
            Some(_) => longest = longest.max(since.elapsed()),
            None => {
                ran += 1;
                since = Instant::now();
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }
    (longest, ran)
}

fn start_victim(region: &Region, gpu: usize, seed: u32) -> libc::pid_t {
    // SAFETY: the child only runs `victim`, which is made for that.
    match unsafe { libc::fork() } {
        0 => victim(region, gpu, seed),
        child => {
            assert!(child > 0, "a child: {}", std::io::Error::last_os_error());
            child
        }
    }
}

fn kill(child: libc::pid_t) {
    // SAFETY: a child of this process that nobody has waited for, so the number is its.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
}

#[test]
fn no_survivor_is_stuck_whenever_tenants_and_arbiters_are_killed() {
    let folder = folder();
    let path = folder.path().join("region");
    let mut arbiter = Arbiter::start(&path);
    let region = Region::open(&path).expect("the region");
    let layout = region.layout();
    let gpu = layout.gpu_index(GPU).expect("an entry");
    let holds = [Class::Be, Class::Be, Class::Ls].map(|class| join(&region, class, 1024));
    let [survivors @ .., sensitive] = holds.each_ref().map(|hold| hold.slot());
    layout.slots[sensitive].tenant.groups(gpu, Engine::Copy).describe(1, Means::SlicesAndStops);
    let (go_on, killed) = (AtomicBool::new(true), AtomicU32::new(0));
    let runs = &go_on;
    let (found, _arbiter): (Vec<(Duration, u32)>, Arbiter) = std::thread::scope(|scope| {
        let running = survivors.map(|tenant| scope.spawn(move || survive(layout, tenant, gpu, runs)));
        let mut seed = 1u32;
        let mut victims = Vec::with_capacity(AT_ONCE);
        let started = Instant::now();
        while !is_over(killed.load(Ordering::Relaxed), started)
            && running.iter().all(|survivor| !survivor.is_finished())
        {
            while victims.len() < AT_ONCE {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                victims.push(start_victim(&region, gpu, seed >> 8));
            }
            // At another moment of their work each time.
            let until = Instant::now() + Duration::from_micros(u64::from(seed >> 20) % 300);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            kill(victims.swap_remove((seed >> 16) as usize % AT_ONCE));
            if killed.fetch_add(1, Ordering::Relaxed) % TENANTS_PER_ARBITER == TENANTS_PER_ARBITER - 1 {
                drop(arbiter);
                arbiter = Arbiter::start(&path);
            }
        }
        victims.into_iter().for_each(kill);
        go_on.store(false, Ordering::Relaxed);
        (running.map(|survivor| survivor.join().expect("it does not panic")).into(), arbiter)
    });
    println!("{} killed; survivors stood still for at most, and ran: {found:?}", killed.load(Ordering::Relaxed));
    for (longest, ran) in found {
        assert!(longest < LONGEST_STOP, "a survivor stood still for {longest:?}");
        assert!(ran > 100, "a survivor ran {ran} times only");
    }
    until("the slots of the dead are free", || layout.slots.iter().filter(|slot| slot.pid().is_some()).count() == 3);
    assert!(region.arbiter_is_alive(), "the last arbiter lives");
}
