//! A kernel that writes down which SMs it ran on, and what it needs: a module, a little memory, and a stream that waits for
//! nothing of the program's.
//!
//! They stay until their context ends: freeing them would wait for the program's kernels, one of which may wait for what
//! the program does next.

use super::state::Off;
use super::tpcs::Sms;
use crate::driver::calls;
use crate::driver::objects::{Generation, OBJECTS};
use crate::driver::query::{self, checked};
use abi::cuda::*;
use region::monotonic_nanos;
use std::ffi::{CStr, c_void};
use std::time::Duration;
use units::Nanos;

const KERNEL: &str = concat!(include_str!("../../../ptx/ran_on.ptx"), "\0");
const ENTRY: &CStr = c"missile_ran_on";
/// cuda.h: `CU_STREAM_NON_BLOCKING`.
const NON_BLOCKING: u32 = 1;
/// Blocks for each SM, all of which have place there at once: an SM has place for 16 blocks or more on every GPU.
const BLOCKS_PER_SM: u32 = 8;
/// Threads of a block: one warp.
const THREADS: u32 = 32;
/// Cycles for which a block stays, about 10 us: long enough that the last block is placed before the first one goes.
const CYCLES: u32 = 20_000;
/// The longest time for which the kernel is waited for without a mask; it has to wait for kernels that run.
const LONGEST_BARE: Nanos = Nanos::from_millis(50);
/// The longest time under a mask.
const LONGEST_MASKED: Nanos = Nanos::from_millis(2_000);
/// The time between two looks whether it is done.
const LOOK: Duration = Duration::from_micros(50);
/// Stands where no block has written.
const NOBODY: u32 = u32::MAX;

/// Why a test was not passed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It could not be made, which says nothing.
    NotNow(&'static str),
    /// It went wrong.
    Wrong(Off),
}

/// The kernel and its surroundings, in the current context.
pub(super) struct Scratch {
    context: CUcontext,
    /// The context's entry: another one may get its handle.
    generation: Generation,
    function: CUfunction,
    stream: CUstream,
    /// The SM of each block.
    at: CUdeviceptr,
    /// Blocks that there is room for.
    room: u32,
    /// Blocks of the last launch.
    launched: u32,
}

impl Scratch {
    /// With room for launches on so many SMs.
    pub(super) fn new(most: Sms) -> Result<Scratch, Trouble> {
        let missing = Trouble::NotNow("the driver lacks a function");
        let context = query::current_context().ok_or(Trouble::NotNow("no context"))?;
        let entry = OBJECTS.contexts.look(context, |_| ());
        let (generation, ()) = entry.ok_or(Trouble::NotNow("the context was made past the library"))?;
        let (Some(load), Some(find), Some(create), Some(alloc)) = (
            calls::cuModuleLoadData.get(),
            calls::cuModuleGetFunction.get(),
            calls::cuStreamCreate.get(),
            calls::cuMemAlloc_v2.get(),
        ) else {
            return Err(missing);
        };
        let mut scratch = Scratch {
            context,
            generation,
            function: CUfunction::NULL,
            stream: CUstream::NULL,
            at: 0,
            room: most.0.saturating_mul(BLOCKS_PER_SM),
            launched: 0,
        };
        let mut module = CUmodule::NULL;
        let refused = |code| match code {
            CUDA_ERROR_OUT_OF_MEMORY => Trouble::NotNow("no memory"),
            code => Trouble::Wrong(Off::NoKernel(code)),
        };
        // SAFETY: the function writes a handle; the image is PTX that ends with a NUL.
        checked(unsafe { load(&mut module, KERNEL.as_ptr().cast()) }).map_err(refused)?;
        // SAFETY: the function writes a handle; the module was loaded above, and the name ends with a NUL.
        checked(unsafe { find(&mut scratch.function, module, ENTRY.as_ptr()) }).map_err(refused)?;
        // SAFETY: the function writes a handle.
        checked(unsafe { create(&mut scratch.stream, NON_BLOCKING) }).map_err(refused)?;
        // SAFETY: the function writes an address.
        checked(unsafe { alloc(&mut scratch.at, scratch.room as usize * 4) }).map_err(refused)?;
        Ok(scratch)
    }

    /// Whether the current context is still the one that it was made in.
    pub(super) fn is_of_here(&self) -> bool {
        let now = OBJECTS.contexts.look(self.context, |_| ());
        query::current_context() == Some(self.context) && now == Some((self.generation, ()))
    }

