//! Processes that keep an engine busy until they are told to end.
#![allow(dead_code, reason = "every test file needs a part of it")]

use super::client::*;
use super::groups;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const WORK: &str = "SIMGPU_TEST_WORK";
/// Bytes of one of a worker's copies, and how many it has in flight: 2 ms each on the bus of these tests.
const COPIED: usize = 1 << 20;
pub const IN_FLIGHT: usize = 6;

/// The work that a worker does over and over.
#[derive(Clone, Copy)]
pub enum Work {
    /// Nothing.
    Idle,
    /// Copies to the device.
    Copies,
    /// Kernels of so many blocks that take so many microseconds, one in flight.
    Kernels { blocks: u32, micros: u64 },
}

/// A worker.
pub struct Worker {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts a worker and waits until it works.
    pub fn start(work: Work, mps: bool) -> Self {
        let is_idle = matches!(work, Work::Idle);
        let work = match work {
            Work::Idle => "idle".to_owned(),
            Work::Copies => "copies".to_owned(),
            Work::Kernels { blocks, micros } => format!("kernels {blocks} {micros}"),
        };
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "worker", "--ignored", "--nocapture"]).env("SIMGPU_STATE", gpu()).env(WORK, work);
        command.env("SIMGPU_MPS", if mps { "1" } else { "0" });
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child");
        let to = child.stdin.take().expect("piped");
        let from = BufReader::new(child.stdout.take().expect("piped"));
        let mut worker = Worker { child, to, from };
        while worker.count() == 0 && !is_idle {
            std::thread::sleep(Duration::from_millis(1));
        }
        worker
    }

    /// Has the worker do something, see [`work`]; returns its answer.
    pub fn tell(&mut self, what: &str) -> String {
        writeln!(self.to, "{what}").expect("the worker listens");
        loop {
            let mut line = String::new();
            assert_ne!(self.from.read_line(&mut line).expect("text"), 0, "the worker ended");
            if let Some((_, answer)) = line.trim_end().split_once('=') {
                return answer.to_owned();
            }
        }
    }

    /// Copies or kernels that ended up to now.
    pub fn count(&mut self) -> u64 {
        self.tell("count").parse().expect("a number")
    }

    /// Waits until so many more copies or kernels have ended.
    pub fn wait_for(&mut self, more: u64) {
        let enough = self.count() + more;
        while self.count() < enough {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Copies or kernels that end within a while.
    pub fn count_for(&mut self, length: Duration) -> u64 {
        let before = self.count();
        std::thread::sleep(length);
        self.count() - before
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
    }
}

/// The life of a worker: it works until it is killed, and does what it is told meanwhile.
pub fn work() {
    static DONE: AtomicU64 = AtomicU64::new(0);
    let work = std::env::var(WORK).expect("started by a test");
    start();
    let mut context = abi::cuda::CUcontext::NULL;
    ok!(cuCtxGetCurrent(&mut context));
    let spawn = |once: Box<dyn Fn(abi::cuda::CUstream) + Send>| {
        std::thread::spawn(move || {
            ok!(cuCtxSetCurrent(context));
            let stream = stream(1);
            loop {
                once(stream);
                ok!(cuStreamSynchronize(stream));
                DONE.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let words: Vec<&str> = work.split(' ').collect();
    match words[..] {
        ["copies"] => {
            for _ in 0..IN_FLIGHT {
                let (mut host, device) = (core::ptr::null_mut(), alloc(COPIED));
                ok!(cuMemHostAlloc(&mut host, COPIED, 0));
                let host = host as usize;
                spawn(Box::new(move |stream| {
                    ok!(cuMemcpyHtoDAsync_v2(device, host as *const std::ffi::c_void, COPIED, stream))
                }));
            }
        }
        ["kernels", blocks, micros] => {
            let (blocks, micros): (u32, u64) = (blocks.parse().expect("blocks"), micros.parse().expect("time"));
            let spin = kernel("spin");
            spawn(Box::new(move |stream| {
                let done = launch(spin, blocks, stream, &mut [micros * 1980]);
                assert_eq!(done, abi::cuda::CUDA_SUCCESS);
            }));
        }
        _ => {}
    }
    let found = groups::groups();
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let group = |name: &str| found[if name == "gr" { 0 } else { 1 }];
        let answer = match words[..] {
            ["slice", engine, micros] => {
                groups::set_slice(group(engine), micros.parse().expect("a number"));
                String::new()
            }
            ["stop", engine] => {
                groups::stop(group(engine), true);
                String::new()
            }
            ["go", engine] => {
                groups::stop(group(engine), false);
                String::new()
            }
            ["slices"] => format!("{:?}", found.iter().filter_map(|&group| groups::slice(group)).collect::<Vec<_>>()),
            ["layout"] => groups::layout(),
            ["count"] => DONE.load(Ordering::Relaxed).to_string(),
            _ => String::new(),
        };
        println!("={answer}");
    }
}
