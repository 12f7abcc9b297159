//! Graphs and capture: work that is told first and done later, and as often as it is launched.

#[macro_use]
#[path = "driver_support/client.rs"]
mod client;

use abi::cuda::*;
use client::*;
use std::ffi::{c_uint, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

const GLOBAL: c_uint = 0;
const THREAD_LOCAL: c_uint = 1;
const RELAXED: c_uint = 2;

/// cuda.h: the errors that belong to capture.
const CUDA_ERROR_STREAM_CAPTURE_INVALIDATED: CUresult = 901;
const CUDA_ERROR_CAPTURED_EVENT: CUresult = 907;

unsafe extern "C" {
    fn cuStreamBeginCapture_v2(stream: CUstream, mode: c_uint) -> CUresult;
    fn cuStreamEndCapture(stream: CUstream, graph: *mut CUgraph) -> CUresult;
    fn cuStreamIsCapturing(stream: CUstream, status: *mut c_uint) -> CUresult;
    fn cuStreamAddCallback(stream: CUstream, f: CUstreamCallback, data: *mut c_void, flags: c_uint) -> CUresult;
    fn cuThreadExchangeStreamCaptureMode(mode: *mut c_uint) -> CUresult;
    fn cuGraphCreate(graph: *mut CUgraph, flags: c_uint) -> CUresult;
    fn cuGraphDestroy(graph: CUgraph) -> CUresult;
    fn cuGraphClone(clone: *mut CUgraph, graph: CUgraph) -> CUresult;
    fn cuGraphGetNodes(graph: CUgraph, nodes: *mut CUgraphNode, count: *mut usize) -> CUresult;
    fn cuGraphNodeGetType(node: CUgraphNode, kind: *mut c_uint) -> CUresult;
    fn cuGraphAddDependencies(g: CUgraph, from: *const CUgraphNode, to: *const CUgraphNode, n: usize) -> CUresult;
    fn cuGraphAddMemsetNode(
        node: *mut CUgraphNode,
        graph: CUgraph,
        after: *const CUgraphNode,
        count: usize,
        params: *const c_void,
        context: CUcontext,
    ) -> CUresult;
    fn cuGraphAddKernelNode_v2(
        node: *mut CUgraphNode,
        graph: CUgraph,
        after: *const CUgraphNode,
        count: usize,
        params: *const c_void,
    ) -> CUresult;
    fn cuGraphAddChildGraphNode(
        node: *mut CUgraphNode,
        graph: CUgraph,
        after: *const CUgraphNode,
        count: usize,
        child: CUgraph,
    ) -> CUresult;
    fn cuGraphExecMemsetNodeSetParams(
        exec: CUgraphExec,
        node: CUgraphNode,
        params: *const c_void,
        context: CUcontext,
    ) -> CUresult;
    fn cuGraphNodeSetEnabled(exec: CUgraphExec, node: CUgraphNode, enabled: c_uint) -> CUresult;
    fn cuGraphExecUpdate_v2(exec: CUgraphExec, graph: CUgraph, result: *mut [u32; 6]) -> CUresult;
    fn cuGraphInstantiateWithFlags(exec: *mut CUgraphExec, graph: CUgraph, flags: u64) -> CUresult;
    fn cuGraphLaunch(exec: CUgraphExec, stream: CUstream) -> CUresult;
    fn cuGraphExecDestroy(exec: CUgraphExec) -> CUresult;
}

/// cuda.h: `CUDA_MEMSET_NODE_PARAMS`.
#[repr(C)]
struct Memset {
    dst: CUdeviceptr,
    pitch: usize,
    value: c_uint,
    element: c_uint,
    width: usize,
    height: usize,
}

/// cuda.h: `CUDA_KERNEL_NODE_PARAMS_v2`.
#[repr(C)]
struct Kernel {
    func: CUfunction,
    shape: [c_uint; 7],
    params: *mut *mut c_void,
    rest: [usize; 3],
}

/// Starts the driver for one test at a time: a call that waits for everything ends the captures of all threads.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    start();
    alone
}

