//! The driver of the process, from its start on.

use super::Outcome;
use super::memory::Memory;
use super::requests::Rm;
use crate::machine::Machine;
use crate::os;
use abi::cuda::*;
use std::ffi::c_int;
use std::sync::OnceLock;

/// The version of the driver API: CUDA 13.0.
pub(crate) const API_VERSION: c_int = 13000;

/// The state that a process has once `cuInit` succeeded.
pub(crate) struct Driver {
    pub(crate) machine: &'static Machine,
    pub(crate) rm: Rm,
    pub(crate) memory: Memory,
}

static DRIVER: OnceLock<Outcome<Driver>> = OnceLock::new();

/// The driver, if it was started.
pub(crate) fn driver() -> Outcome<&'static Driver> {
    match DRIVER.get() {
        Some(Ok(driver)) => Ok(driver),
        _ => Err(CUDA_ERROR_NOT_INITIALIZED),
    }
}

/// Starts the driver, once.
pub(crate) fn start() -> Outcome {
    match DRIVER.get_or_init(open) {
        Ok(_) => Ok(()),
        Err(code) => Err(*code),
    }
}

fn open() -> Outcome<Driver> {
    os::start().map_err(|error| {
        eprintln!("simgpu: {error}");
        CUDA_ERROR_NO_DEVICE
    })?;
    let machine = Machine::get().map_err(|_| CUDA_ERROR_NO_DEVICE)?;
    let rm = Rm::open(machine.spec().driver, machine.spec().uuid)?;
    Ok(Driver { machine, rm, memory: Memory::new(machine) })
}
