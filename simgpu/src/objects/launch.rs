//! Launches: kernels in streams.

use super::driver::{Driver, driver};
use super::kernels::Call;
use super::residents;
use super::{Outcome, descriptor};
use crate::os::Fault;
use crate::timing::group::Group;
use crate::timing::kernels::{Limits, Owner};
use crate::timing::pace::Always;
use crate::timing::stay::Stay;
use abi::qmd::TpcMask;
use units::Nanos;

/// A kernel in a stream, its parameters copied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launch {
    pub(crate) call: Call,
    /// The TPCs that it may not run on.
    pub(crate) mask: TpcMask,
    /// The fewest SMs on which it can begin: for a cooperative launch, as many as hold all of its blocks.
    pub(crate) least: u64,
}

impl Launch {
    /// A launch that may run anywhere.
    pub(crate) fn of(call: Call) -> Self {
        Launch { call, mask: TpcMask::NONE, least: 1 }
    }

    /// The launch with the mask that subscribers put in its descriptor.
    pub(crate) fn announced(self) -> Outcome<Self> {
        Ok(Launch { mask: descriptor::announce(driver()?.machine.spec().compute), ..self })
    }

    /// Whether its mask leaves too few SMs. On a real GPU it never begins, and all after it wait.
    pub(crate) fn is_stuck(&self) -> bool {
        let left = |driver: &Driver| driver.machine.spec().sms_under(self.mask).len() as u64;
        !self.mask.is_none() && driver().is_ok_and(|driver| left(driver) < self.least)
    }

    /// Runs the kernel in the turns of a context's group: its effects happen at its beginning, its end when the timing
    /// model says so.
    pub(crate) fn run(&self, group: &Group, ready: Nanos) -> Result<Nanos, Fault> {
        let Ok(driver) = driver() else { return Ok(ready) };
        let machine = driver.machine;
        let spec = machine.spec();
        let free = residents::await_sms(self.call.holds()).unwrap_or(ready);
        let launch = Nanos::new((spec.launch_us * 1e3) as u64);
        let work = self.call.perform(machine, self.mask)?;
        let (limits, live, kernels) = (Limits::of(spec), |slot| machine.slot_is_live(slot), &machine.timing().kernels);
        let owner = |group| Owner { slot: machine.slot(), group };
        let end = match machine.engine(group) {
            Some(engine) => {
                let mut stay = Stay::begin(engine, group, free);
                kernels.run(&work, &limits, (&mut stay, launch), owner(group.key), live)
            }
            None => kernels.run(&work, &limits, (&mut Always { since: free }, launch), owner(0), live),
        };
        Ok(end)
    }
}