fn memset(dst: CUdeviceptr, value: u32, words: usize) -> Memset {
    Memset { dst, pitch: 0, value, element: 4, width: words, height: 1 }
}

fn context() -> CUcontext {
    let mut context = CUcontext::NULL;
    ok!(cuCtxGetCurrent(&mut context));
    context
}

fn graph() -> CUgraph {
    let mut graph = CUgraph::NULL;
    ok!(cuGraphCreate(&mut graph, 0));
    graph
}

fn add_memset(graph: CUgraph, after: &[CUgraphNode], params: &Memset) -> CUgraphNode {
    let mut node = CUgraphNode::NULL;
    let params = (params as *const Memset).cast();
    ok!(cuGraphAddMemsetNode(&mut node, graph, after.as_ptr(), after.len(), params, context()));
    node
}

fn ready(graph: CUgraph) -> CUgraphExec {
    let mut exec = CUgraphExec::NULL;
    ok!(cuGraphInstantiateWithFlags(&mut exec, graph, 0));
    exec
}

fn run(exec: CUgraphExec, stream: CUstream) {
    ok!(cuGraphLaunch(exec, stream));
    ok!(cuStreamSynchronize(stream));
}

fn begin(mode: c_uint) -> CUstream {
    let stream = stream(1);
    ok!(cuStreamBeginCapture_v2(stream, mode));
    stream
}

fn end(stream: CUstream) -> (CUresult, CUgraph) {
    let mut graph = CUgraph::from_addr(1);
    let code = code!(cuStreamEndCapture(stream, &mut graph));
    (code, graph)
}

fn kinds(graph: CUgraph) -> Vec<c_uint> {
    let mut count = 0;
    ok!(cuGraphGetNodes(graph, core::ptr::null_mut(), &mut count));
    let mut nodes = vec![CUgraphNode::NULL; count];
    ok!(cuGraphGetNodes(graph, nodes.as_mut_ptr(), &mut count));
    let kind = |node: CUgraphNode| {
        let mut kind = 99;
        ok!(cuGraphNodeGetType(node, &mut kind));
        kind
    };
    nodes.into_iter().map(kind).collect()
}

unsafe extern "C" fn increment(data: *mut c_void) {
    // SAFETY: the tests pass a live word, which only the stream's thread touches until the stream is synchronized.
    unsafe { *data.cast::<u32>() += 1 };
}

#[test]
fn what_is_captured_runs_in_order_and_often() {
    let _alone = alone();
    let (device, mut host) = (alloc(64), vec![9u32; 4]);
    ok!(cuMemsetD32_v2(device, 1, 16));
    ok!(cuCtxSynchronize());
    let mut calls = 0u32;
    let stream = begin(GLOBAL);
    ok!(cuMemcpyHtoDAsync_v2(device, host.as_ptr().cast(), 16, stream));
    assert_eq!(launch(kernel("fill"), 1, stream, &mut [device + 4, 2, 70]), CUDA_SUCCESS);
    ok!(cuLaunchHostFunc(stream, increment, (&raw mut calls).cast()));
    let (code, graph) = end(stream);
    assert_eq!(code, CUDA_SUCCESS);
    assert_eq!(kinds(graph), [1, 0, 3]);
    assert_eq!((words(device, 4), calls), (vec![1; 4], 0), "nothing was done yet");
    let exec = ready(graph);
    run(exec, stream);
    assert_eq!((words(device, 4), calls), (vec![9, 70, 71, 9], 1));
    host.fill(5);
    ok!(cuGraphDestroy(graph));
    run(exec, stream);
    assert_eq!((words(device, 4), calls), (vec![5, 70, 71, 5], 2), "it reads the memory as it is at its run");
    ok!(cuGraphExecDestroy(exec));
    assert_eq!(code!(cuGraphLaunch(exec, stream)), CUDA_ERROR_INVALID_HANDLE);
}

