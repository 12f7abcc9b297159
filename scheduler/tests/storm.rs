//! A storm of deaths: tenants are killed at any step of the protocol, and those that live go on.

mod common;

use common::Running;
use region::{Class, Direction, Layout, Waited};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use units::Bytes;

/// How many die in all; `MISSILE_STORM_KILLS` sets another number.
fn kills() -> u32 {
    std::env::var("MISSILE_STORM_KILLS").ok().map_or(10_000, |kills| kills.parse().expect("a number of kills"))
}

/// How many are there to be killed at a time.
const AT_ONCE: usize = 8;

/// No survivor waits for longer. The goal is 100 ms; the rest is for a busy machine.
const LONGEST_WAIT: Duration = Duration::from_millis(1500);

/// A tenant in a child process, which copies until it is killed. Between `fork` and death only atomics, futexes and the
/// clock are used, as the parent has threads.
fn victim(layout: &Layout, gpu: usize, seed: u32) -> ! {
    // SAFETY: the call takes and gives plain numbers.
    let pid = unsafe { libc::getpid() }.cast_unsigned();
    let Ok(slot) = layout.join(pid) else {
        // SAFETY: ends the child at once, without what the parent's runtime would do at an exit.
        unsafe { libc::_exit(0) }
    };
    let slot = &layout.slots[slot];
    slot.tenant.weight.store(1 + seed % 1000, Ordering::Relaxed);
    let class = if seed.is_multiple_of(5) { Class::Ls } else { Class::Be };
    slot.tenant.class.store(class.code(), Ordering::Release);
    layout.header.doorbell.ring_loudly();
    let direction = Direction::ALL[(seed % 2) as usize];
    let lane = slot.lane(gpu, direction, (seed % 7) as usize);
    loop {
        slot.tenant.moved[gpu][direction as usize].fetch_add(4096, Ordering::Relaxed);
        let first = lane.take(3, Bytes::kib(4));
        lane.ask(first.wrapping_add(2));
        layout.header.doorbell.ring_for_leave();
        for piece in 0..3 {
            if class == Class::Be {
                lane.wait(first.wrapping_add(piece), Duration::from_millis(50));
            }
            lane.finish(first.wrapping_add(piece));
        }
    }
}

/// A survivor: copies until told to end; the longest that it waited, and how often.
fn survive(arbiter: &Running, tenant: usize, go_on: &AtomicBool) -> (Duration, u32) {
    let slot = &arbiter.layout().slots[tenant];
    let lane = arbiter.lane(slot, 0);
    let (mut longest, mut served) = (Duration::ZERO, 0);
    while go_on.load(Ordering::Relaxed) {
        let piece = lane.take(1, Bytes::kib(4));
        lane.ask(piece);
        arbiter.layout().header.doorbell.ring_for_leave();
        let start = Instant::now();
        let waited = lane.wait(piece, LONGEST_WAIT);
        longest = longest.max(start.elapsed());
        lane.finish(piece);
        served += u32::from(waited == Waited::Granted);
        if waited == Waited::TimedOut {
            break;
        }
    }
    (longest, served)
}

fn start_victim(layout: &Layout, gpu: usize, seed: u32) -> libc::pid_t {
    // SAFETY: the child only runs `victim`, which is made for that.
    match unsafe { libc::fork() } {
        0 => victim(layout, gpu, seed),
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
fn no_survivor_is_stuck_whenever_others_are_killed() {
    let arbiter = Running::start();
    let gpu = arbiter.gpu();
    let survivors: Vec<usize> = (0..2).map(|_| arbiter.layout().join(std::process::id()).expect("a slot")).collect();
    for &survivor in &survivors {
        let tenant = &arbiter.layout().slots[survivor].tenant;
        tenant.weight.store(1024, Ordering::Relaxed);
        tenant.class.store(Class::Be.code(), Ordering::Release);
    }
    let (go_on, killed) = (AtomicBool::new(true), AtomicU32::new(0));
    let (shared, runs) = (&arbiter, &go_on);
    let found: Vec<(Duration, u32)> = std::thread::scope(|scope| {
        let running: Vec<_> =
            survivors.iter().map(|&tenant| scope.spawn(move || survive(shared, tenant, runs))).collect();
        let mut seed = 1u32;
        let mut victims = Vec::with_capacity(AT_ONCE);
        while killed.load(Ordering::Relaxed) < kills() && running.iter().all(|survivor| !survivor.is_finished()) {
            while victims.len() < AT_ONCE {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                victims.push(start_victim(arbiter.layout(), gpu, seed >> 8));
            }
            // At another moment of their copies each time.
            let until = Instant::now() + Duration::from_micros(u64::from(seed >> 20) % 300);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            kill(victims.swap_remove((seed >> 16) as usize % AT_ONCE));
            killed.fetch_add(1, Ordering::Relaxed);
        }
        victims.into_iter().for_each(kill);
        go_on.store(false, Ordering::Relaxed);
        running.into_iter().map(|survivor| survivor.join().expect("it does not panic")).collect()
    });
    println!("{} killed; survivors waited and were served: {found:?}", killed.load(Ordering::Relaxed));
    for (longest, served) in found {
        assert!(longest < LONGEST_WAIT, "a survivor waited for {longest:?}");
        assert!(served > 100, "a survivor was served {served} times only");
    }
    common::until("the slots of the dead are free", || {
        arbiter.layout().slots.iter().filter(|slot| slot.pid().is_some()).count() == survivors.len()
    });
}
