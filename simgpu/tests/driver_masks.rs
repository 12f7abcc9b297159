//! Masks of TPCs in launch descriptors: who subscribes sees each descriptor, and what it writes there holds.

#[macro_use]
#[path = "driver_support/client.rs"]
mod client;

use abi::cuda::*;
use abi::qmd::{self, EnableFn, SubscribeFn, TpcMask};
use client::*;
use cuda::spec::GpuSpec;
use std::cell::Cell;
use std::ffi::{c_int, c_uint, c_void};

unsafe extern "C" {
    fn cuGetExportTable(table: *mut *const c_void, id: *const c_void) -> CUresult;
    fn cuStreamBeginCapture_v2(stream: CUstream, mode: c_uint) -> CUresult;
    fn cuStreamEndCapture(stream: CUstream, graph: *mut CUgraph) -> CUresult;
    fn cuGraphInstantiateWithFlags(exec: *mut CUgraphExec, graph: CUgraph, flags: u64) -> CUresult;
    fn cuGraphUpload(exec: CUgraphExec, stream: CUstream) -> CUresult;
    fn cuGraphLaunch(exec: CUgraphExec, stream: CUstream) -> CUresult;
    fn cuLaunchCooperativeKernel(
        f: CUfunction,
        gx: c_uint,
        gy: c_uint,
        gz: c_uint,
        bx: c_uint,
        by: c_uint,
        bz: c_uint,
        shared: c_uint,
        stream: CUstream,
        params: *mut *mut c_void,
    ) -> CUresult;
}

const SMS: usize = 132;

thread_local! {
    /// The mask for this thread's launches, and the descriptors that were shown to it.
    static MASK: Cell<Option<TpcMask>> = const { Cell::new(None) };
    static SHOWN: Cell<u32> = const { Cell::new(0) };
}

unsafe extern "C" fn on_launch(user: *mut c_void, domain: c_int, id: c_int, parameters: *const c_void) {
    assert_eq!((user.addr(), domain, id), (7, qmd::DOMAIN, qmd::LAUNCH));
    SHOWN.set(SHOWN.get() + 1);
    // SAFETY: these are the driver's parameters.
    let descriptor = unsafe { qmd::descriptor(parameters) }.expect("a descriptor");
    if let Some(mask) = MASK.get() {
        // SAFETY: the descriptor is the driver's, and this callback's until it returns.
        unsafe { qmd::set_mask(descriptor, mask) }.expect("a known version");
    }
}

fn table() -> *const usize {
    let mut table = core::ptr::null();
    ok!(cuGetExportTable(&mut table, qmd::SUBSCRIBERS.as_ptr().cast()));
    table.cast()
}

/// The functions of the table.
fn functions() -> (SubscribeFn, EnableFn) {
    let table = table();
    // SAFETY: the table says that it reaches to both words, which are functions of these types.
    unsafe {
        assert!(table.read() > qmd::ENABLE * size_of::<usize>());
        let word = |at: usize| table.add(at).read();
        (
            core::mem::transmute::<usize, SubscribeFn>(word(qmd::SUBSCRIBE)),
            core::mem::transmute::<usize, EnableFn>(word(qmd::ENABLE)),
        )
    }
}

/// Starts the driver and subscribes, once.
fn subscribed() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    start();
    ONCE.call_once(|| {
        let (subscribe, enable) = functions();
        let mut handle = 0;
        ok!(subscribe(&mut handle, on_launch, core::ptr::without_provenance_mut(7)) as CUresult);
        ok!(enable(1, handle, qmd::DOMAIN, qmd::LAUNCH) as CUresult);
    });
}

fn spec() -> &'static GpuSpec {
    cuda::machine::Machine::get().expect("a machine").spec()
}

/// The bits of the TPCs of a side.
fn side(side: u32) -> u128 {
    (0..SMS as u32).filter(|&sm| spec().sm_side(sm) == side).fold(0, |bits, sm| bits | 1 << spec().tpc_bit(sm))
}

fn sms_of(left: u128) -> Vec<u32> {
    (0..SMS as u32).filter(|&sm| left & 1 << spec().tpc_bit(sm) != 0).collect()
}

/// The arguments of a kernel that writes down on which SM each block ran.
fn arguments(smids: CUdeviceptr) -> [u64; 5] {
    [0, 0, 0, 0, smids]
}

/// The different numbers among the words at an address.
fn seen(smids: CUdeviceptr, blocks: usize) -> Vec<u32> {
    let mut sms = words(smids, blocks);
    sms.sort_unstable();
    sms.dedup();
    sms
}

/// The SMs that a launch under a mask ran on.
fn ran_on(mask: Option<TpcMask>) -> Vec<u32> {
    let smids = alloc(4 * SMS * 4);
    let stream = stream(1);
    MASK.set(mask);
    assert_eq!(launch(kernel("latency"), 4 * SMS as u32, stream, &mut arguments(smids)), CUDA_SUCCESS);
    MASK.set(None);
    ok!(cuStreamSynchronize(stream));
    let sms = seen(smids, 4 * SMS);
    ok!(cuMemFree_v2(smids));
    sms
}

#[test]
fn a_launch_runs_on_the_sms_that_its_mask_leaves() {
    subscribed();
    let all: Vec<u32> = (0..SMS as u32).collect();
    assert_eq!(ran_on(None), all);
    for side in [side(0), side(1)] {
        assert_eq!(ran_on(Some(TpcMask::all_but(side))), sms_of(side));
    }
    assert_eq!(ran_on(None), all, "the mask was that launch's alone");
}