#[test]
fn a_graph_is_built_node_by_node_and_follows_its_edges() {
    let _alone = alone();
    let device = alloc(64);
    let graph = graph();
    let last = add_memset(graph, &[], &memset(device, 3, 2));
    let (word, mut value, mut count) = (device + 4, 8u32, 1u64);
    let mut base = word;
    let mut params: [*mut c_void; 3] = [(&raw mut base).cast(), (&raw mut count).cast(), (&raw mut value).cast()];
    let mut node = CUgraphNode::NULL;
    let kernel =
        Kernel { func: kernel("fill"), shape: [1, 1, 1, 1, 1, 1, 0], params: params.as_mut_ptr(), rest: [0; 3] };
    ok!(cuGraphAddKernelNode_v2(&mut node, graph, core::ptr::null(), 0, (&raw const kernel).cast()));
    ok!(cuGraphAddDependencies(graph, &node, &last, 1));
    let exec = ready(graph);
    (base, value) = (0, 0);
    run(exec, NULL);
    assert_eq!((words(device, 2), base, value), (vec![3, 3], 0, 0), "the fill came last, the parameters were copied");
    ok!(cuGraphAddDependencies(graph, &last, &node, 1));
    let mut none = CUgraphExec::NULL;
    assert_eq!(code!(cuGraphInstantiateWithFlags(&mut none, graph, 0)), CUDA_ERROR_INVALID_VALUE, "a circle");
    assert_eq!(code!(cuGraphAddDependencies(graph, &last, &node, 1)), CUDA_ERROR_INVALID_VALUE, "it is there");
}

#[test]
fn a_graph_made_ready_takes_new_parameters() {
    let _alone = alone();
    let device = alloc(64);
    let graph = graph();
    let node = add_memset(graph, &[], &memset(device, 1, 4));
    let exec = ready(graph);
    let new = memset(device, 2, 4);
    ok!(cuGraphExecMemsetNodeSetParams(exec, node, (&raw const new).cast(), context()));
    run(exec, NULL);
    assert_eq!(words(device, 4), [2; 4]);

    let mut clone = CUgraph::NULL;
    ok!(cuGraphClone(&mut clone, graph));
    let mut result = [9; 6];
    ok!(cuGraphExecUpdate_v2(exec, clone, &mut result));
    run(exec, NULL);
    assert_eq!((words(device, 4), result[0]), (vec![1; 4], 0));
    add_memset(clone, &[], &new);
    assert_eq!(code!(cuGraphExecUpdate_v2(exec, clone, &mut result)), 910);
    assert_eq!(result[0], 2, "its form changed");

    ok!(cuGraphNodeSetEnabled(exec, node, 0));
    ok!(cuMemsetD32_v2(device, 7, 4));
    run(exec, NULL);
    assert_eq!(words(device, 4), [7; 4]);
}

#[test]
fn a_child_is_what_it_was_when_it_was_added() {
    let _alone = alone();
    let device = alloc(64);
    let (parent, child) = (graph(), graph());
    add_memset(child, &[], &memset(device, 4, 1));
    let mut node = CUgraphNode::NULL;
    ok!(cuGraphAddChildGraphNode(&mut node, parent, core::ptr::null(), 0, child));
    add_memset(child, &[], &memset(device + 4, 4, 1));
    ok!(cuGraphDestroy(child));
    ok!(cuMemsetD32_v2(device, 0, 2));
    run(ready(parent), NULL);
    assert_eq!(words(device, 2), [4, 0]);
    assert_eq!(
        code!(cuGraphAddChildGraphNode(&mut node, parent, core::ptr::null(), 0, parent)),
        CUDA_ERROR_INVALID_VALUE
    );
}