    /// Launches it with enough blocks for so many SMs.
    pub(super) fn launch(&mut self, sms: Sms) -> Result<(), Trouble> {
        self.launched = sms.0.saturating_mul(BLOCKS_PER_SM).min(self.room);
        let (Some(copy), Some(launch)) = (calls::cuMemcpyHtoDAsync_v2.get(), calls::cuLaunchKernel.get()) else {
            return Err(Trouble::NotNow("the driver lacks a function"));
        };
        let nobody = vec![NOBODY; self.launched as usize];
        // SAFETY: the memory has room for as many; from memory that is not pinned the driver takes a copy of its own before
        // it returns.
        let cleared = checked(unsafe { copy(self.at, nobody.as_ptr().cast(), nobody.len() * 4, self.stream) });
        cleared.map_err(|code| Trouble::Wrong(Off::NoKernel(code)))?;
        let (mut none, mut no_count, mut cycles, mut smids) = (0u64, 0u32, CYCLES, self.at);
        let mut no_out = 0u64;
        let mut parameters: [*mut c_void; 5] = [
            (&raw mut none).cast(),
            (&raw mut no_count).cast(),
            (&raw mut cycles).cast(),
            (&raw mut no_out).cast(),
            (&raw mut smids).cast(),
        ];
        // SAFETY: the kernel has five parameters of these sizes, which the driver copies before it returns, and writes a
        // word for each of as many blocks as there is room for.
        let launched = unsafe {
            let (grid, place) = (self.launched, parameters.as_mut_ptr());
            launch(self.function, grid, 1, 1, THREADS, 1, 1, 0, self.stream, place, std::ptr::null_mut())
        };
        checked(launched).map_err(|code| Trouble::Wrong(Off::NoKernel(code)))
    }

    /// Waits until the launch is done, for a bounded time. What is late without a mask has to do with other work; what is
    /// late under one may never end.
    pub(super) fn wait(&self, masked: bool) -> Result<(), Trouble> {
        let Some(ask) = calls::cuStreamQuery.get() else {
            return Err(Trouble::NotNow("the driver lacks a function"));
        };
        let longest = if masked { LONGEST_MASKED } else { LONGEST_BARE };
        let end = Nanos::new(monotonic_nanos()) + longest;
        loop {
            // SAFETY: the stream is this one's own.
            match unsafe { ask(self.stream) } {
                CUDA_SUCCESS => return Ok(()),
                CUDA_ERROR_NOT_READY if Nanos::new(monotonic_nanos()) < end => std::thread::sleep(LOOK),
                CUDA_ERROR_NOT_READY if masked => return Err(Trouble::Wrong(Off::Hung)),
                CUDA_ERROR_NOT_READY => return Err(Trouble::NotNow("the GPU is busy")),
                code => return Err(Trouble::Wrong(Off::NoKernel(code))),
            }
        }
    }

    /// The SMs that the blocks ran on, some of them more than once.
    pub(super) fn sms(&self) -> Result<Vec<u32>, Trouble> {
        let Some(copy) = calls::cuMemcpyDtoHAsync_v2.get() else {
            return Err(Trouble::NotNow("the driver lacks a function"));
        };
        let mut sms = vec![NOBODY; self.launched as usize];
        // SAFETY: both places have room for as many words. To memory that is not pinned the copy is done as it returns.
        let copied = checked(unsafe { copy(sms.as_mut_ptr().cast(), self.at, sms.len() * 4, self.stream) });
        let waited = self.wait(false);
        if waited.is_err() {
            // The copy may still write there.
            std::mem::forget(sms);
            return waited.map(|()| Vec::new());
        }
        copied.map_err(|code| Trouble::Wrong(Off::NoKernel(code)))?;
        match sms.contains(&NOBODY) {
            true => Err(Trouble::Wrong(Off::NoKernel(CUDA_ERROR_UNKNOWN))),
            false => Ok(sms),
        }
    }
}

/// While it lives, calls of this thread that a capture on another thread would not bear are let pass, and do it no harm
/// (cuda.h: `cuThreadExchangeStreamCaptureMode`).
pub(super) struct Relaxed(u32);

impl Relaxed {
    pub(super) fn begin() -> Relaxed {
        Relaxed(exchange(CU_STREAM_CAPTURE_MODE_RELAXED))
    }
}

impl Drop for Relaxed {
    fn drop(&mut self) {
        exchange(self.0);
    }
}

/// Gives this thread another mode; the one before. Changes nothing where the driver has no modes.
fn exchange(mut mode: u32) -> u32 {
    if let Some(exchange) = calls::cuThreadExchangeStreamCaptureMode.get() {
        // SAFETY: the function reads a mode and writes another.
        unsafe { exchange(&mut mode) };
    }
    mode
}
