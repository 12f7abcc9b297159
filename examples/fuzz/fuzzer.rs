//! One call after the other, and what is compared of each.

use crate::Arguments;
use crate::draw::{Draw, RAN};
use crate::driver::Driver;
use crate::hosts::Hosts;
use crate::pools::Of;
use crate::random::Digest;
use crate::table::{ROWS, Row};
use abi::cuda::*;
use std::error::Error;
use std::sync::atomic::Ordering;

/// cuda.h: `CU_STREAM_CAPTURE_MODE_RELAXED`.
const RELAXED: u32 = 2;
/// How often a digest is printed.
const EVERY: u64 = 1000;

/// The errors that have to do with captures (cuda.h: `CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED` to `..._WRONG_THREAD`).
const CAPTURE_ERRORS: std::ops::RangeInclusive<CUresult> = 900..=908;

/// A stream that is captured, and the thread that began it.
#[derive(Clone, Copy, Debug)]
pub struct Capture {
    pub stream: u64,
    pub thread: usize,
    pub age: u32,
}

/// The client.
pub struct Fuzzer {
    pub arguments: Arguments,
    pub driver: Driver,
    pub draw: Draw,
    pub digest: Digest,
    /// Which thread is to make the next call.
    pub thread: usize,
    /// Whether there are two that do.
    pub two_threads: bool,
    /// How many calls were made, and how many of them in this epoch.
    pub calls: u64,
    pub epoch_calls: u64,
    pub epochs: u64,
    /// The context of the epoch, and whether it is the device's primary one.
    pub main: u64,
    pub is_primary: bool,
    pub captures: Vec<Capture>,
    /// Whether a capture began in this epoch.
    pub captured: bool,
    /// The stream in which the last copy may not be done yet, and the kind of that copy.
    pending: Option<(u64, &'static str)>,
    /// Each row as often as it is to be drawn.
    weighted: Vec<usize>,
    called: Vec<bool>,
    succeeded: Vec<bool>,
}

/// How often a row is drawn, compared to others: most often what moves memory or gives handles to go on with.
fn weight(row: &Row) -> usize {
    match (row.class, row.kind) {
        ("alloc", "linear") => 60,
        ("free", "linear") => 45,
        ("copy", "h2d" | "d2h") => 25,
        ("copy", "h2d_async" | "d2h_async") => 30,
        ("alloc" | "free", "mapping") | ("alloc", "physical") => 12,
        ("alloc", "stream_ordered") => 6,
        ("free", "stream_ordered") => 12,
        ("launch", "kernel") => 8,
        ("graph", "launch" | "instantiate") => 12,
        ("graph", "destroy") => 3,
        ("stream", "destroy" | "create") => 4,
        ("stream", "capture") => 2,
        ("context", "release") | ("init", _) => 1,
        (_, "legacy" | "endpoint" | "green" | "array" | "h2a" | "a2h") => 2,
        ("export", _) => 2,
        _ => 5,
    }
}

impl Fuzzer {
    /// A client that begins with its first call.
    pub fn new(arguments: Arguments) -> Result<Fuzzer, Box<dyn Error>> {
        let driver = Driver::load()?;
        let draw = Draw::new(arguments.seed);
        let weighted = (0..ROWS.len()).flat_map(|row| std::iter::repeat_n(row, weight(&ROWS[row]))).collect();
        Ok(Fuzzer {
            arguments,
            driver,
            draw,
            digest: Digest::default(),
            thread: 0,
            two_threads: false,
            calls: 0,
            epoch_calls: 0,
            epochs: 0,
            main: 0,
            is_primary: true,
            captures: Vec::new(),
            captured: false,
            pending: None,
            weighted,
            called: vec![false; ROWS.len()],
            succeeded: vec![false; ROWS.len()],
        })
    }

    /// Whether all calls were made.
    pub fn is_done(&self) -> bool {
        self.calls >= self.arguments.calls
    }

    /// Makes one call, on the thread whose turn it is; says at its end whose turn is next.
    pub fn step(&mut self) {
        if self.end_of_epoch_is_due() {
            // A capture can be ended by the thread that began it only.
            if let Some(capture) = self.captures.last().copied() {
                self.thread = capture.thread;
                self.end_capture(self.captures.len() - 1);
                return;
            }
            self.end_epoch();
            self.begin_epoch();
        } else if self.epochs == 0 {
            self.begin_epoch();
        }
        self.look_after();
        let row = self.draw.random.of(&self.weighted);
        if self.driver.has(row) && !self.is_left_out(row) && !self.differs_by_design(row) {
            self.draw.draft(&ROWS[row]);
            self.make(row);
        } else {
            // A driver that lacks a function lacks it with the library and without.
            self.digest.fold(row as u64 | 1 << 32);
        }
        self.calls += 1;
        self.epoch_calls += 1;
        if self.calls.is_multiple_of(EVERY) || self.is_done() {
            self.settle();
            println!("{} {:016x}", self.calls, self.digest.0);
        }
        if self.two_threads && self.pending.is_none() && self.captures.is_empty() && self.draw.random.chance(6) {
            self.thread = 1 - self.thread;
        }
    }