#[test]
fn streams_join_a_capture_by_events_and_have_to_come_back() {
    let _alone = alone();
    let device = alloc(64);
    let (other, fork, join) = (stream(1), event(), event());
    let origin = begin(GLOBAL);
    ok!(cuEventRecord(fork, origin));
    ok!(cuStreamWaitEvent(other, fork, 0));
    assert_eq!(launch(kernel("fill"), 1, other, &mut [device, 4, 1]), CUDA_SUCCESS);
    ok!(cuEventRecord(join, other));
    ok!(cuStreamWaitEvent(origin, join, 0));
    let (code, graph) = end(origin);
    assert_eq!((code, kinds(graph)), (CUDA_SUCCESS, vec![0]));
    run(ready(graph), NULL);
    assert_eq!(words(device, 4), [1, 2, 3, 4]);

    let origin = begin(GLOBAL);
    ok!(cuEventRecord(fork, origin));
    ok!(cuStreamWaitEvent(other, fork, 0));
    assert_eq!(launch(kernel("fill"), 1, other, &mut [device, 4, 1]), CUDA_SUCCESS);
    assert_eq!(end(origin), (904, CUgraph::NULL), "its work would be lost");
    let mut status = 9;
    ok!(cuStreamIsCapturing(other, &mut status));
    assert_eq!(status, CU_STREAM_CAPTURE_STATUS_NONE);
}

#[test]
fn what_would_disturb_a_capture_ends_it() {
    let _alone = alone();
    let stream = begin(RELAXED);
    assert_eq!(code!(cuStreamSynchronize(stream)), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    let mut status = 9;
    ok!(cuStreamIsCapturing(stream, &mut status));
    assert_eq!(status, 2);
    assert_eq!(end(stream), (901, CUgraph::NULL));

    // A relaxed thread may allocate while its stream is captured.
    let stream = begin(RELAXED);
    let mut mode = RELAXED;
    ok!(cuThreadExchangeStreamCaptureMode(&mut mode));
    assert_eq!(mode, GLOBAL);
    let dptr = alloc(64);
    ok!(cuThreadExchangeStreamCaptureMode(&mut mode));
    assert_eq!(end(stream).0, CUDA_SUCCESS);
    ok!(cuMemFree_v2(dptr));
}

/// Asks how far an event and a stream are, and waits for them: all that have nothing to do with a capture.
fn questions(event: CUevent, stream: CUstream) -> [(&'static str, CUresult); 4] {
    [
        ("cuEventQuery", code!(cuEventQuery(event))),
        ("cuEventSynchronize", code!(cuEventSynchronize(event))),
        ("cuStreamQuery", code!(cuStreamQuery(stream))),
        ("cuStreamSynchronize", code!(cuStreamSynchronize(stream))),
    ]
}

#[test]
fn questions_of_any_thread_end_a_global_capture() {
    let _alone = alone();
    let (context, other, before) = (context(), stream(1), event());
    ok!(cuEventRecord(before, other));
    ok!(cuStreamSynchronize(other));
    for question in 0..4 {
        let refused = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        for from_another_thread in [false, true] {
            let captured = begin(GLOBAL);
            let ask = || {
                ok!(cuCtxSetCurrent(context));
                let (event, stream) = (before, other);
                match question {
                    0 => code!(cuEventQuery(event)),
                    1 => code!(cuEventSynchronize(event)),
                    2 => code!(cuStreamQuery(stream)),
                    _ => code!(cuStreamSynchronize(stream)),
                }
            };
            let code = if from_another_thread {
                std::thread::scope(|scope| scope.spawn(ask).join().expect("no panic"))
            } else {
                ask()
            };
            assert_eq!(code, refused, "question {question}, from another thread: {from_another_thread}");
            assert_eq!(end(captured), (CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, CUgraph::NULL));
        }
    }
    assert_eq!(questions(before, other).map(|(_, code)| code), [CUDA_SUCCESS; 4], "no capture goes on");
}

#[test]
fn questions_leave_captures_alone_that_are_none_of_their_threads_business() {
    let _alone = alone();
    let (context, other, before) = (context(), stream(1), event());
    ok!(cuEventRecord(before, other));
    ok!(cuStreamSynchronize(other));
    let ask_from_another_thread = |mode: c_uint| {
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                ok!(cuCtxSetCurrent(context));
                let mut mode = mode;
                ok!(cuThreadExchangeStreamCaptureMode(&mut mode));
                questions(before, other)
            });
            asked.join().expect("no panic")
        })
    };
    // The capture's mode, and that of the thread that asks.
    for (captures, asks) in [(THREAD_LOCAL, GLOBAL), (RELAXED, GLOBAL), (GLOBAL, THREAD_LOCAL), (GLOBAL, RELAXED)] {
        let captured = begin(captures);
        for (name, code) in ask_from_another_thread(asks) {
            assert_eq!(code, CUDA_SUCCESS, "{name} in mode {asks} beside a capture in mode {captures}");
        }
        assert_eq!(end(captured).0, CUDA_SUCCESS);
    }
}

