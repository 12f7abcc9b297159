//! The targets of one GPU's latency-sensitive tenants: reads the requests that they finished, and says what best-effort
//! tenants may do.

use crate::members::Live;
use crate::target::{self, Duty, Kind, Request, Target, Targets};
use crate::times::{QUIET, WARM};
use region::{Class, Gpu, Layout, Reached, SLOTS};
use std::sync::atomic::Ordering;
use units::Nanos;

/// The targets of one GPU.
pub(crate) struct Aims {
    gpu: usize,
    targets: Box<Targets>,
    /// By slot: the requests that were read.
    read: [u64; SLOTS],
    /// By slot: whether the tenant has a target here.
    aimed: [bool; SLOTS],
    was_said: bool,
}

/// The orders that follow from the targets of a GPU.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    /// There is a target.
    pub(crate) any: bool,
    /// Best-effort tenants that share by time slices are to stand still.
    pub(crate) paused: bool,
    /// They are to now and then, so that looks have to follow closely.
    pub(crate) pauses: bool,
}

impl Aims {
    pub(crate) fn new(gpu: usize) -> Self {
        let targets = Box::new(Targets::new());
        Aims { gpu, targets, read: [0; SLOTS], aimed: [false; SLOTS], was_said: false }
    }

    /// Reads what was served, and publishes what is allowed and how the targets are kept.
    pub(crate) fn turn(&mut self, layout: &Layout, live: &[Live], now: Nanos) -> Found {
        let entry = &layout.header.gpus[self.gpu];
        let here = |tenant: &&Live| layout.slots[tenant.slot].activity.is_on(self.gpu);
        let sensitive = live.iter().filter(here).filter(|tenant| tenant.class == Some(Class::Ls));
        for tenant in sensitive {
            let slot = &layout.slots[tenant.slot];
            let target = Target::new(f64::from(slot.tenant.target.load(Ordering::Relaxed)) / 1e3);
            if target.is_none() && !self.aimed[tenant.slot] {
                continue;
            }
            self.aimed[tenant.slot] = target.is_some();
            self.targets.aim(tenant.slot, target);
            let served = slot.requests.since(&mut self.read[tenant.slot]);
            let requests = served.iter().map(|one| Request {
                kind: Kind(one.kind),
                took: one.took,
                alone: one.alone,
                ended: one.ended,
            });
            self.targets.read(tenant.slot, &requests.collect::<Vec<_>>(), now);
        }
        let any = self.aimed.contains(&true);
        if !any {
            if std::mem::take(&mut self.was_said) {
                entry.allow(None, Nanos::ZERO);
            }
            return Found::default();
        }
        self.was_said = true;
        let work = live.iter().filter(here).filter(|tenant| tenant.class == Some(Class::Be));
        let be_has_work = work.into_iter().any(|tenant| works(layout, tenant.slot, now));
        let (paused, pauses) = self.decide(entry, be_has_work, now);
        for slot in (0..SLOTS).filter(|&slot| self.aimed[slot]) {
            if let Some(report) = self.targets.report(slot, now) {
                let reached = match report.reached {
                    target::Reached::Learning => Reached::Learning,
                    target::Reached::Steered => Reached::Steered,
                    target::Reached::NotReachable => Reached::NotReachable,
                };
                let aim = &layout.slots[slot].orders.aim;
                aim.publish(reached, report.reached_p99, report.alone_p99, report.freedom.get());
            }
        }
        Found { any, paused, pauses }
    }

    /// Publishes what is allowed. Whether there is a pause now, and whether there are any.
    fn decide(&mut self, entry: &Gpu, be_has_work: bool, now: Nanos) -> (bool, bool) {
        let decision = self.targets.decide(be_has_work, now);
        let ahead = decision.allowance.map(|allowance| allowance.ahead);
        entry.allow(ahead, if decision.probe_alone { now + QUIET } else { Nanos::ZERO });
        let duty = decision.allowance.map(|allowance| allowance.duty()).filter(|duty| duty.pause != Nanos::ZERO);
        let paused = decision.probe_alone || duty.is_some_and(|duty| is_pause(duty, now));
        (paused, paused || duty.is_some())
    }

    /// Forgets a tenant that is gone.
    pub(crate) fn forget(&mut self, slot: usize) {
        self.targets.aim(slot, None);
        (self.read[slot], self.aimed[slot]) = (0, false);
    }
}

/// Whether a tenant has work, or had some of late.
pub(crate) fn works(layout: &Layout, slot: usize, now: Nanos) -> bool {
    let activity = &layout.slots[slot].activity;
    activity.works() || now.saturating_sub(activity.rested(now)) < WARM
}

/// Whether runs and pauses that follow each other are at a pause.
fn is_pause(duty: Duty, now: Nanos) -> bool {
    let both = duty.run + duty.pause;
    now.get() % both.get().max(1) >= duty.run.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_follows_each_run() {
        let duty = Duty { run: Nanos::from_millis(20), pause: Nanos::from_millis(60) };
        let paused = |at| is_pause(duty, Nanos::from_millis(at));
        assert_eq!([0, 19, 20, 79, 80, 99, 100].map(paused), [false, false, true, true, false, false, true]);
        assert!(!is_pause(Duty { pause: Nanos::ZERO, ..duty }, Nanos::from_millis(33)));
    }
}
