//! The targets of the latency-sensitive (LS) tenants of one GPU.

use super::allowance::{Allowance, Freedom};
use super::probe::Probe;
use super::request::{Request, Target};
use super::tenant::{Report, Tenant};
use region::SLOTS;
use units::Nanos;

/// The tenants with targets on one GPU, by slot.
#[derive(Clone, Debug)]
pub struct Targets {
    tenants: [Option<Box<Tenant>>; SLOTS],
    probe: Probe,
    /// The freedom that BE tenants have since the last decision.
    had: Freedom,
}

/// Orders that hold until the next decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Permission for BE tenants; `None` where no tenant has a target, or none of those had a request for long.
    pub allowance: Option<Allowance>,
    /// Whether BE tenants are held altogether, so that requests are alone.
    pub probe_alone: bool,
}

impl Default for Targets {
    fn default() -> Self {
        Targets::new()
    }
}

impl Targets {
    /// None so far.
    pub fn new() -> Self {
        Targets { tenants: [const { None }; SLOTS], probe: Probe::new(), had: Freedom::STRICTEST }
    }

    /// Sets the target of the LS tenant in `slot`, or takes it away. Said again, it changes nothing.
    pub fn aim(&mut self, slot: usize, target: Option<Target>) {
        let Some(place) = self.tenants.get_mut(slot) else { return };
        match (place, target) {
            (Some(tenant), Some(target)) => tenant.aim(target),
            (place, target) => *place = target.map(|target| Box::new(Tenant::new(target))),
        }
    }

    /// Takes in the requests of the tenant in `slot` that ended since the last time; those of one without a target are
    /// nobody's. To be called before each decision, without requests too: they come at a rate.
    pub fn read(&mut self, slot: usize, requests: &[Request], now: Nanos) {
        if let Some(Some(tenant)) = self.tenants.get_mut(slot) {
            tenant.read(requests, self.had, now);
        }
    }

    /// Decides from `now` on. The strictest tenant decides.
    pub fn decide(&mut self, be_has_work: bool, now: Nanos) -> Decision {
        let tenants = || self.tenants.iter().flatten();
        let freedom = tenants().filter_map(|tenant| tenant.freedom(now)).reduce(Freedom::min);
        let wanted = tenants().filter_map(|tenant| tenant.wants_alone(now)).min();
        self.had = freedom.unwrap_or(Freedom::FREEST);
        let probe_alone = self.probe.at(wanted, be_has_work, now);
        Decision { allowance: freedom.map(Allowance::of), probe_alone }
    }

    /// Figures of the target of the tenant in `slot`.
    pub fn report(&self, slot: usize, now: Nanos) -> Option<Report> {
        self.tenants.get(slot)?.as_ref().map(|tenant| tenant.report(now))
    }
}
