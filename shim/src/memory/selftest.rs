//! The pager's self-test: its changes to mappings have the effect that it counts on, before any memory of the program's
//! depends on it.
//!
//! On each GPU, before the first allocation that is to be coloured, it takes a scratch object and shows its first two
//! pages in each other's place. What is then written through one address must be read through the other once the
//! driver's own mapping is back. Any surprise switches colouring off for the process.

use super::intent::{self, Intent};
use super::ledger::Object;
use super::{color, remap};
use crate::base::lock::Lock;
use crate::base::log::{debug, warning};
use crate::driver::{calls, capture};
use crate::rm::request;
use crate::tenant::membership::Joined;
use abi::cuda::*;
use abi::uvm::MapExternalAllocation;
use region::{ColorState, Why};
use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering};
use units::Bytes;

const PAGE: Bytes = Bytes::kib(4);
const SCRATCH: Bytes = Bytes::mib(2);
/// cuda.h: `CU_STREAM_NON_BLOCKING`.
const NON_BLOCKING: u32 = 1;

/// The GPUs on which it passed, by the region's index.
static DONE: AtomicU64 = AtomicU64::new(0);
/// One thread tries at a time.
static TRYING: Lock<()> = Lock::new(());
/// The map request for the scratch object, and the descriptor that it came by.
static CAUGHT: Lock<Option<(c_int, Box<MapExternalAllocation>)>> = Lock::new(None);

/// Whether the test was passed on the GPU with this index of the region.
pub(crate) fn is_passed(gpu: usize) -> bool {
    DONE.load(Ordering::Acquire) >> gpu & 1 == 1
}

/// Makes sure that it is.
pub(crate) fn pass(joined: &Joined, gpu: usize) -> Result<(), Why> {
    if is_passed(gpu) {
        return Ok(());
    }
    // A capture in the process would be lost by what the test does.
    if capture::any() {
        return Err(Why::Unproven);
    }
    let _trying = TRYING.lock();
    if is_passed(gpu) {
        return Ok(());
    }
    match try_on_scratch() {
        Ok(()) => {
            debug!("the pager passed its self-test");
            DONE.fetch_or(1 << gpu, Ordering::Release);
            Ok(())
        }
        Err(Surprise::NotNow(what)) => {
            debug!("the pager's self-test has to wait: {what}");
            Err(Why::Unproven)
        }
        Err(Surprise::Wrong(what)) => {
            warning!("memory is not coloured: the pager's self-test failed: {what}");
            color::stop(joined, ColorState::SelfTestFailed);
            Err(Why::ColoringOff)
        }
    }
}

