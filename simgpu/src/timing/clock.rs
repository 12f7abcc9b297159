//! The clock that every process of the host reads alike, and sleeping on it.

use units::Nanos;

/// The time that is left to spin after a sleep: waking a thread takes longer than this on a busy host anyway.
const SPIN: Nanos = Nanos::from_micros(20);

/// The present time.
pub(crate) fn now() -> Nanos {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live, writable timespec; CLOCK_MONOTONIC always exists on Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    Nanos::new(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Sleeps until `end`; the last microseconds are spun, so that short commands end on time.
pub(crate) fn sleep_until(end: Nanos) {
    let wake = end.saturating_sub(SPIN);
    while now() < wake {
        let time = timespec(wake);
        // SAFETY: `time` is a live timespec in range, and no remaining time is asked for.
        unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &time, core::ptr::null_mut()) };
    }
    while now() < end {
        core::hint::spin_loop();
    }
}

/// Sleeps for about `length`, without spinning.
pub(crate) fn nap(length: Nanos) {
    let time = timespec(now() + length);
    // SAFETY: as in `sleep_until`.
    unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &time, core::ptr::null_mut()) };
}

/// Asks for exact timers in this thread: the default slack of 50 us is longer than many simulated commands.
pub(crate) fn sharpen_timers() {
    // SAFETY: PR_SET_TIMERSLACK takes one number and concerns the calling thread only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong, 0, 0, 0) };
}

/// The time as the system takes it.
pub(crate) fn timespec(time: Nanos) -> libc::timespec {
    libc::timespec {
        tv_sec: (time.get() / 1_000_000_000) as libc::time_t,
        tv_nsec: (time.get() % 1_000_000_000) as libc::c_long,
    }
}