    /// Memory that Missile moved cannot be handed out while a stream is captured: such a call it refuses, whatever the
    /// driver would do. A capture may outlast what the client knows of it, up to the end of the epoch.
    fn differs_by_design(&self, row: usize) -> bool {
        let row = &ROWS[row];
        let hands_out =
            ["memory", "attribute", "shared_handle", "bound_"].iter().any(|kind| row.kind.starts_with(kind));
        self.captured && row.class == "export" && hands_out
    }

    fn may_be_captured(&self, stream: u64) -> bool {
        let mut status = 0u64;
        let asked = self.driver.other("cuStreamIsCapturing", [stream, &raw mut status as u64, 0]);
        status != 0 || CAPTURE_ERRORS.contains(&asked)
    }

    fn is_left_out(&self, row: usize) -> bool {
        self.arguments.without.iter().any(|part| ROWS[row].name.contains(part.as_str()))
    }

    /// Makes the drafted call, and folds what came of it.
    fn make(&mut self, row: usize) {
        let it = &ROWS[row];
        let stream = self.stream_of(it);
        let goes_on = self.pending.is_some_and(|(pending, kind)| Some(pending) == stream && kind == it.kind);
        if !goes_on {
            self.settle();
        }
        self.draw.scratch.note();
        let code = self.driver.call(row, &self.draw.draft.arguments);
        // Colouring takes memory of its own; and how much there is looks like an address.
        let only_whether = ["cuMemGetInfo", "cuDeviceTotalMem"].iter().any(|name| it.name.starts_with(name));
        let written = self.draw.scratch.digest(&self.draw.pools, only_whether);
        self.called[row] = true;
        self.succeeded[row] |= code == CUDA_SUCCESS;
        for value in [row as u64, u64::from(code), written] {
            self.digest.fold(value);
        }
        if code == CUDA_SUCCESS {
            self.note(it, stream);
        }
        // Copies of one direction may follow each other in a stream without a wait in between.
        let chains = matches!(it.kind, "h2d_async" | "d2h_async") && code == CUDA_SUCCESS;
        let plain = self.draw.draft.devices == 1 && self.draw.draft.hosts == 1 && self.captures.is_empty();
        let waits = match stream {
            Some(stream) if code == CUDA_SUCCESS => {
                self.pending = Some((stream, it.kind));
                !(chains && plain && self.draw.random.chance(60))
            }
            _ => false,
        };
        let ended = if waits { self.settle() } else { None };
        let sample = self.sample(code, ended);
        self.digest.fold(sample);
        self.say(it, code, ended, written, sample);
    }

    /// The stream of a call, by a handle that means the same to every function.
    fn stream_of(&self, row: &Row) -> Option<u64> {
        self.draw.draft.stream.map(|stream| match stream {
            0 if row.is_per_thread() => 2,
            0 => 1,
            stream => stream,
        })
    }

    /// A sample of the bytes that a copy brought to the host; 0 unless it is done.
    fn sample(&self, code: CUresult, ended: Option<CUresult>) -> u64 {
        match (self.draw.draft.host_target, code, ended) {
            (Some(target), CUDA_SUCCESS, None | Some(CUDA_SUCCESS)) if self.pending.is_none() => {
                Hosts::sample(target, self.draw.draft.bytes)
            }
            _ => 0,
        }
    }

    /// Waits for the last stream's work, unless the stream is captured; folds how it ended.
    pub fn settle(&mut self) -> Option<CUresult> {
        let (stream, _) = self.pending.take()?;
        if self.may_be_captured(stream) {
            return None;
        }
        // Beside somebody's capture a wait is refused, and ends the capture, but in the relaxed mode.
        let before = self.exchange_capture_mode(RELAXED);
        let ended = self.driver.other("cuStreamSynchronize", [stream, 0, 0]);
        self.exchange_capture_mode(before);
        self.digest.fold(u64::from(ended));
        if ended == CUDA_SUCCESS {
            self.digest.fold(RAN.load(Ordering::Relaxed));
        }
        Some(ended)
    }

