//! Epochs: everything made anew every few thousand calls, or as soon as the context is lost.

use crate::fuzzer::Fuzzer;
use crate::pools::Of;
use crate::random::Digest;
use abi::cuda::*;

/// The most calls of an epoch.
const EPOCH: u64 = 4000;
/// The most handles of one kind that the client holds.
const HELD: usize = 24;
/// After how many calls the client ends a capture, unless it did by chance.
const CAPTURE: u32 = 30;

impl Fuzzer {
    /// Whether the epoch is over: by its calls, or because its context is.
    pub fn end_of_epoch_is_due(&mut self) -> bool {
        if self.epochs == 0 {
            return false;
        }
        if self.epoch_calls >= EPOCH {
            return true;
        }
        // Asking for the version disturbs no capture, and fails once the context has a fault or is gone.
        let mut version = 0u64;
        let code = self.driver.other("cuCtxGetApiVersion", [self.main, &raw mut version as u64, 0]);
        code != CUDA_SUCCESS && code != CUDA_ERROR_NOT_FOUND
    }

    /// Sets everything up.
    pub fn begin_epoch(&mut self) {
        self.epochs += 1;
        self.epoch_calls = 0;
        self.captured = false;
        self.draw.pools.forget_addresses();
        let random = &mut self.draw.random;
        (self.two_threads, self.is_primary) = (random.chance(50), random.chance(50));
        let seed = random.next();
        self.thread = 0;
        let mut context = 0u64;
        let place = &raw mut context as u64;
        let mut codes = vec![self.driver.governed("cuInit", &[0])];
        codes.push(if self.is_primary {
            self.driver.governed("cuDevicePrimaryCtxRetain", &[place, 0])
        } else {
            self.driver.governed("cuCtxCreate_v2", &[place, 0, 0])
        });
        self.main = context;
        codes.push(self.driver.governed("cuCtxSetCurrent", &[context]));
        if self.epochs == 1 {
            for resolved in self.driver.resolved() {
                self.digest.fold(resolved);
            }
            self.draw.hosts.take(|bytes| {
                let mut address = 0u64;
                (self.driver.governed("cuMemHostAlloc", &[&raw mut address as u64, bytes, 0]), address)
            });
        }
        self.draw.hosts.fill(seed);
        let kernels = self.driver.kernels();
        self.draw.fills.extend(kernels.first());
        for function in kernels {
            self.draw.pools.add(Of::Function, function, 0);
        }
        for bytes in [2 << 20, 4 << 20, 6 << 20, 100_000] {
            codes.push(self.make_one("cuMemAlloc_v2", Of::Device, &[bytes], bytes));
        }
        for flags in [0, 1] {
            codes.push(self.make_one("cuStreamCreate", Of::Stream, &[flags], 0));
        }
        let stream = self.draw.pools.live(Of::Stream).last().map(|stream| stream.handle);
        stream.into_iter().for_each(|stream| self.draw.pools.count_from(stream));
        codes.push(self.make_one("cuGraphCreate", Of::Graph, &[0], 0));
        for _ in 0..2 {
            let mut event = 0u64;
            codes.push(self.driver.other("cuEventCreate", [&raw mut event as u64, 0, 0]));
            self.draw.pools.add(Of::Event, event, 0);
        }
        for code in codes {
            self.digest.fold(u64::from(code));
        }
    }

    /// Calls a function whose first argument is the place for a handle.
    fn make_one(&mut self, name: &str, of: Of, more: &[u64], bytes: u64) -> CUresult {
        let mut handle = 0u64;
        let arguments = [&[&raw mut handle as u64], more].concat();
        let code = self.driver.governed(name, &arguments);
        if code == CUDA_SUCCESS {
            self.draw.pools.add(of, handle, bytes);
        }
        code
    }

    /// Before a call: the thread's context is the epoch's again, captures end, and nothing is held in too great number.
    pub fn look_after(&mut self) {
        let mut current = 0u64;
        self.driver.other("cuCtxGetCurrent", [&raw mut current as u64, 0, 0]);
        if current != self.main && self.draw.random.chance(30) {
            self.settle();
            let code = self.driver.governed("cuCtxSetCurrent", &[self.main]);
            self.digest.fold(u64::from(code));
        }
        for capture in &mut self.captures {
            capture.age += 1;
        }
        if self.captures.last().is_some_and(|capture| capture.age > CAPTURE) {
            self.end_capture(self.captures.len() - 1);
        }
        if !self.captures.is_empty() {
            return;
        }
        for of in [Of::Device, Of::Pinned, Of::Physical, Of::Stream, Of::Context, Of::Graph, Of::Exec, Of::Pool] {
            let most = if of == Of::Context { 2 } else { HELD };
            if self.draw.pools.live(of).len() > most {
                self.settle();
                self.give_back(of, self.draw.pools.live(of)[0].handle);
            }
        }
    }

