//! The capture functions.

use super::{present, put};
use crate::objects::capture::{MODE_GLOBAL, MODE_RELAXED, exchange_mode};
use crate::objects::current::{self, DefaultStream};
use crate::objects::driver::driver;
use crate::objects::graph::GRAPHS;
use crate::objects::{Outcome, lock};
use abi::cuda::*;
use std::ffi::{c_uint, c_void};

/// cuda.h: `CU_STREAM_ADD_CAPTURE_DEPENDENCIES` and `CU_STREAM_SET_CAPTURE_DEPENDENCIES`.
const ADD: c_uint = 0;
const SET: c_uint = 1;
/// cuda.h: `CU_STREAM_CAPTURE_STATUS_ACTIVE` and `_INVALIDATED`.
const STATUS_ACTIVE: c_uint = 1;
const STATUS_INVALIDATED: c_uint = 2;

fn begin_new(stream: CUstream, default: DefaultStream, mode: c_uint) -> Outcome {
    let stream = current::stream(stream, default)?;
    stream.seat.begin(None, mode)
}

fn update(
    stream: CUstream,
    default: DefaultStream,
    dependencies: *const CUgraphNode,
    count: usize,
    flags: c_uint,
) -> Outcome {
    let stream = current::stream(stream, default)?;
    if flags > SET {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    stream.seat.change(|tip| {
        let nodes = super::graph::dependencies(tip.graph(), dependencies, count)?;
        match flags {
            ADD => tip.add(&nodes),
            _ => tip.after = nodes,
        }
        Ok(())
    })
}

/// The places that `cuStreamGetCaptureInfo` in its forms has to fill.
struct Info {
    status: *mut c_uint,
    id: *mut u64,
    graph: *mut CUgraph,
    dependencies: *mut *const CUgraphNode,
    edges: *mut *const c_void,
    count: *mut usize,
}

impl Info {
    const NONE: Info = Info {
        status: core::ptr::null_mut(),
        id: core::ptr::null_mut(),
        graph: core::ptr::null_mut(),
        dependencies: core::ptr::null_mut(),
        edges: core::ptr::null_mut(),
        count: core::ptr::null_mut(),
    };

    fn tell(self, stream: CUstream, default: DefaultStream) -> Outcome {
        let stream = current::stream(stream, default)?;
        present(self.status)?;
        stream.check_asking()?;
        let tip = stream.seat.tip();
        let status = match &tip {
            None => CU_STREAM_CAPTURE_STATUS_NONE,
            Some(tip) if tip.is_broken() => STATUS_INVALIDATED,
            Some(_) => STATUS_ACTIVE,
        };
        // SAFETY: the caller passes null for what it does not want, or a place for it, as cuda.h demands; so below.
        unsafe { put(self.status, status) }?;
        let Some(tip) = tip.filter(|_| status == STATUS_ACTIVE) else { return Ok(()) };
        let mut shown = lock(&stream.shown);
        shown.clone_from(&tip.after);
        // SAFETY: as above; a failure to write says that the place is null.
        unsafe {
            let _ = put(self.id, tip.id());
            let _ = put(self.graph, tip.graph().id);
            let _ = put(self.dependencies, shown.as_ptr());
            let _ = put(self.edges, core::ptr::null());
            let _ = put(self.count, shown.len());
        }
        Ok(())
    }
}

export! {
    fn cuStreamBeginCapture/cuStreamBeginCapture_ptsz[default](stream: CUstream) {
        begin_new(stream, default, MODE_GLOBAL)
    }

    fn cuStreamBeginCapture_v2/cuStreamBeginCapture_v2_ptsz[default](stream: CUstream, mode: c_uint) {
        begin_new(stream, default, mode)
    }

    fn cuStreamBeginCaptureToGraph/cuStreamBeginCaptureToGraph_ptsz[default](
        stream: CUstream,
        graph: CUgraph,
        dependencies: *const CUgraphNode,
        _edges: *const c_void,
        count: usize,
        mode: c_uint,
    ) {
        let stream = current::stream(stream, default)?;
        let graph = GRAPHS.get(graph)?;
        let after = super::graph::dependencies(&graph, dependencies, count)?;
        stream.seat.begin(Some((graph, after)), mode)
    }

    fn cuStreamEndCapture/cuStreamEndCapture_ptsz[default](stream: CUstream, graph: *mut CUgraph) {
        let stream = current::stream(stream, default)?;
        present(graph)?;
        let made = stream.seat.end();
        let handle = made.as_ref().map_or(CUgraph::NULL, |graph| graph.id);
        // SAFETY: not null, and a place for the answer, as cuda.h demands.
        unsafe { put(graph, handle) }?;
        made.map(drop)
    }

    fn cuStreamUpdateCaptureDependencies/cuStreamUpdateCaptureDependencies_ptsz[default](
        stream: CUstream,
        dependencies: *mut CUgraphNode,
        count: usize,
        flags: c_uint,
    ) {
        update(stream, default, dependencies, count, flags)
    }

    fn cuStreamUpdateCaptureDependencies_v2/cuStreamUpdateCaptureDependencies_v2_ptsz[default](
        stream: CUstream,
        dependencies: *mut CUgraphNode,
        _edges: *const c_void,
        count: usize,
        flags: c_uint,
    ) {
        update(stream, default, dependencies, count, flags)
    }

    fn cuThreadExchangeStreamCaptureMode(mode: *mut c_uint) {
        driver()?;
        present(mode)?;
        // SAFETY: not null, so the caller's mode, as cuda.h demands.
        let new = unsafe { mode.read() };
        if new > MODE_RELAXED {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: as above, and a place for the old one.
        unsafe { put(mode, exchange_mode(new)) }
    }

    fn cuStreamIsCapturing/cuStreamIsCapturing_ptsz[default](stream: CUstream, status: *mut c_uint) {
        Info { status, ..Info::NONE }.tell(stream, default)
    }

    fn cuStreamGetCaptureInfo/cuStreamGetCaptureInfo_ptsz[default](
        stream: CUstream,
        status: *mut c_uint,
        id: *mut u64,
    ) {
        Info { status, id, ..Info::NONE }.tell(stream, default)
    }

    fn cuStreamGetCaptureInfo_v2/cuStreamGetCaptureInfo_v2_ptsz[default](
        stream: CUstream,
        status: *mut c_uint,
        id: *mut u64,
        graph: *mut CUgraph,
        dependencies: *mut *const CUgraphNode,
        count: *mut usize,
    ) {
        Info { status, id, graph, dependencies, count, ..Info::NONE }.tell(stream, default)
    }

    fn cuStreamGetCaptureInfo_v3/cuStreamGetCaptureInfo_v3_ptsz[default](
        stream: CUstream,
        status: *mut c_uint,
        id: *mut u64,
        graph: *mut CUgraph,
        dependencies: *mut *const CUgraphNode,
        edges: *mut *const c_void,
        count: *mut usize,
    ) {
        Info { status, id, graph, dependencies, edges, count }.tell(stream, default)
    }
}
