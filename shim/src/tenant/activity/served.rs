//! The requests of a latency-sensitive tenant with a target, as far as they can be told from outside: from its first work
//! after a rest until all of it is known to be done.

use crate::base::lock::Lock;
use crate::tenant::membership::Joined;
use region::{Class, Served};
use std::sync::atomic::{AtomicU64, Ordering};
use units::Nanos;

/// The beginning of the request under way, 0 where there is none.
static BEGUN: AtomicU64 = AtomicU64::new(0);
/// The first graph that it launched, 0 while there is none.
static GRAPH: AtomicU64 = AtomicU64::new(0);
/// One writer at a time.
static WRITING: Lock<()> = Lock::new(());

/// The tenant's work begins after a rest.
pub(super) fn begin(joined: &Joined, now: Nanos) {
    if joined.settings.target.is_some() {
        GRAPH.store(0, Ordering::Relaxed);
        BEGUN.store(now.get(), Ordering::Relaxed);
    }
}

/// A graph is launched, which tells kinds of requests apart.
#[inline]
pub(crate) fn launches_graph(joined: &Joined, graph: u64) {
    if joined.settings.target.is_some() && GRAPH.load(Ordering::Relaxed) == 0 {
        GRAPH.store(graph, Ordering::Relaxed);
    }
}

/// All of the tenant's work is done.
pub(super) fn end(joined: &Joined, now: Nanos) {
    if joined.settings.target.is_none() || joined.settings.class != Class::Ls {
        return;
    }
    let begun = Nanos::new(BEGUN.swap(0, Ordering::Relaxed));
    if begun == Nanos::ZERO {
        return;
    }
    let alone = joined.current_gpu().is_none_or(|gpu| was_alone(joined, gpu, begun, now));
    let served = Served { kind: GRAPH.load(Ordering::Relaxed), took: now.saturating_sub(begun), ended: now, alone };
    let _one = WRITING.lock();
    joined.slot().requests.add(served);
}

/// Whether no best-effort tenant of the GPU had work since.
fn was_alone(joined: &Joined, gpu: usize, begun: Nanos, now: Nanos) -> bool {
    let layout = joined.region.layout();
    let mut others = layout.header.gpus[gpu].tenants(Class::Be).map(|slot| &layout.slots[slot].activity);
    others.all(|activity| !activity.works() && activity.rested(now) <= begun)
}
