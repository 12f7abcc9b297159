//! Waiting for a moment without the scheduler's oversleep, which would count as part of what is timed from then on.

use std::time::{Duration, Instant};

/// So long before it is due the thread is awake.
const AWAKE: Duration = Duration::from_micros(200);

/// Waits until then.
pub fn wait_until(due: Instant) {
    std::thread::sleep(due.saturating_duration_since(Instant::now()).saturating_sub(AWAKE));
    while Instant::now() < due {
        std::hint::spin_loop();
    }
}
