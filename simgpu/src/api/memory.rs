//! The allocation functions.

use super::pool;
use super::{present, put};
use crate::objects::command::Command;
use crate::objects::driver::driver;
use crate::objects::{Outcome, capture, current, host_memory};
use abi::cuda::*;
use std::ffi::{c_uint, c_void};
use units::{Bytes, DeviceVa};

/// cuda.h: `CU_POINTER_ATTRIBUTE_…`.
const ATTRIBUTE_CONTEXT: c_uint = 1;
const ATTRIBUTE_MEMORY_TYPE: c_uint = 2;
const ATTRIBUTE_DEVICE_POINTER: c_uint = 3;
const ATTRIBUTE_HOST_POINTER: c_uint = 4;
const ATTRIBUTE_SYNC_MEMOPS: c_uint = 6;
const ATTRIBUTE_IS_MANAGED: c_uint = 8;
const ATTRIBUTE_DEVICE_ORDINAL: c_uint = 9;
const ATTRIBUTE_RANGE_START: c_uint = 11;
const ATTRIBUTE_RANGE_SIZE: c_uint = 12;
/// cuda.h: `CU_MEMORYTYPE_HOST` and `CU_MEMORYTYPE_DEVICE`.
const TYPE_HOST: c_uint = 1;
const TYPE_DEVICE: c_uint = 2;

/// The unit of lines of pitched memory, as with the real driver.
const PITCH: usize = 512;
/// More attributes than one call is taken to ask for.
const MOST_ATTRIBUTES: c_uint = 1 << 16;

/// How much room an attribute takes; `None` for one that does not exist.
fn size_of_attribute(attribute: c_uint) -> Option<usize> {
    match attribute {
        ATTRIBUTE_MEMORY_TYPE | ATTRIBUTE_DEVICE_ORDINAL => Some(4),
        // Two tokens of the peer-to-peer interface.
        5 => Some(16),
        // Whether accesses are synchronous, whether the memory is managed, IPC-capable, mapped.
        ATTRIBUTE_SYNC_MEMOPS | ATTRIBUTE_IS_MANAGED | 10 | 13 => Some(1),
        // Identity, handle types, access flags, pool, sizes and addresses.
        ATTRIBUTE_CONTEXT | ATTRIBUTE_DEVICE_POINTER | ATTRIBUTE_HOST_POINTER | 7 | ATTRIBUTE_RANGE_START => Some(8),
        ATTRIBUTE_RANGE_SIZE | 14..=20 => Some(8),
        _ => None,
    }
}

/// The facts that are known of an address.
struct Pointer {
    context: CUcontext,
    address: CUdeviceptr,
    is_device: bool,
    start: u64,
    bytes: u64,
}

impl Pointer {
    fn find(address: CUdeviceptr) -> Outcome<Option<Self>> {
        let context = current::context()?.id;
        let device = driver()?.memory.find(DeviceVa::new(address)).map(|it| (it.va.get(), it.bytes.get()));
        let host = host_memory::find(address as usize).map(|(start, bytes)| (start as u64, bytes as u64));
        let is_device = device.is_some();
        Ok(device.or(host).map(|(start, bytes)| Pointer { context, address, is_device, start, bytes }))
    }

    /// # Safety
    /// `data` is a place for the attribute's type.
    unsafe fn tell(&self, attribute: c_uint, data: *mut c_void) -> Outcome {
        // SAFETY: the function's contract.
        unsafe {
            match attribute {
                ATTRIBUTE_CONTEXT => put(data.cast(), self.context),
                ATTRIBUTE_MEMORY_TYPE => put(data.cast(), if self.is_device { TYPE_DEVICE } else { TYPE_HOST }),
                ATTRIBUTE_DEVICE_POINTER => put(data.cast(), self.address),
                ATTRIBUTE_HOST_POINTER if !self.is_device => put(data.cast(), self.address),
                ATTRIBUTE_IS_MANAGED => put(data.cast(), 0u8),
                ATTRIBUTE_DEVICE_ORDINAL => put(data.cast(), 0u32),
                ATTRIBUTE_RANGE_START => put(data.cast(), self.start),
                ATTRIBUTE_RANGE_SIZE => put(data.cast(), self.bytes as usize),
                _ if size_of_attribute(attribute).is_none() => Err(CUDA_ERROR_INVALID_VALUE),
                _ => Err(CUDA_ERROR_NOT_SUPPORTED),
            }
        }
    }
}

