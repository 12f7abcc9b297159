//! Permission of the best-effort tenants of a GPU, beside a latency-sensitive tenant with a target.

use crate::shared::shared;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::times::LONGEST_QUIET_TIME;
use units::Nanos;

shared! {
    /// The permission as it is published. Written by the arbiter.
    pub(crate) struct Permission: 24 => {
        /// Work that best-effort tenants may have queued, in nanoseconds; 0 where no target says.
        0 ahead: AtomicU32,
        4 unused: AtomicU32,
        /// The end of a time in which no best-effort launch goes on, so that requests are alone.
        8 quiet_until: AtomicU64,
        16 reserved: AtomicU64,
    }
}

impl Permission {
    /// Arbiter: says how much work may be queued, or that no target says; and until when all is to be quiet.
    pub(crate) fn publish(&self, ahead: Option<Nanos>, quiet_until: Nanos) {
        let ahead = ahead.map_or(0, |ahead| u32::try_from(ahead.get()).unwrap_or(u32::MAX).max(1));
        self.ahead.store(ahead, Ordering::Relaxed);
        self.quiet_until.store(quiet_until.get(), Ordering::Relaxed);
    }

    /// Work that may be queued, where a target says.
    #[inline]
    pub(crate) fn ahead(&self) -> Option<Nanos> {
        Some(Nanos::new(self.ahead.load(Ordering::Relaxed).into())).filter(|&ahead| ahead != Nanos::ZERO)
    }

    /// The end of a quiet time at `now`.
    #[inline]
    pub(crate) fn quiet_until(&self, now: impl FnOnce() -> Nanos) -> Option<Nanos> {
        let until = Nanos::new(self.quiet_until.load(Ordering::Relaxed));
        if until == Nanos::ZERO {
            return None;
        }
        let now = now();
        (until > now).then(|| until.min(now + LONGEST_QUIET_TIME))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::shared::Shared;

    const NOW: Nanos = Nanos::from_millis(1_000);

    #[test]
    fn without_a_target_nothing_is_said() {
        let permission = Permission::zeroed();
        assert_eq!((permission.ahead(), permission.quiet_until(|| NOW)), (None, None));
        permission.publish(Some(Nanos::from_micros(30)), Nanos::ZERO);
        assert_eq!(permission.ahead(), Some(Nanos::from_micros(30)));
        permission.publish(None, Nanos::ZERO);
        assert_eq!(permission.ahead(), None);
    }

    #[test]
    fn a_quiet_time_ends_by_itself_however_far_off_its_end_is_said_to_be() {
        let permission = Permission::zeroed();
        permission.publish(None, NOW + Nanos::from_millis(10));
        assert_eq!(permission.quiet_until(|| NOW), Some(NOW + Nanos::from_millis(10)));
        assert_eq!(permission.quiet_until(|| NOW + Nanos::from_millis(10)), None);
        permission.publish(None, Nanos::new(u64::MAX));
        assert_eq!(permission.quiet_until(|| NOW), Some(NOW + LONGEST_QUIET_TIME));
    }
}