#[test]
fn each_bit_takes_one_tpc_away_or_none() {
    subscribed();
    let gone = |bit: u32| SMS - ran_on(Some(TpcMask(1 << bit))).len();
    let with_tpc = (0..128).filter(|&bit| match gone(bit) {
        0 => false,
        sms => {
            assert_eq!(sms, 2, "bit {bit}");
            true
        }
    });
    let bits: Vec<u32> = with_tpc.collect();
    assert_eq!(bits.len(), 66);
    assert!(bits.last().is_some_and(|&last| last > 71), "some are past the places of the GPCs");
    assert!((0..72).any(|bit| !bits.contains(&bit)), "there are gaps");
}

#[test]
fn a_graph_keeps_the_masks_of_its_upload() {
    subscribed();
    let (own, smids) = (stream(1), alloc(SMS * 4));
    let (mut graph, mut uploaded, mut launched) = (CUgraph::NULL, CUgraphExec::NULL, CUgraphExec::NULL);
    let before = SHOWN.get();
    ok!(cuStreamBeginCapture_v2(own, 1));
    assert_eq!(launch(kernel("latency"), SMS as u32, own, &mut arguments(smids)), CUDA_SUCCESS);
    ok!(cuStreamEndCapture(own, &mut graph));
    ok!(cuGraphInstantiateWithFlags(&mut uploaded, graph, 0));
    ok!(cuGraphInstantiateWithFlags(&mut launched, graph, 0));
    assert_eq!(SHOWN.get(), before, "neither capture nor instantiation makes descriptors");
    MASK.set(Some(TpcMask::all_but(side(0))));
    ok!(cuGraphUpload(uploaded, own));
    MASK.set(Some(TpcMask::all_but(side(1))));
    assert_eq!(SHOWN.get(), before + 1);
    for mask in [MASK.get(), None] {
        MASK.set(mask);
        for (exec, side) in [(uploaded, side(0)), (launched, side(1))] {
            ok!(cuGraphLaunch(exec, own));
            ok!(cuStreamSynchronize(own));
            assert_eq!(seen(smids, SMS), sms_of(side));
        }
    }
    assert_eq!(SHOWN.get(), before + 2, "descriptors are made once");
}

/// The outcome of a launch of so many blocks of 1024 threads that run together, under a mask, in a context of its own.
fn together(blocks: u32, mask: TpcMask) -> CUresult {
    let (mut own, mut before) = (CUcontext::NULL, CUcontext::NULL);
    ok!(cuCtxGetCurrent(&mut before));
    ok!(cuCtxCreate_v2(&mut own, 0, 0));
    let mut cycles = 1u64;
    let mut params: [*mut c_void; 1] = [(&raw mut cycles).cast()];
    MASK.set(Some(mask));
    ok!(cuLaunchCooperativeKernel(kernel("spin"), blocks, 1, 1, 1024, 1, 1, 0, NULL, params.as_mut_ptr()));
    MASK.set(None);
    let went = code!(cuCtxSynchronize());
    code!(cuCtxDestroy_v2(own));
    ok!(cuCtxSetCurrent(before));
    went
}

#[test]
fn a_launch_that_its_mask_leaves_too_few_sms_times_out() {
    subscribed();
    let half = TpcMask::all_but(side(0));
    let fitting = 2 * sms_of(side(0)).len() as u32;
    assert_eq!(together(fitting, half), CUDA_SUCCESS);
    assert_eq!(together(fitting + 1, half), CUDA_ERROR_LAUNCH_TIMEOUT);
    assert_eq!(together(1, TpcMask::all_but(0)), CUDA_ERROR_LAUNCH_TIMEOUT);
    assert_eq!(together(2 * SMS as u32, TpcMask::NONE), CUDA_SUCCESS);
}

#[test]
fn only_what_is_known_can_be_enabled() {
    subscribed();
    let (subscribe, enable) = functions();
    let mut handle = 0;
    ok!(subscribe(&mut handle, on_launch, core::ptr::null_mut()) as CUresult);
    assert_ne!(code!(enable(1, handle, qmd::DOMAIN, qmd::LAUNCH + 1)), 0);
    assert_ne!(code!(enable(1, handle + 1000, qmd::DOMAIN, qmd::LAUNCH)), 0);
    assert_ne!(code!(subscribe(core::ptr::null_mut(), on_launch, core::ptr::null_mut())), 0);
    let mut table = core::ptr::null();
    assert_eq!(code!(cuGetExportTable(&mut table, [0u8; 16].as_ptr().cast())), CUDA_ERROR_NOT_FOUND);
    assert!(table.is_null());
}

#[test]
fn kernels_on_different_sms_do_not_slow_each_other() {
    subscribed();
    let cycles = (1980e6 * 0.1) as u64;
    let both = |masks: [u128; 2]| {
        let (begun, function) = (event(), kernel("spin"));
        let streams = masks.map(|mask| (mask, stream(1), event()));
        ok!(cuEventRecord(begun, streams[0].1));
        for (mask, stream, done) in streams {
            MASK.set(Some(TpcMask::all_but(mask)));
            assert_eq!(launch(function, SMS as u32, stream, &mut [cycles]), CUDA_SUCCESS);
            ok!(cuEventRecord(done, stream));
        }
        MASK.set(None);
        elapsed(begun, &streams.map(|(_, _, done)| done)) / 0.1
    };
    in_one_of_ten_tries(|| {
        let (apart, together) = (both([side(0), side(1)]), both([side(0), side(0)]));
        expect(
            apart < 1.25 && together > 1.85 && together < 2.3,
            format!("{apart} on different sides, {together} on the same side"),
        )
    });
}