export! {
    fn cuMemAlloc_v2(dptr: *mut CUdeviceptr, bytes: usize) {
        let (context, driver) = (current::context()?, driver()?);
        capture::forbid()?;
        present(dptr)?;
        let va = driver.memory.alloc(&driver.rm, Bytes::new(bytes as u64), context.id)?;
        // SAFETY: not null, and a place for the answer, as cuda.h demands; so below.
        unsafe { put(dptr, va.get()) }
    }

    /// Waits for all work of the context first, as the real driver does: a kernel may still use the memory.
    fn cuMemFree_v2(dptr: CUdeviceptr) {
        let (context, driver) = (current::context()?, driver()?);
        if dptr == 0 {
            return Ok(());
        }
        capture::forbid()?;
        driver.memory.find(DeviceVa::new(dptr)).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        context.synchronize_alone()?;
        driver.memory.free(&driver.rm, DeviceVa::new(dptr))
    }

    fn cuMemAllocPitch_v2(
        dptr: *mut CUdeviceptr,
        pitch: *mut usize,
        width: usize,
        height: usize,
        element: c_uint,
    ) {
        let (context, driver) = (current::context()?, driver()?);
        capture::forbid()?;
        present(dptr)?;
        present(pitch)?;
        let line = width.checked_next_multiple_of(PITCH).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        let bytes = line.checked_mul(height).filter(|_| [4, 8, 16].contains(&element));
        let bytes = bytes.ok_or(CUDA_ERROR_INVALID_VALUE)?;
        let va = driver.memory.alloc(&driver.rm, Bytes::new(bytes as u64), context.id)?;
        // SAFETY: as above, for both.
        unsafe {
            put(pitch, line)?;
            put(dptr, va.get())
        }
    }

    fn cuMemAllocAsync/cuMemAllocAsync_ptsz[default](dptr: *mut CUdeviceptr, bytes: usize, stream: CUstream) {
        pool::alloc(dptr, bytes, None, stream, default)
    }

    fn cuMemAllocFromPoolAsync/cuMemAllocFromPoolAsync_ptsz[default](
        dptr: *mut CUdeviceptr,
        bytes: usize,
        pool: CUmemoryPool,
        stream: CUstream,
    ) {
        pool::alloc(dptr, bytes, Some(pool), stream, default)
    }

    fn cuMemFreeAsync/cuMemFreeAsync_ptsz[default](dptr: CUdeviceptr, stream: CUstream) {
        let stream = current::stream(stream, default)?;
        if dptr == 0 {
            return Ok(());
        }
        let va = DeviceVa::new(dptr);
        let allocation = driver()?.memory.find(va).filter(|it| it.va == va && it.is_backed());
        allocation.ok_or(CUDA_ERROR_INVALID_VALUE)?;
        stream.submit(Command::Free(va)).map(drop)
    }

    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
        current::context()?;
        let machine = driver()?.machine;
        // SAFETY: as above, for both.
        unsafe {
            put(free, machine.free_vram().as_usize())?;
            put(total, machine.spec().vram.as_usize())
        }
    }

    fn cuMemGetAddressRange_v2(base: *mut CUdeviceptr, bytes: *mut usize, dptr: CUdeviceptr) {
        current::context()?;
        let found = driver()?.memory.find(DeviceVa::new(dptr)).ok_or(CUDA_ERROR_NOT_FOUND)?;
        // SAFETY: the caller passes null for what it does not want, or a place for it, as cuda.h demands.
        unsafe {
            if !base.is_null() {
                put(base, found.va.get())?;
            }
            if !bytes.is_null() {
                put(bytes, found.bytes.as_usize())?;
            }
        }
        Ok(())
    }

    fn cuPointerGetAttribute(data: *mut c_void, attribute: c_uint, ptr: CUdeviceptr) {
        present(data)?;
        let found = Pointer::find(ptr)?.ok_or(CUDA_ERROR_INVALID_VALUE)?;
        // SAFETY: not null, and a place for the attribute's type, which cuda.h gives for each.
        unsafe { found.tell(attribute, data) }
    }

    /// Memory operations are as synchronous here as the one attribute that can be set asks for.
    fn cuPointerSetAttribute(value: *const c_void, attribute: c_uint, ptr: CUdeviceptr) {
        let found = Pointer::find(ptr)?;
        present(value)?;
        match (attribute, found) {
            (ATTRIBUTE_SYNC_MEMOPS, Some(Pointer { is_device: true, .. })) => Ok(()),
            _ => Err(CUDA_ERROR_INVALID_VALUE),
        }
    }

    /// A fact that is not known of an address is told as zero, and is no error.
    fn cuPointerGetAttributes(count: c_uint, attributes: *mut c_uint, data: *mut *mut c_void, ptr: CUdeviceptr) {
        current::context()?;
        present(attributes)?;
        present(data)?;
        if count == 0 || count > MOST_ATTRIBUTES {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let found = Pointer::find(ptr)?;
        for index in 0..count as usize {
            // SAFETY: not null, so arrays of `count` entries, as cuda.h demands.
            let (attribute, place) = unsafe { (attributes.add(index).read(), data.add(index).read()) };
            present(place)?;
            let size = size_of_attribute(attribute).ok_or(CUDA_ERROR_INVALID_VALUE)?;
            // SAFETY: not null, and a place for the attribute's type, which has this size.
            unsafe { place.cast::<u8>().write_bytes(0, size) };
            if let Some(found) = &found {
                // SAFETY: as above. An attribute that does not belong to this kind of memory stays zero.
                let _ = unsafe { found.tell(attribute, place) };
            }
        }
        Ok(())
    }
}
