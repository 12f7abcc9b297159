//! Green contexts, which the simulated driver does not have.

use abi::cuda::*;
use std::ffi::{c_int, c_uint, c_void};

unmodelled! {
    fn cuGreenCtxCreate(
        green: *mut CUgreenCtx, desc: CUdevResourceDesc, device: CUdevice, flags: c_uint
    ) needs green, desc;
    fn cuGreenCtxDestroy(green: CUgreenCtx) needs green;
    fn cuCtxFromGreenCtx(ctx: *mut CUcontext, green: CUgreenCtx) needs ctx, green;
    fn cuGreenCtxStreamCreate(
        stream: *mut CUstream, green: CUgreenCtx, flags: c_uint, priority: c_int
    ) needs stream, green;
    fn cuGreenCtxGetDevResource(green: CUgreenCtx, resource: *mut c_void, kind: c_uint) needs green, resource;
    fn cuGreenCtxGetId(green: CUgreenCtx, id: *mut u64) needs green, id;
    fn cuGreenCtxRecordEvent(green: CUgreenCtx, event: CUevent) needs green, event;
    fn cuGreenCtxWaitEvent(green: CUgreenCtx, event: CUevent) needs green, event;
    fn cuDevSmResourceSplitByCount(
        result: *mut c_void,
        groups: *mut c_uint,
        input: *const c_void,
        remainder: *mut c_void,
        flags: c_uint,
        min_count: c_uint,
    ) needs groups, input;
    fn cuDevResourceGenerateDesc(
        desc: *mut CUdevResourceDesc, resources: *mut c_void, count: c_uint
    ) needs desc, resources;
}