/// Why the test was not passed.
enum Surprise {
    /// It could not be made, which says nothing.
    NotNow(&'static str),
    /// It went wrong.
    Wrong(String),
}

/// The driver mapped the scratch object.
pub(crate) fn caught(fd: c_int, map: &MapExternalAllocation, object: &Object) {
    let whole = map.offset == 0 && map.length == object.size.get() && map.attributes_count == 1;
    if whole && object.contiguous && !object.compressible {
        *CAUGHT.lock() = Some((fd, Box::new(*map)));
    }
}

fn try_on_scratch() -> Result<(), Surprise> {
    let scratch = Scratch::new()?;
    let caught = CAUGHT.lock().take();
    let (fd, stock) =
        caught.filter(|(_, map)| map.base == scratch.va).ok_or(Surprise::NotNow("no map request seen"))?;
    let swapped = swap(fd, &stock);
    let written = swapped.and_then(|()| scratch.write(0, 0xA5).and_then(|()| scratch.write(PAGE.get(), 0x5A)));
    // Whatever came of it, the scratch object is as it was before it is freed.
    let restored = remap::restore(fd, &stock);
    written?;
    restored.map_err(|status| Surprise::Wrong(format!("the driver's pages could not be put back ({status})")))?;
    let found = [scratch.read(0)?, scratch.read(PAGE.get())?];
    if found == [0x5A, 0xA5] {
        Ok(())
    } else {
        Err(Surprise::Wrong(format!("what was written through one address is not at the other ({found:x?})")))
    }
}

/// Shows the first two pages in each other's place, and the rest as it was.
fn swap(fd: c_int, stock: &MapExternalAllocation) -> Result<(), Surprise> {
    let refused = |status| Surprise::Wrong(format!("the kernel answered a map call with {status}"));
    request::unmap(fd, stock).map_err(refused)?;
    let rest = PAGE + PAGE;
    let parts = [(Bytes::ZERO, PAGE, PAGE), (PAGE, PAGE, Bytes::ZERO), (rest, Bytes::new(stock.length) - rest, rest)];
    let mut request = Box::new(*stock);
    for (at, len, offset) in parts {
        (request.base, request.length, request.offset) = (stock.base + at.get(), len.get(), offset.get());
        request::map(fd, &mut request).map_err(refused)?;
    }
    Ok(())
}

/// An allocation of the pager's own, and a stream that waits for nothing of the program's.
struct Scratch {
    va: CUdeviceptr,
    stream: CUstream,
}

impl Scratch {
    fn new() -> Result<Scratch, Surprise> {
        let not_now = Surprise::NotNow;
        let alloc = calls::cuMemAlloc_v2.get().ok_or(not_now("no cuMemAlloc"))?;
        let create = calls::cuStreamCreate.get().ok_or(not_now("no cuStreamCreate"))?;
        let mut scratch = Scratch { va: 0, stream: CUstream::NULL };
        // SAFETY: the function writes a handle.
        if unsafe { create(&mut scratch.stream, NON_BLOCKING) } != CUDA_SUCCESS {
            return Err(not_now("no stream"));
        }
        // SAFETY: the function writes an address.
        if intent::during(Intent::SelfTest, || unsafe { alloc(&mut scratch.va, SCRATCH.as_usize()) }) != CUDA_SUCCESS {
            return Err(not_now("no memory"));
        }
        Ok(scratch)
    }

    fn write(&self, at: u64, value: u8) -> Result<(), Surprise> {
        let page = vec![value; PAGE.as_usize()];
        // SAFETY: the range lies in the allocation; the page lives until the stream has done the copy.
        let copy = |copy: unsafe extern "C" fn(_, _, _, _) -> _| unsafe {
            copy(self.va + at, page.as_ptr().cast(), page.len(), self.stream)
        };
        self.done(calls::cuMemcpyHtoDAsync_v2.get().map(copy))
    }

    /// The byte that fills the page, or 0 if its bytes differ.
    fn read(&self, at: u64) -> Result<u8, Surprise> {
        let mut page = vec![0u8; PAGE.as_usize()];
        // SAFETY: as above.
        let copy = |copy: unsafe extern "C" fn(_, _, _, _) -> _| unsafe {
            copy(page.as_mut_ptr().cast(), self.va + at, page.len(), self.stream)
        };
        self.done(calls::cuMemcpyDtoHAsync_v2.get().map(copy))?;
        Ok(if page.iter().all(|&byte| byte == page[0]) { page[0] } else { 0 })
    }

    fn done(&self, asked: Option<CUresult>) -> Result<(), Surprise> {
        // SAFETY: the stream is this one's own.
        let waited = calls::cuStreamSynchronize.get().map(|wait| unsafe { wait(self.stream) });
        match (asked, waited) {
            (Some(CUDA_SUCCESS), Some(CUDA_SUCCESS)) => Ok(()),
            (asked, waited) => Err(Surprise::Wrong(format!("a copy failed ({asked:?}, {waited:?})"))),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.va != 0
            && let Some(free) = calls::cuMemFree_v2.get()
        {
            // SAFETY: the address is of this allocation, which nobody else knows.
            unsafe { free(self.va) };
        }
        if let Some(destroy) = calls::cuStreamDestroy_v2.get().filter(|_| !self.stream.is_null()) {
            // SAFETY: the stream is this one's own, and idle.
            unsafe { destroy(self.stream) };
        }
    }
}
