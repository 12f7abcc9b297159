//! The software gate: best-effort copies held back on the host, where the kernel refuses time slices or the operator asks
//! for it (`MISSILE_COPIES=gate`).
//!
//! A copy is submitted when its tenant has its turn and no latency-sensitive tenant has just copied. Nothing is put into
//! any stream, and no copy is cut: pieces without time slices made a small copy wait longer than whole ones do. So a copy
//! that is submitted is waited for, and a latency-sensitive tenant gets less from the gate than from slices.

use crate::tenant::membership::Joined;
use region::times::{LONGEST_GATED, LONGEST_QUIET, QUIET};
use region::{Class, Engine, Layout, monotonic_nanos};
use std::sync::atomic::{AtomicBool, Ordering};
use units::Nanos;

static CLOSED: AtomicBool = AtomicBool::new(false);

/// From now on best-effort copies of this process are held back.
pub(crate) fn close() {
    CLOSED.store(true, Ordering::Relaxed);
}

/// Whether copies are held back.
#[inline]
pub(crate) fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Waits until a copy to or from the GPU may be submitted, for a bounded time.
#[cold]
pub(crate) fn wait(joined: &Joined, gpu: usize) {
    if joined.settings.class != Class::Be {
        return;
    }
    let (layout, orders) = (joined.region.layout(), &joined.slot().orders);
    let order = orders.of(gpu, Engine::Copy);
    let began = Nanos::new(monotonic_nanos());
    let mut now = began;
    while now.saturating_sub(began) < LONGEST_GATED {
        // Read before the order, so that one that is given meanwhile ends the sleep.
        let seen = orders.changes();
        let Some(until) = order.stop_until(now) else { break };
        orders.wait(seen, until.saturating_sub(now).min(LONGEST_GATED).into());
        now = Nanos::new(monotonic_nanos());
    }
    if now > began {
        joined.tenant().groups(gpu, Engine::Copy).add_held(now.saturating_sub(began));
    }
    let began = now;
    // A slice of its own says that it is not alone.
    while order.slice_us().is_some() && now.saturating_sub(began) < LONGEST_QUIET {
        let before = sensitive(layout, gpu);
        std::thread::sleep(QUIET.into());
        if sensitive(layout, gpu) == before {
            break;
        }
        now = Nanos::new(monotonic_nanos());
    }
}

/// Bytes that latency-sensitive tenants ever moved over the GPU's bus.
fn sensitive(layout: &Layout, gpu: usize) -> u64 {
    let tenants = layout.slots.iter().map(|slot| &slot.tenant).filter(|tenant| tenant.class() == Some(Class::Ls));
    tenants.flat_map(|tenant| &tenant.moved[gpu]).map(|moved| moved.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
}