    /// Sets this thread's mode for captures; the one before.
    fn exchange_capture_mode(&self, mode: u32) -> u32 {
        let mut mode = mode;
        self.driver.governed("cuThreadExchangeStreamCaptureMode", &[&raw mut mode as u64]);
        mode
    }

    fn say(&mut self, row: &Row, code: CUresult, ended: Option<CUresult>, written: u64, sample: u64) {
        if !(self.arguments.from..self.arguments.to).contains(&self.calls) {
            return;
        }
        let memory = if self.arguments.deep { self.memory_digest() } else { 0 };
        let arguments = row.parameters.iter().zip(&self.draw.draft.arguments);
        let arguments: Vec<String> =
            arguments.map(|((name, _), value)| format!("{name}={:#x}", self.draw.pools.meaning(*value))).collect();
        println!(
            "call {} thread {} {}({}) -> {code} then {ended:?} wrote {written:016x} copied {sample:016x} memory {memory:016x}",
            self.calls,
            self.thread,
            row.name,
            arguments.join(", "),
        );
    }

    /// Notes what a call that succeeded gave or took.
    fn note(&mut self, row: &Row, stream: Option<u64>) {
        for (of, at) in std::mem::take(&mut self.draw.draft.answers) {
            if let Some(handle) = self.draw.scratch.written(at).filter(|&handle| handle != 0) {
                let bytes = match of {
                    // What a node is of, and what was made ready.
                    Of::Node | Of::Exec => self.draw.draft.graph.unwrap_or_default(),
                    _ => self.draw.draft.bytes.max(1),
                };
                self.draw.pools.add(of, handle, bytes);
            }
        }
        let first = self.draw.draft.arguments.first().copied().unwrap_or_default();
        let gone = match (row.class, row.kind) {
            ("free", "linear" | "stream_ordered") => Some(Of::Device),
            ("free", "host") if row.name == "cuMemFreeHost" => Some(Of::Pinned),
            ("free", "host") => Some(Of::Registered),
            ("free", "physical") => Some(Of::Physical),
            ("free", "mapping") if row.name == "cuMemAddressFree" => Some(Of::Reserved),
            ("free", "mapping") => Some(Of::Device),
            ("free", "pool") if row.name == "cuMemPoolDestroy" => Some(Of::Pool),
            ("stream", "destroy") => Some(Of::Stream),
            ("context", "release") if row.name.starts_with("cuCtx") => Some(Of::Context),
            ("graph", "destroy") if row.name == "cuGraphExecDestroy" => Some(Of::Exec),
            ("graph", "destroy") => Some(Of::Graph),
            ("graph", "build") if row.name == "cuGraphDestroyNode" => Some(Of::Node),
            _ => None,
        };
        if let Some(of) = gone {
            self.draw.pools.remove(of, first);
        }
        match row.name {
            "cuMemSetAccess" => self.draw.pools.add(Of::Device, first, self.draw.draft.arguments[1]),
            name if name.starts_with("cuMemHostRegister") => {
                self.draw.pools.add(Of::Registered, first, self.draw.draft.bytes);
            }
            name if name.starts_with("cuStreamBeginCapture") => {
                let stream = stream.unwrap_or_default();
                self.captures.push(Capture { stream, thread: self.thread, age: 0 });
                self.captured = true;
            }
            name if name.starts_with("cuStreamEndCapture") => {
                self.captures.retain(|capture| Some(capture.stream) != stream || capture.thread != self.thread);
            }
            _ => {}
        }
    }

    /// Prints how many functions were called, and ends.
    pub fn finish(&mut self) {
        self.end_epoch();
        println!("memory {:016x}", self.digest.0);
        let count = |flags: &[bool]| flags.iter().filter(|&&flag| flag).count();
        let names = |flags: &[bool]| -> Vec<&str> {
            let rows = ROWS.iter().zip(flags).enumerate();
            rows.filter(|(row, (_, flag))| self.driver.has(*row) && !**flag).map(|(_, (row, _))| row.name).collect()
        };
        let report = serde_json::json!({
            "calls": self.calls, "epochs": self.epochs, "rows": ROWS.len(),
            "there": (0..ROWS.len()).filter(|&row| self.driver.has(row)).count(),
            "called": count(&self.called), "succeeded": count(&self.succeeded),
            "never_called": names(&self.called), "never_succeeded": names(&self.succeeded),
        });
        println!("{report}");
    }
}
