//! Permission of the best-effort tenants of a GPU, beside a latency-sensitive tenant with a target.

use crate::shared::shared;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::times::LONGEST_QUIET_TIME;
use units::Nanos;

/// Permission for the launches of best-effort tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Work that they may have queued.
    pub ahead: Nanos,
    /// Whether they wait while latency-sensitive work runs.
    pub hold: bool,
}

shared! {
    /// The permission as it is published. Written by the arbiter.
    pub(crate) struct Permission: 24 => {
        /// Work that best-effort tenants may have queued, in nanoseconds; 0 where no target says.
        0 ahead: AtomicU32,
        /// 1 where launches go on beside latency-sensitive work.
        4 unheld: AtomicU32,
        /// The end of a time in which no best-effort launch goes on, so that requests are alone.
        8 quiet_until: AtomicU64,
        16 reserved: AtomicU64,
    }
}

impl Permission {
    /// Arbiter: says what is allowed, or that no target says; and until when all is to be quiet.
    pub(crate) fn publish(&self, allowed: Option<Allowed>, quiet_until: Nanos) {
        let ahead = allowed.map_or(0, |allowed| u32::try_from(allowed.ahead.get()).unwrap_or(u32::MAX).max(1));
        self.unheld.store(allowed.is_some_and(|allowed| !allowed.hold).into(), Ordering::Relaxed);
        self.ahead.store(ahead, Ordering::Relaxed);
        self.quiet_until.store(quiet_until.get(), Ordering::Relaxed);
    }

    /// The permission, where a target says.
    #[inline]
    pub(crate) fn allowed(&self) -> Option<Allowed> {
        let ahead = Nanos::new(self.ahead.load(Ordering::Relaxed).into());
        (ahead != Nanos::ZERO).then(|| Allowed { ahead, hold: self.unheld.load(Ordering::Relaxed) != 1 })
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
        assert_eq!((permission.allowed(), permission.quiet_until(|| NOW)), (None, None));
        let allowed = Allowed { ahead: Nanos::from_micros(30), hold: false };
        permission.publish(Some(allowed), Nanos::ZERO);
        assert_eq!(permission.allowed(), Some(allowed));
        permission.publish(None, Nanos::ZERO);
        assert_eq!(permission.allowed(), None);
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
