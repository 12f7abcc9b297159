//! The allocation functions.

use crate::driver::command::Command;
use crate::driver::host_memory;
use crate::driver::init::driver;
use crate::driver::stream::Stream;
use crate::driver::{current, put};
use abi::cuda::*;
use std::ffi::{c_int, c_uint, c_void};
use units::{Bytes, DeviceVa};

/// cuda.h: `CU_POINTER_ATTRIBUTE_…`.
const ATTRIBUTE_CONTEXT: c_int = 1;
const ATTRIBUTE_MEMORY_TYPE: c_int = 2;
const ATTRIBUTE_DEVICE_POINTER: c_int = 3;
const ATTRIBUTE_HOST_POINTER: c_int = 4;
const ATTRIBUTE_IS_MANAGED: c_int = 8;
const ATTRIBUTE_DEVICE_ORDINAL: c_int = 9;
const ATTRIBUTE_RANGE_START: c_int = 11;
const ATTRIBUTE_RANGE_SIZE: c_int = 12;
/// cuda.h: `CU_MEMORYTYPE_HOST` and `CU_MEMORYTYPE_DEVICE`.
const TYPE_HOST: c_uint = 1;
const TYPE_DEVICE: c_uint = 2;

export! {
    fn cuMemAlloc_v2(dptr: *mut CUdeviceptr, bytes: usize) {
        let (context, driver) = (current::context()?, driver()?);
        if dptr.is_null() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
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
        driver.memory.find(DeviceVa::new(dptr)).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        context.synchronize()?;
        driver.memory.free(&driver.rm, DeviceVa::new(dptr))
    }

    /// Allocates at once, which is earlier than the stream comes to it and so never wrong.
    fn cuMemAllocAsync/cuMemAllocAsync_ptsz[default](dptr: *mut CUdeviceptr, bytes: usize, stream: CUstream) {
        let (context, driver) = (current::context()?, driver()?);
        Stream::resolve(stream, default)?;
        if dptr.is_null() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let va = driver.memory.alloc(&driver.rm, Bytes::new(bytes as u64), context.id)?;
        // SAFETY: as above.
        unsafe { put(dptr, va.get()) }
    }

    fn cuMemFreeAsync/cuMemFreeAsync_ptsz[default](dptr: CUdeviceptr, stream: CUstream) {
        let stream = Stream::resolve(stream, default)?;
        if dptr == 0 {
            return Ok(());
        }
        let va = DeviceVa::new(dptr);
        let allocation = driver()?.memory.find(va).filter(|it| it.va == va && it.is_backed());
        allocation.ok_or(CUDA_ERROR_INVALID_VALUE)?;
        stream.submit(Command::Free(va))?;
        Ok(())
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

    fn cuPointerGetAttribute(data: *mut c_void, attribute: c_int, pointer: CUdeviceptr) {
        let context = current::context()?;
        if data.is_null() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let device = driver()?.memory.find(DeviceVa::new(pointer)).map(|it| (it.va.get(), it.bytes.get()));
        let host = host_memory::find(pointer as usize).map(|(start, bytes)| (start as u64, bytes as u64));
        let (start, bytes) = device.or(host).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        // SAFETY: not null, and a place for the attribute's type, which cuda.h gives for each.
        unsafe {
            match attribute {
                ATTRIBUTE_CONTEXT => put(data.cast(), context.id),
                ATTRIBUTE_MEMORY_TYPE => put(data.cast(), if device.is_some() { TYPE_DEVICE } else { TYPE_HOST }),
                ATTRIBUTE_DEVICE_POINTER => put(data.cast(), pointer),
                ATTRIBUTE_HOST_POINTER if device.is_none() => put(data.cast(), pointer),
                ATTRIBUTE_IS_MANAGED => put(data.cast(), 0u8),
                ATTRIBUTE_DEVICE_ORDINAL => put(data.cast(), 0 as c_int),
                ATTRIBUTE_RANGE_START => put(data.cast(), start),
                ATTRIBUTE_RANGE_SIZE => put(data.cast(), bytes as usize),
                _ => Err(CUDA_ERROR_NOT_SUPPORTED),
            }
        }
    }
}
