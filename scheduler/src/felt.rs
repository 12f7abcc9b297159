//! Whether latency-sensitive tenants would feel it if best-effort copies went past the copy engine.
//!
//! Such a copy hardly delays a small one by the engine. But it has two SMs, and a model whose kernels fill the GPU may take
//! much longer then; and it takes half of the bus from a large copy. Beside tenants that launch kernels or copy
//! much at a time, best-effort copies therefore stay with the engine, in pieces (docs/decisions/024).

use crate::meter::LS_MEMORY;
use region::{SLOTS, Tenant};
use std::sync::atomic::Ordering;
use units::Nanos;

/// What latency-sensitive tenants of a GPU did of late that such copies would be felt by.
pub(crate) struct Felt {
    gpu: usize,
    /// By slot: how often the tenant did it, as last seen.
    seen: [u64; SLOTS],
    last: Option<Nanos>,
}

impl Felt {
    pub(crate) fn new(gpu: usize) -> Self {
        Felt { gpu, seen: [0; SLOTS], last: None }
    }

    /// Looks at the latency-sensitive tenant in `slot`.
    pub(crate) fn look(&mut self, slot: usize, tenant: &Tenant, now: Nanos) {
        let counters = [&tenant.launches, &tenant.graph_launches, &tenant.large[self.gpu]];
        let count = counters.iter().fold(0_u64, |sum, counter| sum.wrapping_add(counter.load(Ordering::Relaxed)));
        if std::mem::replace(&mut self.seen[slot], count) != count {
            self.last = Some(now);
        }
    }

    /// The slot is another tenant's from now on.
    pub(crate) fn forget(&mut self, slot: usize) {
        self.seen[slot] = 0;
    }

    /// Whether nobody would feel it, as far as is known of the last seconds.
    pub(crate) fn nobody_would(&self, now: Nanos) -> bool {
        self.last.is_none_or(|last| now.saturating_sub(last) >= LS_MEMORY)
    }
}
