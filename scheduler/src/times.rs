//! Every time that the arbiter goes by, with its reason; a tenant's library has its own in [`region::times`].
//!
//! Slices are in microseconds, the unit in which the kernel takes them. Costs of switches are of an H200
//! (docs/measurements/2026-11-30-slices.md).

use units::Nanos;

/// Between two looks at what nobody rings for: an image that is gone while its process lives on (after an `exec`), and
/// tables that were probed meanwhile. A slot that is free a second late hurts nobody, as a newcomer takes it all the same.
pub(crate) const LOOK: Nanos = Nanos::from_millis(1_000);
/// Between two looks while there is no tenant: nothing happens unrung, and an idle machine shall sleep.
pub(crate) const IDLE_LOOK: Nanos = Nanos::from_millis(60_000);
/// Between two looks while tenants take turns: the precision of their turns, a twelfth of one.
pub(crate) const TURN_LOOK: Nanos = Nanos::from_millis(5);
/// Between two looks while anybody submits work: the precision of the figures that are shown.
pub(crate) const FIGURES_LOOK: Nanos = Nanos::from_millis(100);
/// Work within this time announces more: a program that works at all submits something every second.
pub(crate) const WARM: Nanos = Nanos::from_millis(1_000);

/// Demand within this time counts as a use of the engine: slices shall not change with each pause of a program.
pub(crate) const ACTIVE: Nanos = Nanos::from_millis(500);
/// Longest idle time between two back-to-back copies of one tenant.
pub(crate) const COPY_PAUSE: Nanos = Nanos::from_millis(2);
/// Longest time in which a best-effort kernel ends and the next one is launched: the longest seen was 12 ms.
pub(crate) const KERNEL_PAUSE: Nanos = Nanos::from_millis(20);
/// Longest time that submitted copies are taken to last: 3 GB over PCIe 3 x16, whatever a tenant's counter says.
pub(crate) const LONGEST_BACKLOG: Nanos = Nanos::from_millis(250);

/// Length of a turn: changing it costs about 1 ms of the engine, and each tenant waits for the turns of the others.
pub(crate) const TURN: Nanos = Nanos::from_millis(60);
/// Length of a stop, which is said again at each look: the longest time that a tenant stands still for a dead arbiter. More
/// than a turn, so that one that is late by a few looks lets nobody run between.
pub(crate) const STOP: Nanos = Nanos::from_millis(80);

/// One part of the second over which a bus's use is counted.
pub(crate) const UTILIZATION_PART: Nanos = Nanos::from_millis(100);

/// The shortest slice that the hardware knows, in microseconds.
pub const LEAST_SLICE: u32 = 1;
/// The longest slice that is given, in microseconds: a fifth of a second is as long as a batch job shall have GR0 at once.
pub const MOST_SLICE: u32 = 200_000;
/// The driver's own slice on copy engines, in microseconds: a switch costs 1.5 us of it.
pub(crate) const COPY_SLICE: u32 = 1_024;
/// The driver's own slice on GR0, in microseconds: the time that LS tenants wait for each other.
pub(crate) const GRAPHICS_SLICE: u32 = 2_048;
/// BE kernels among themselves, in microseconds: a switch of 0.25 ms then costs about 1 %.
pub(crate) const BATCH_SLICE: u32 = 20_000;
/// All LS tenants' kernels together beside BE ones, in microseconds: longer than a request, so that none is interrupted.
pub(crate) const REQUEST_SLICE: u32 = 50_000;
/// BE copies that cannot stand still beside LS ones, in microseconds: 95 % of the link, and LS waits for 90 us.
pub(crate) const COPY_SLICE_UNSTOPPED: u32 = 30;
