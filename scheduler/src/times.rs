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
/// Between two looks while a tenant has a target: ten requests of a server that has 200 a second.
pub(crate) const AIM_LOOK: Nanos = Nanos::from_millis(50);
/// A quiet time is said this far ahead: two looks, so that a dead arbiter's ends by itself.
pub(crate) const QUIET: Nanos = Nanos::from_millis(100);
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

/// Longest request that a tenant is believed: an hour-long one would have no p99 that anyone could wait for.
pub(crate) const LONGEST_REQUEST: Nanos = Nanos::from_millis(60_000);
/// A kind of request that did not come for so long gives its place to a new one.
pub(crate) const KIND_FORGOTTEN: Nanos = Nanos::from_millis(60_000);
/// Time over which requests are counted to tell the kinds that matter.
pub(crate) const KIND_WEIGHED: Nanos = Nanos::from_millis(10_000);
/// Time over which the rate of requests is taken: some looks, so that a burst's requests weigh like others.
pub(crate) const RATE: Nanos = Nanos::from_millis(1_000);
/// Time over which the reached p99 is shown, and after which a request that was not read is no news.
pub(crate) const REACHED: Nanos = Nanos::from_millis(10_000);
/// Time without a request after which a tenant's target binds nobody. When it comes back, its first requests, those of one
/// look, find BE tenants as free as they were: a few in each such pause, as a p99 may have.
pub(crate) const IDLE_TENANT: Nanos = Nanos::from_millis(30_000);
/// Time at the strictest after which a target that is not kept is out of reach: the strictness has acted, and is no moment.
pub(crate) const UNREACHED: Nanos = Nanos::from_millis(2_000);
/// Time in which a GPU's BE tenants may be held at first, so that a tenant's requests are alone, and the most that
/// is saved up for it: 20, which are the fewest to know a p99, at 10 a second. No BE job shall stand still for longer.
pub(crate) const ALONE_SAVED: Nanos = Nanos::from_millis(2_000);
/// Least time for it: one look of the arbiter.
pub(crate) const ALONE_LEAST: Nanos = Nanos::from_millis(50);
/// Time after which requests shall be alone again: takes half of what may be saved, the rest is for changes.
pub(crate) const ALONE_AGAIN: Nanos = Nanos::from_millis(10_000);
/// The same where the target is out of reach, which may be so as the requests themselves became longer.
pub(crate) const ALONE_DOUBTED: Nanos = Nanos::from_millis(500);

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
