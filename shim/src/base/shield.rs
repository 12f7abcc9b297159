//! Failures of this library itself: the host's call goes on as without it.

use super::log::warning;
use std::panic::AssertUnwindSafe;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static FAILED: AtomicBool = AtomicBool::new(false);
/// Failures that nobody has counted yet.
static UNCOUNTED: AtomicU64 = AtomicU64::new(0);

/// Whether the library has failed in this process: then nothing more is coloured, counted or held back.
#[inline]
pub(crate) fn has_failed() -> bool {
    FAILED.load(Ordering::Relaxed)
}

/// Failures since this was last asked.
pub(crate) fn take_failures() -> u64 {
    UNCOUNTED.swap(0, Ordering::Relaxed)
}

/// Runs what decides or settles, which must leave nothing half done if it ends early. `None` where it panicked: the
/// caller forwards what is left of its call, and from then on the process is governed no more.
pub(crate) fn shielded<T>(body: impl FnOnce() -> T) -> Option<T> {
    let done = std::panic::catch_unwind(AssertUnwindSafe(body)).ok();
    if done.is_none() {
        FAILED.store(true, Ordering::Relaxed);
        UNCOUNTED.fetch_add(1, Ordering::Relaxed);
    }
    done
}

/// Fails here, if a test asks for it.
#[inline]
pub(crate) fn on_purpose(fault: &str) {
    if super::inject::is(fault) {
        panic!("{fault}, as MISSILE_BREAK asks");
    }
}

/// Has a panic said in one line of the log, instead of by the runtime on standard error. The hook is that of this
/// library's own copy of the runtime, not of a host in Rust.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
            warning!("a fault in Missile at {place}: this process goes on ungoverned; please report it");
        }));
    });
}
