//! The kernel of both tenants: reads a buffer, at full speed or at a pace.

use super::driver::{DevicePointer, Driver, DriverError, Kernel, Stream};
use std::ffi::CStr;

const PTX: &str = concat!(include_str!("stream.ptx"), "\0");

/// How much a tenant reads: more than any L2 holds.
pub const BUFFER_BYTES: usize = 256 << 20;

/// The kernel, its buffer, and how it is spread over the GPU.
pub struct Streaming {
    kernel: Kernel,
    buffer: DevicePointer,
    sink: DevicePointer,
    shared_bytes: u32,
    blocks: u32,
}

/// How long and how fast a launch reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reading {
    /// How often the buffer is read.
    pub passes: u32,
    /// The clock cycles that each SM spends at least on each KiB; 0 for full speed.
    pub cycles_per_kib: u32,
}

impl Streaming {
    /// Loads the kernel and takes memory for it.
    pub fn new(driver: &Driver) -> Result<Streaming, DriverError> {
        const MULTIPROCESSOR_COUNT: i32 = 16;
        const MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: i32 = 97;
        // All the shared memory of an SM, so that two blocks never share one.
        let shared_bytes = driver.attribute(MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
        let ptx = CStr::from_bytes_with_nul(PTX.as_bytes()).unwrap_or_default();
        Ok(Streaming {
            kernel: driver.kernel(ptx, c"missile_stream", shared_bytes)?,
            buffer: driver.allocate(BUFFER_BYTES)?,
            sink: driver.allocate(4)?,
            shared_bytes,
            // Half of the GPU, so that both tenants fit beside each other.
            blocks: (driver.attribute(MULTIPROCESSOR_COUNT)? / 2).max(1),
        })
    }

    /// How many SMs a launch occupies.
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    /// The buffer that is read, of [`BUFFER_BYTES`].
    pub fn buffer(&self) -> DevicePointer {
        self.buffer
    }

    /// Launches the kernel in the stream.
    pub fn launch(&self, driver: &Driver, reading: Reading, stream: Stream) -> Result<(), DriverError> {
        let Reading { mut passes, mut cycles_per_kib } = reading;
        let (mut base, mut bytes, mut sink) = (self.buffer, BUFFER_BYTES as u64, self.sink);
        let mut arguments = [
            (&raw mut base).cast(),
            (&raw mut bytes).cast(),
            (&raw mut passes).cast(),
            (&raw mut cycles_per_kib).cast(),
            (&raw mut sink).cast(),
        ];
        // SAFETY: these are the kernel's parameters, in order and of its types.
        unsafe { driver.launch(self.kernel, self.blocks, self.shared_bytes, &mut arguments, stream) }
    }
}
