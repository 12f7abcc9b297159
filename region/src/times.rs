//! The times that a tenant's library keeps to, whatever the region says. The arbiter's own stand in `scheduler`.

use units::Nanos;

/// The longest stop of a channel group that is believed, counted from when it is read: an arbiter says 80 ms at a time, so
/// a second is damage, and the program shall go on.
pub const LONGEST_STOP: Nanos = Nanos::from_millis(1_000);

/// The longest time for which a process that joins waits until the arbiter has taken it in. A running arbiter takes
/// milliseconds, on an overloaded machine perhaps seconds; past ten it is stopped, and the program shall start.
pub const LONGEST_JOIN: Nanos = Nanos::from_millis(10_000);

/// The time between two looks of a process that joins at whether the arbiter still lives: a death wakes nobody.
pub const JOIN_LOOK: Nanos = Nanos::from_millis(50);

/// The longest sleep of a tenant's thread while nothing of its process is other than the driver's own: so late at most it
/// sees a new arbiter, and calls past the library.
pub const RESTING_LOOK: Nanos = Nanos::from_millis(200);

/// The longest sleep of a tenant's thread while a slice or a stop holds: so late at most it sees that the arbiter is dead,
/// and puts the driver's own back.
pub const GOVERNING_LOOK: Nanos = Nanos::from_millis(50);

/// The time between two looks at the imports of loaded objects: the linker fills an import in when it is first called, so a
/// look that found nothing is not the last one.
pub const IMPORTS_LOOK: Nanos = Nanos::from_millis(2_000);

/// The longest quiet time that is believed, counted from when it is read: an arbiter says 100 ms at a time.
pub const LONGEST_QUIET_TIME: Nanos = Nanos::from_millis(250);

/// The longest time for which a tenant counts as at work after its work is done.
pub const LONGEST_LINGER: Nanos = Nanos::from_millis(10);

/// The longest time for which the gate holds a copy back that has not its turn: the program's thread waits meanwhile, and
/// may hold what others need.
pub const LONGEST_GATED: Nanos = Nanos::from_millis(100);

/// The time for which no latency-sensitive tenant must have submitted a copy before the gate lets a best-effort one go:
/// that of eight copies of 256 KiB at 54 GB/s.
pub const QUIET: Nanos = Nanos::from_micros(40);

/// The longest time for which latency-sensitive copies hold a best-effort one back at the gate.
pub const LONGEST_QUIET: Nanos = Nanos::from_millis(2);