    /// Ends one of the captures.
    pub fn end_capture(&mut self, index: usize) {
        let capture = self.captures[index];
        if capture.thread != self.thread {
            self.captures[index].age += 1000;
            self.captures.truncate(index + 1);
            self.thread = capture.thread;
            return;
        }
        self.captures.remove(index);
        let mut graph = 0u64;
        let code = self.driver.governed("cuStreamEndCapture", &[capture.stream, &raw mut graph as u64]);
        self.digest.fold(u64::from(code));
        if code == CUDA_SUCCESS {
            self.draw.pools.add(Of::Graph, graph, 0);
        }
    }

    /// Gives something back, whatever the answer; folds it.
    fn give_back(&mut self, of: Of, handle: u64) {
        let bytes = self.draw.pools.remove(of, handle).map_or(0, |held| held.bytes);
        let call = |name: &str, arguments: &[u64]| self.driver.governed(name, arguments);
        let code = match of {
            // An address may be that of a mapping, which is not freed so.
            Of::Device => match call("cuMemFree_v2", &[handle]) {
                CUDA_SUCCESS => CUDA_SUCCESS,
                code => code + 1000 * call("cuMemUnmap", &[handle, bytes]),
            },
            Of::Reserved => call("cuMemAddressFree", &[handle, bytes]),
            Of::Pinned => call("cuMemFreeHost", &[handle]),
            Of::Registered => call("cuMemHostUnregister", &[handle]),
            Of::Physical => call("cuMemRelease", &[handle]),
            Of::Stream => call("cuStreamDestroy_v2", &[handle]),
            Of::Context => call("cuCtxDestroy_v2", &[handle]),
            Of::Graph => call("cuGraphDestroy", &[handle]),
            Of::Exec => call("cuGraphExecDestroy", &[handle]),
            Of::Pool => call("cuMemPoolDestroy", &[handle]),
            Of::Event => self.driver.other("cuEventDestroy_v2", [handle, 0, 0]),
            Of::Function | Of::Node | Of::Other => CUDA_SUCCESS,
        };
        self.digest.fold(u64::from(code));
    }

    /// All device memory that is held, as one number.
    pub fn memory_digest(&mut self) -> u64 {
        let mut digest = Digest::default();
        let mut room = vec![0u8; 0];
        for held in self.draw.pools.live(Of::Device).to_vec() {
            room.clear();
            room.resize(held.bytes as usize, 0);
            let code = self.driver.governed("cuMemcpyDtoH_v2", &[room.as_mut_ptr() as u64, held.handle, held.bytes]);
            digest.fold(u64::from(code));
            digest.fold_bytes(&room);
        }
        digest.0
    }

    /// Compares all memory and gives everything back.
    pub fn end_epoch(&mut self) {
        self.settle();
        self.captures.clear();
        let code = self.driver.governed("cuCtxSetCurrent", &[self.main]);
        self.digest.fold(u64::from(code));
        let memory = self.memory_digest();
        self.digest.fold(memory);
        let hosts = self.draw.hosts.digest();
        self.digest.fold(hosts);
        // Graphs first, as they hold on to what they use; contexts last.
        let order = [
            Of::Exec,
            Of::Graph,
            Of::Node,
            Of::Stream,
            Of::Event,
            Of::Device,
            Of::Physical,
            Of::Reserved,
            Of::Pool,
            Of::Registered,
            Of::Pinned,
            Of::Function,
            Of::Context,
            Of::Other,
        ];
        for of in order {
            while let Some(held) = self.draw.pools.live(of).last().copied() {
                self.give_back(of, held.handle);
            }
        }
        let code = if self.is_primary {
            self.driver.governed("cuDevicePrimaryCtxReset_v2", &[0])
        } else {
            self.driver.governed("cuCtxDestroy_v2", &[self.main])
        };
        self.digest.fold(u64::from(code));
    }
}
