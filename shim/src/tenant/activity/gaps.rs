//! The pauses between a tenant's pieces of work, and how long it lingers because of them.
//!
//! A server that waits for the GPU in the middle of a request, as a decoder does for each token, is at rest for some
//! microseconds and goes on. Best-effort work that began in such a pause would be in the way of the rest of the request,
//! so the tenant counts as at work through pauses as short as it usually makes.

use crate::tenant::membership::Joined;
use settings::Idle;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use units::Nanos;

/// The pauses that are remembered.
const KEPT: usize = 32;

/// The longest pause that is one within a request: longer ones are better given to best-effort tenants, whose kernels fit in.
const WITHIN: Nanos = Nanos::from_micros(300);

static PAUSES: [AtomicU64; KEPT] = [const { AtomicU64::new(u64::MAX) }; KEPT];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A pause ended at `now`.
pub(super) fn ended(joined: &Joined, now: Nanos) {
    let activity = joined.activity();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    PAUSES[count % KEPT].store(now.saturating_sub(activity.rested(now)).get(), Ordering::Relaxed);
    if joined.settings.idle == Idle::Auto && count % (KEPT / 2) == KEPT / 2 - 1 {
        activity.set_linger(linger(PAUSES.each_ref().map(|pause| Nanos::new(pause.load(Ordering::Relaxed)))));
    }
}

/// The pauses that ended so far.
pub(super) fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

/// The time for which a tenant with these pauses lingers: through nine of ten of the short ones, where half of all are short; else
/// not at all, as then work that follows soon is the next request.
fn linger(mut pauses: [Nanos; KEPT]) -> Nanos {
    pauses.sort_unstable();
    let short = pauses.partition_point(|&pause| pause <= WITHIN);
    match short * 2 >= KEPT {
        true => Nanos::new(pauses[(short * 9 / 10).min(short - 1)].get() * 5 / 4),
        false => Nanos::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(of: impl Fn(usize) -> u64) -> [Nanos; KEPT] {
        std::array::from_fn(|i| Nanos::from_micros(of(i)))
    }

    #[test]
    fn a_server_that_waits_once_a_request_does_not_linger() {
        assert_eq!(linger(pauses(|i| 2_000 + 100 * i as u64)), Nanos::ZERO);
    }

    #[test]
    fn a_decoder_lingers_through_the_pauses_between_its_tokens() {
        let decoder = pauses(|i| if i % 8 == 0 { 5_000 } else { 40 });
        assert_eq!(linger(decoder), Nanos::from_micros(50));
    }

    #[test]
    fn a_few_requests_that_follow_closely_do_not_make_a_server_linger() {
        assert_eq!(linger(pauses(|i| if i % 3 == 0 { 100 } else { 3_000 })), Nanos::ZERO);
    }

    #[test]
    fn before_there_were_pauses_nobody_lingers() {
        assert_eq!(linger([Nanos::new(u64::MAX); KEPT]), Nanos::ZERO);
    }
}
