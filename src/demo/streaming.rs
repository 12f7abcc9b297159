//! The kernel of both tenants: reads a buffer, at full speed or at a pace.

use client::{Context, DeviceMemory, DriverError, Kernel, Launch, Stream};
use std::ffi::CStr;
use units::Bytes;

const PTX: &str = concat!(include_str!("stream.ptx"), "\0");

/// The memory that a tenant reads: more than any L2 holds.
pub const BUFFER: Bytes = Bytes::mib(256);
/// The threads of a block: as many as an SM runs in one.
const THREADS: u32 = 1024;

/// The kernel, its buffer, and how it is spread over the GPU.
pub struct Streaming {
    kernel: Kernel,
    buffer: DeviceMemory,
    sink: DeviceMemory,
    shape: Launch,
}

/// Length and rate of a launch's reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reading {
    /// The number of times that the buffer is read.
    pub passes: u32,
    /// The clock cycles that each SM spends at least on each KiB; 0 for full speed.
    pub cycles_per_kib: u32,
}

impl Streaming {
    /// Loads the kernel and takes memory for it.
    pub fn new(context: &Context) -> Result<Streaming, DriverError> {
        let gpu = context.gpu();
        // All the shared memory of an SM, so that two blocks never share one.
        let shared = gpu.shared_memory_of_a_block()?;
        // Half of the GPU, so that both tenants fit beside each other.
        let blocks = (gpu.sms()? / 2).max(1);
        let ptx = CStr::from_bytes_with_nul(PTX.as_bytes()).unwrap_or_default();
        Ok(Streaming {
            kernel: context.kernel(ptx, c"missile_stream", shared)?,
            buffer: context.allocate(BUFFER)?,
            sink: context.allocate(Bytes::new(4))?,
            shape: Launch { blocks, threads: THREADS, shared },
        })
    }

    /// The number of SMs that a launch occupies.
    pub fn blocks(&self) -> u32 {
        self.shape.blocks
    }

    /// The memory that is read, of [`BUFFER`]'s size.
    pub fn buffer(&self) -> &DeviceMemory {
        &self.buffer
    }

    /// Launches the kernel in the stream.
    pub fn launch(&self, reading: Reading, stream: &Stream) -> Result<(), DriverError> {
        let Reading { mut passes, mut cycles_per_kib } = reading;
        let (mut base, mut bytes, mut sink) = (self.buffer.va().get(), BUFFER.get(), self.sink.va().get());
        let mut arguments = [
            (&raw mut base).cast(),
            (&raw mut bytes).cast(),
            (&raw mut passes).cast(),
            (&raw mut cycles_per_kib).cast(),
            (&raw mut sink).cast(),
        ];
        // SAFETY: these are the kernel's parameters, in order and of its types. Both allocations are this value's, and
        // wait for their context's work before they are freed.
        unsafe { stream.launch(&self.kernel, self.shape, &mut arguments) }
    }
}
