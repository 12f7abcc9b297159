//! The requests of a latency-sensitive tenant with a target, as far as they can be told from outside: from its first work
//! after a rest until all of it is known to be done.

use crate::base::lock::Lock;
use crate::tenant::membership::{self, Joined};
use abi::cuda::CUgraphExec;
use region::{Class, Served};
use std::sync::atomic::{AtomicU64, Ordering};
use units::Nanos;

/// A request under way.
struct UnderWay {
    /// Its beginning, 0 where there is none.
    begun: AtomicU64,
    /// The first graph that it launched, 0 while there is none.
    graph: AtomicU64,
}

static UNDER_WAY: UnderWay = UnderWay::new();

/// Held by whoever writes a request: one at a time.
static WRITING: Lock<()> = Lock::new(());

impl UnderWay {
    const fn new() -> Self {
        UnderWay { begun: AtomicU64::new(0), graph: AtomicU64::new(0) }
    }

    fn begin(&self, now: Nanos) {
        self.graph.store(0, Ordering::Relaxed);
        self.begun.store(now.get(), Ordering::Relaxed);
    }

    fn launch(&self, graph: u64) {
        if self.graph.load(Ordering::Relaxed) == 0 {
            self.graph.store(graph, Ordering::Relaxed);
        }
    }

    /// Its beginning and its first graph, once.
    fn end(&self) -> Option<(Nanos, u64)> {
        let begun = self.begun.swap(0, Ordering::Relaxed);
        (begun != 0).then(|| (Nanos::new(begun), self.graph.load(Ordering::Relaxed)))
    }
}

/// Whether this tenant has a target. One of a best-effort tenant says nothing.
fn has_target(joined: &Joined) -> bool {
    joined.settings.target.is_some() && joined.settings.class == Class::Ls
}

/// The tenant's work begins after a rest.
pub(super) fn begin(joined: &Joined, now: Nanos) {
    if has_target(joined) {
        UNDER_WAY.begin(now);
    }
}

/// A graph is launched, which tells kinds of requests apart.
#[inline]
pub(crate) fn launches_graph(exec: CUgraphExec) {
    if membership::joined().is_some_and(has_target) {
        UNDER_WAY.launch(exec.addr() as u64);
    }
}

/// All of the tenant's work is done.
pub(super) fn end(joined: &Joined, now: Nanos) {
    if !has_target(joined) {
        return;
    }
    let Some((begun, kind)) = UNDER_WAY.end() else { return };
    let alone = joined.current_gpu().is_none_or(|gpu| was_alone(joined, gpu, begun, now));
    let served = Served { kind, took: now.saturating_sub(begun), ended: now, alone };
    let _one = WRITING.lock();
    joined.slot().requests.add(served);
}

/// Whether no best-effort tenant of the GPU had work since.
fn was_alone(joined: &Joined, gpu: usize, begun: Nanos, now: Nanos) -> bool {
    let layout = joined.region.layout();
    let mut others = layout.header.gpus[gpu].tenants(Class::Be).map(|slot| &layout.slots[slot].activity);
    others.all(|activity| !activity.works() && activity.rested(now) <= begun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_of_the_kind_of_the_first_graph_that_it_launches_and_ends_once() {
        let under_way = UnderWay::new();
        assert_eq!(under_way.end(), None);
        under_way.begin(Nanos::from_micros(5));
        under_way.launch(7);
        under_way.launch(8);
        assert_eq!(under_way.end(), Some((Nanos::from_micros(5), 7)));
        assert_eq!(under_way.end(), None);
        under_way.begin(Nanos::from_micros(9));
        assert_eq!(under_way.end(), Some((Nanos::from_micros(9), 0)), "of no graph, and not of the last one");
    }
}
