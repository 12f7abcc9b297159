//! Ways out of the process and into it, none of which the simulated driver opens: IPC, shareable handles, multicast.

use abi::cuda::*;
use std::ffi::{c_uint, c_void};

unmodelled! {
    fn cuIpcGetMemHandle(handle: *mut CUipcMemHandle, dptr: CUdeviceptr) needs handle;
    fn cuIpcOpenMemHandle(dptr: *mut CUdeviceptr, handle: CUipcMemHandle, flags: c_uint) needs dptr;
    fn cuIpcOpenMemHandle_v2(dptr: *mut CUdeviceptr, handle: CUipcMemHandle, flags: c_uint) needs dptr;
    fn cuIpcCloseMemHandle(dptr: CUdeviceptr);
    fn cuIpcGetEventHandle(handle: *mut CUipcEventHandle, event: CUevent) needs handle, event;
    fn cuIpcOpenEventHandle(event: *mut CUevent, handle: CUipcEventHandle) needs event;
    fn cuMemExportToShareableHandle(
        shareable: *mut c_void, handle: CUmemGenericAllocationHandle, kind: c_uint, flags: u64
    ) needs shareable;
    fn cuMemImportFromShareableHandle(
        handle: *mut CUmemGenericAllocationHandle, shareable: *mut c_void, kind: c_uint
    ) needs handle, shareable;
    fn cuMemPoolExportToShareableHandle(
        handle: *mut c_void, pool: CUmemoryPool, kind: c_uint, flags: u64
    ) needs handle, pool;
    fn cuMemPoolImportFromShareableHandle(
        pool: *mut CUmemoryPool, handle: *mut c_void, kind: c_uint, flags: u64
    ) needs pool, handle;
    fn cuMemPoolExportPointer(share: *mut c_void, ptr: CUdeviceptr) needs share;
    fn cuMemPoolImportPointer(dptr: *mut CUdeviceptr, pool: CUmemoryPool, share: *mut c_void) needs dptr, pool, share;
    fn cuMemGetHandleForAddressRange(
        handle: *mut c_void, dptr: CUdeviceptr, size: usize, kind: c_uint, flags: u64
    ) needs handle;
    fn cuMulticastCreate(multicast: *mut CUmemGenericAllocationHandle, prop: *const c_void) needs multicast, prop;
    fn cuMulticastAddDevice(multicast: CUmemGenericAllocationHandle, device: CUdevice);
    fn cuMulticastBindMem(
        multicast: CUmemGenericAllocationHandle,
        multicast_offset: usize,
        handle: CUmemGenericAllocationHandle,
        mem_offset: usize,
        size: usize,
        flags: u64,
    );
    fn cuMulticastBindAddr(
        multicast: CUmemGenericAllocationHandle, multicast_offset: usize, dptr: CUdeviceptr, size: usize, flags: u64
    );
    fn cuMulticastUnbind(
        multicast: CUmemGenericAllocationHandle, device: CUdevice, multicast_offset: usize, size: usize
    );
}
