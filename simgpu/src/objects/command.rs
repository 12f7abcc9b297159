//! Commands: what streams are queues of.

use super::channels::Channels;
use super::driver::driver;
use super::fill::Fill;
use super::host_memory::HostPointer;
use super::launch::Launch;
use super::mark::Mark;
use super::node_memory::NodeMemory;
use super::transfer::Transfer;
use super::words::{Wait, Write};
use crate::os::Fault;
use crate::timing::clock::now;
use abi::cuda::*;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use units::{DeviceVa, Nanos};

/// One command.
#[derive(Clone)]
pub(crate) enum Command {
    /// A copy.
    Copy(Transfer),
    /// A fill.
    Fill(Fill),
    /// A kernel.
    Launch(Launch),
    /// The recording of an event.
    Record(Arc<Mark>),
    /// Waiting for an event.
    Await(Arc<Mark>),
    /// Waiting for a word in memory.
    WaitValue(Wait),
    /// Writing a word in memory.
    WriteValue(Write),
    /// Calling a function of the program's.
    Host(HostFunction),
    /// Calling a function of the program's that wants to know how the stream's work went.
    Callback(Callback),
    /// A graph: its commands one after the other, and the memory that they need.
    Graph(Arc<(Vec<Command>, Vec<Arc<NodeMemory>>)>),
    /// Freeing memory.
    Free(DeviceVa),
}

/// A function of the program's, with its argument.
#[derive(Clone)]
pub(crate) struct HostFunction {
    pub(crate) function: unsafe extern "C" fn(*mut c_void),
    pub(crate) data: HostPointer,
}

/// A function of the program's, with the stream that it was given to and its argument.
#[derive(Clone)]
pub(crate) struct Callback {
    pub(crate) function: unsafe extern "C" fn(CUstream, CUresult, *mut c_void),
    pub(crate) stream: CUstream,
    pub(crate) data: HostPointer,
}

impl Command {
    /// Does the command through a context's channels, not before `ready`; returns when it ended in simulated terms. A
    /// fault goes to `fault`, and with a fault nothing is done any more but to record events and to free memory.
    pub(crate) fn run(&self, channels: &Channels, fault: &AtomicU32, ready: Nanos) -> Nanos {
        let healthy = fault.load(Ordering::Acquire) == CUDA_SUCCESS;
        // A panic here would leave every waiter waiting; it ends the context instead.
        let outcome = catch_unwind(AssertUnwindSafe(|| match self {
            Command::Record(mark) => {
                mark.reach(ready);
                Ok(ready)
            }
            Command::Free(va) => {
                if let Ok(driver) = driver() {
                    // The address was valid when the command was submitted; a second free in between is harmless.
                    let _ = driver.memory.free(&driver.rm, *va);
                }
                Ok(now())
            }
            Command::Callback(callback) => {
                let code = fault.load(Ordering::Acquire);
                // SAFETY: the program gave the function and its argument to be called once, from any thread.
                unsafe { (callback.function)(callback.stream, code, callback.data.0.cast()) };
                Ok(now())
            }
            Command::Graph(graph) => {
                Ok(graph.0.iter().fold(ready, |ready, command| command.run(channels, fault, ready)))
            }
            _ if !healthy => Ok(ready),
            Command::Copy(transfer) => transfer.run(channels, ready),
            Command::Fill(fill) => fill.run(ready),
            // The simulated GPU does not wait for ever for what cannot begin.
            Command::Launch(launch) if launch.is_stuck() => Ok(failed(fault, CUDA_ERROR_LAUNCH_TIMEOUT)),
            Command::Launch(launch) => launch.run(&channels.graphics, ready),
            Command::Await(mark) => Ok(mark.wait().max(ready)),
            Command::WaitValue(wait) => wait.run(fault),
            Command::WriteValue(write) => write.run(),
            Command::Host(host) => {
                // SAFETY: the program gave the function and its argument to be called once, from any thread.
                unsafe { (host.function)(host.data.0.cast()) };
                Ok(now())
            }
        }));
        match outcome {
            Ok(Ok(ended)) => ended,
            Ok(Err(Fault { .. })) => failed(fault, CUDA_ERROR_ILLEGAL_ADDRESS),
            Err(_) => failed(fault, CUDA_ERROR_UNKNOWN),
        }
    }
}

fn failed(fault: &AtomicU32, code: CUresult) -> Nanos {
    // The first fault is the one that programs are told.
    let _ = fault.compare_exchange(CUDA_SUCCESS, code, Ordering::AcqRel, Ordering::Relaxed);
    now()
}
