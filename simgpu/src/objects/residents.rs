//! Kernels that have every SM until they are told to go, so that no other kernel of the process begins meanwhile.

use super::{lock, pages};
use crate::machine::Machine;
use crate::os::Fault;
use crate::timing::clock::{nap, now};
use std::sync::{Condvar, Mutex, PoisonError};
use units::{DeviceVa, Nanos};

static HOLDING: Mutex<usize> = Mutex::new(0);
static LET_GO: Condvar = Condvar::new();

/// How often a kernel looks whether it is to go.
const LOOK: Nanos = Nanos::from_micros(20);

/// Has every SM until the word is no longer 0.
pub(super) fn hold(machine: &Machine, word: DeviceVa) -> Result<(), Fault> {
    *lock(&HOLDING) += 1;
    let held = loop {
        let mut bytes = [0; 4];
        match pages::read(machine, word, &mut bytes) {
            Ok(()) if bytes == [0; 4] => nap(LOOK),
            done => break done,
        }
    };
    *lock(&HOLDING) -= 1;
    LET_GO.notify_all();
    held
}

/// Waits until there is an SM for a kernel, which is at once for one that `holds` the SMs itself. The time at which that was, if
/// it had to wait.
pub(super) fn await_sms(holds: bool) -> Option<Nanos> {
    let mut holding = lock(&HOLDING);
    if *holding == 0 || holds {
        return None;
    }
    while *holding > 0 {
        holding = LET_GO.wait(holding).unwrap_or_else(PoisonError::into_inner);
    }
    Some(now())
}