#[test]
fn a_question_about_a_captured_event_ends_the_capture_in_every_mode() {
    let _alone = alone();
    for mode in [GLOBAL, THREAD_LOCAL, RELAXED] {
        let (captured, inside) = (begin(mode), event());
        ok!(cuEventRecord(inside, captured));
        assert_eq!(code!(cuEventQuery(inside)), CUDA_ERROR_CAPTURED_EVENT);
        assert_eq!(end(captured).0, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    }
}

#[test]
fn asking_about_the_legacy_stream_disturbs_no_capture() {
    let _alone = alone();
    // One that the legacy stream would wait for.
    let blocking = stream(0);
    ok!(cuStreamBeginCapture_v2(blocking, RELAXED));
    let mut status = 9;
    assert_eq!(code!(cuStreamIsCapturing(NULL, &mut status)), 906);
    assert_eq!(end(blocking).0, CUDA_SUCCESS);
    ok!(cuStreamBeginCapture_v2(blocking, RELAXED));
    assert_eq!(code!(cuStreamSynchronize(NULL)), 906);
    assert_eq!(end(blocking).0, 901, "doing something in it does");
}

#[test]
fn memory_of_a_captured_allocation_is_there_for_every_run() {
    let _alone = alone();
    let result = alloc(64);
    let stream = begin(RELAXED);
    let mut dptr = 0;
    ok!(cuMemAllocAsync(&mut dptr, 4096, stream));
    assert_eq!(launch(kernel("fill"), 1, stream, &mut [dptr, 4, 6]), CUDA_SUCCESS);
    assert_eq!(launch(kernel("checksum"), 1, stream, &mut [dptr, 4, result]), CUDA_SUCCESS);
    ok!(cuMemFreeAsync(dptr, stream));
    let (code, graph) = end(stream);
    assert_eq!((code, kinds(graph)), (CUDA_SUCCESS, vec![10, 0, 0, 11]));
    let exec = ready(graph);
    ok!(cuGraphDestroy(graph));
    for _ in 0..2 {
        ok!(cuMemsetD32_v2(result, 0, 2));
        ok!(cuCtxSynchronize());
        run(exec, stream);
        assert_eq!(words(result, 1), [6 + 7 + 8 + 9]);
    }
}

#[test]
fn callbacks_are_told_how_the_stream_is() {
    unsafe extern "C" fn note(stream: CUstream, status: CUresult, data: *mut c_void) {
        // SAFETY: the test passes a live place, and reads it after the stream is done.
        unsafe { *data.cast() = (stream, status) };
    }
    let _alone = alone();
    let stream = stream(0);
    let mut told = (CUstream::NULL, 99 as CUresult);
    ok!(cuStreamAddCallback(stream, Some(note), (&raw mut told).cast(), 0));
    ok!(cuStreamSynchronize(stream));
    assert_eq!(told, (stream, CUDA_SUCCESS));
    assert_eq!(code!(cuStreamAddCallback(stream, None, core::ptr::null_mut(), 0)), CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn a_capture_ends_with_its_stream() {
    let _alone = alone();
    let stream = begin(GLOBAL);
    ok!(cuEventRecord(event(), stream));
    ok!(cuStreamDestroy_v2(stream));
    ok!(cuMemFree_v2(alloc(64)));
}
