//! What the driver says of a copy's stream and memory: whether a kernel in another stream would do the same as the
//! engine in this one.

use crate::log::info;
use crate::real;
use abi::cuda::*;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::{AtomicU8, Ordering};
use units::Bytes;

/// cuda.h: `CU_DEVICE_ATTRIBUTE_MPS_ENABLED`.
const MPS_ENABLED: c_int = 133;
/// cuda.h: `CU_POINTER_ATTRIBUTE_…`.
const CONTEXT: c_uint = 1;
const MEMORY_TYPE: c_uint = 2;
const DEVICE_POINTER: c_uint = 3;
const IS_MANAGED: c_uint = 8;
const DEVICE_ORDINAL: c_uint = 9;
const RANGE_START: c_uint = 11;
const RANGE_SIZE: c_uint = 12;

/// The context that is current, and that a copy's stream belongs to.
#[derive(Clone, Copy)]
pub(super) struct Current {
    pub(super) context: CUcontext,
    /// The context's number, which no other ever has.
    pub(super) number: u64,
    pub(super) device: CUdevice,
}

impl Current {
    /// `None` where there is none.
    pub(super) fn get() -> Option<Self> {
        let mut current = Current { context: std::ptr::null_mut(), number: 0, device: -1 };
        // SAFETY: the functions write a handle, a number (null means the current context) and an ordinal.
        let known = unsafe {
            real::cuCtxGetCurrent.get()?(&mut current.context) == CUDA_SUCCESS
                && !current.context.is_null()
                && real::cuCtxGetId.get()?(std::ptr::null_mut(), &mut current.number) == CUDA_SUCCESS
                && real::cuCtxGetDevice.get()?(&mut current.device) == CUDA_SUCCESS
        };
        (known && current.number != 0).then_some(current)
    }

    /// Whether the stream, which lives, is this context's.
    pub(super) fn has(&self, stream: CUstream) -> bool {
        let mut owner: CUcontext = std::ptr::null_mut();
        // SAFETY: the function writes a handle; the stream lives.
        let told = real::cuStreamGetCtx.get().map(|ask| unsafe { ask(stream, &mut owner) });
        told == Some(CUDA_SUCCESS) && owner == self.context
    }
}

/// The number of a stream, which no other ever has. A handle says less: it may be another stream's later, and that of the
/// per-thread default stream is the same in every thread.
pub(super) fn number_of(stream: CUstream) -> Option<u64> {
    let mut number = 0;
    // SAFETY: the function writes a number; the caller found that the stream lives.
    let told = unsafe { real::cuStreamGetId.get()?(stream, &mut number) };
    (told == CUDA_SUCCESS && number != 0).then_some(number)
}

/// Whether the device's SMs run kernels of several processes at a time.
pub(super) fn is_shared(device: CUdevice) -> bool {
    /// By ordinal: 0 while not asked, 1 for no, 2 for yes.
    static KNOWN: [AtomicU8; 16] = [const { AtomicU8::new(0) }; 16];
    let Some(known) = usize::try_from(device).ok().and_then(|device| KNOWN.get(device)) else { return false };
    if known.load(Ordering::Relaxed) == 0 {
        let mut mps: c_int = 0;
        let ask = real::cuDeviceGetAttribute.get();
        // SAFETY: the function writes a number.
        let asked = ask.map(|ask| unsafe { ask(&mut mps, MPS_ENABLED, device) });
        let shared = asked == Some(CUDA_SUCCESS) && mps != 0;
        if !shared {
            info!("device {device} is not shared through MPS: best-effort copies go by the copy engine alone");
        }
        known.store(1 + u8::from(shared), Ordering::Relaxed);
    }
    known.load(Ordering::Relaxed) == 2
}

/// Where the device sees a range of pinned host memory; `None` where it is not all pinned and mapped.
pub(super) fn pinned(address: u64, len: Bytes) -> Option<CUdeviceptr> {
    let (mut kind, mut mapped, mut start, mut size): (c_uint, u64, u64, usize) = (0, 0, 0, 0);
    let mut names = [MEMORY_TYPE, DEVICE_POINTER, RANGE_START, RANGE_SIZE];
    let mut places: [*mut c_void; 4] =
        [(&raw mut kind).cast(), (&raw mut mapped).cast(), (&raw mut start).cast(), (&raw mut size).cast()];
    // SAFETY: each place has its attribute's size; what is not known is written as zero.
    let asked = unsafe { real::cuPointerGetAttributes.get()?(4, names.as_mut_ptr(), places.as_mut_ptr(), address) };
    let end = address.checked_add(len.get())?;
    let all = start <= address && end <= start.checked_add(size as u64)?;
    // The range is told in the device's addresses or in the host's, which under unified addressing are the same.
    (asked == CUDA_SUCCESS && kind == CU_MEMORYTYPE_HOST && mapped == address && all).then_some(mapped)
}

/// Whether the address is of plain memory of this context's device, and of no other context.
pub(super) fn is_own(address: CUdeviceptr, current: &Current) -> bool {
    let (mut owner, mut kind, mut ordinal, mut managed): (CUcontext, c_uint, CUdevice, c_uint) =
        (std::ptr::null_mut(), 0, -1, 0);
    let mut names = [CONTEXT, MEMORY_TYPE, DEVICE_ORDINAL, IS_MANAGED];
    let mut places: [*mut c_void; 4] =
        [(&raw mut owner).cast(), (&raw mut kind).cast(), (&raw mut ordinal).cast(), (&raw mut managed).cast()];
    let Some(ask) = real::cuPointerGetAttributes.get() else { return false };
    // SAFETY: as above; a truth value takes no more room than a number.
    let asked = unsafe { ask(4, names.as_mut_ptr(), places.as_mut_ptr(), address) };
    // Memory of pools and of mappings has no context: it may be freed or unmapped in the order of a stream, which the
    // rescue's is not.
    let is_ours = owner == current.context;
    asked == CUDA_SUCCESS && kind == CU_MEMORYTYPE_DEVICE && ordinal == current.device && managed == 0 && is_ours
}
