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
