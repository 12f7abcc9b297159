//! Words in the host's memory that the GPU writes behind launches (`cuStreamWriteValue32`), one for each stream.
//!
//! A write waits for nothing but the work before it in its stream, and is read without a call of the driver's. The words
//! of a context lie on a page of their own, which is registered with it once and goes on being the process's memory when
//! the context ends.

use super::queue::Marker;
use crate::base::lock::Lock;
use crate::driver::objects::OBJECTS;
use crate::driver::streams::LANES;
use crate::driver::{calls, query};
use abi::cuda::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of a page.
const PAGE: usize = 4096;
const _: () = assert!(LANES * size_of::<Marker>() <= PAGE);

/// Contexts that are given a page, at most: a process that makes and ends contexts all the time shall not pin more.
const CONTEXTS: usize = 16;

/// The words of one context, one for each lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    words: &'static [AtomicU32; LANES],
    device: CUdeviceptr,
}

/// Pages that were made, with the context of each; `None` where it refused.
static PAGES: Lock<Vec<(CUcontext, Option<Words>)>> = Lock::new(Vec::new());

/// The words of the current context. `None` where there can be none, or not now, since a capture goes on.
pub(super) fn words() -> Option<Words> {
    let context = query::current_context()?;
    let mut pages = PAGES.lock();
    if let Some((_, words)) = pages.iter().find(|(known, _)| *known == context) {
        return *words;
    }
    // Registering is refused during a capture, and would end it.
    if !OBJECTS.captures.is_empty() || pages.len() >= CONTEXTS {
        return None;
    }
    let words = register();
    pages.push((context, words));
    words
}

fn register() -> Option<Words> {
    let (register, device_of) = (calls::cuMemHostRegister_v2.get()?, calls::cuMemHostGetDevicePointer_v2.get()?);
    calls::cuStreamWriteValue32_v2.get()?;
    // SAFETY: a fresh private anonymous mapping of one page; nothing else refers to it.
    let page = unsafe {
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        libc::mmap(std::ptr::null_mut(), PAGE, access, flags, -1, 0)
    };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the page is there for ever.
    if unsafe { register(page, PAGE, CU_MEMHOSTREGISTER_DEVICEMAP) } != CUDA_SUCCESS {
        // SAFETY: it was mapped above, and nobody else knows it.
        unsafe { libc::munmap(page, PAGE) };
        return None;
    }
    let mut device = CUdeviceptr::default();
    // SAFETY: the page was registered; the function writes an address. Where it fails, the page stays as it is.
    if unsafe { device_of(&mut device, page, 0) } != CUDA_SUCCESS {
        return None;
    }
    // SAFETY: the page is zeroed, aligned, never unmapped, and large enough; it is only ever used as these atomics, here and
    // by the GPU, which writes whole words.
    let words = unsafe { &*page.cast::<[AtomicU32; LANES]>() };
    Some(Words { words, device })
}

impl Words {
    /// The newest marker that the GPU wrote for a lane.
    #[inline]
    pub(super) fn newest(&self, lane: usize) -> Marker {
        self.words[lane].load(Ordering::Acquire)
    }

    /// Sets the word of a lane that is another stream's from now on.
    pub(super) fn begin(&self, lane: usize, marker: Marker) {
        self.words[lane].store(marker, Ordering::Release);
    }

    /// Puts a marker behind all work of a stream, whose lane is given.
    pub(super) fn put(&self, lane: usize, stream: CUstream, marker: Marker) -> Result<(), CUresult> {
        let write = calls::cuStreamWriteValue32_v2.get().ok_or(CUDA_ERROR_NOT_FOUND)?;
        let place = self.device + (lane * size_of::<Marker>()) as CUdeviceptr;
        // SAFETY: the word was registered with the context in which the program launched just now, and is never unmapped.
        query::checked(unsafe { write(stream, place, marker, CU_STREAM_WRITE_VALUE_DEFAULT) })
    }
}
