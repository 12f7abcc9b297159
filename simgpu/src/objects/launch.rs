//! Launches: kernels in streams.

use super::driver::driver;
use super::kernels::Call;
use super::residents;
use crate::os::Fault;
use crate::timing::group::Group;
use crate::timing::kernels::{Limits, Owner};
use crate::timing::pace::Always;
use crate::timing::stay::Stay;
use units::Nanos;

/// A kernel in a stream, its parameters copied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launch(pub(crate) Call);

impl Launch {
    /// Runs the kernel in the turns of a context's group: its effects happen at its beginning, its end when the timing
    /// model says so.
    pub(crate) fn run(&self, group: &Group, ready: Nanos) -> Result<Nanos, Fault> {
        let Ok(driver) = driver() else { return Ok(ready) };
        let machine = driver.machine;
        let spec = machine.spec();
        let free = residents::await_sms(self.0.holds()).unwrap_or(ready);
        let launch = Nanos::new((spec.launch_us * 1e3) as u64);
        let work = self.0.perform(machine)?;
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
