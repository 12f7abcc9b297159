//! A real GPU as a bench: memory from the CUDA driver, physical addresses from `libmissile.so`.

use crate::lines::LINE;
use crate::{Bench, BenchError, GpuInfo, GpuUuid, Masked, Measurement, NoMasks, Stretch, TpcBits};
use abi::qmd::TpcMask;
use client::{
    Context, DeviceMemory, Driver, DriverError, Extent, Extents, Gpu, Kernel, Launch, LaunchMasks, Library, MemoryInfo,
};
use core::ffi::{CStr, c_void};
use units::{Bytes, DeviceVa, PhysAddr};

/// The kernel, for the driver's own compiler.
const KERNEL: &str = concat!(include_str!("../ptx/latency.ptx"), "\0");
const KERNEL_NAME: &CStr = c"missile_latency";

/// The largest and the smallest piece in which memory is taken.
const PIECES: (Bytes, Bytes) = (Bytes::gib(16), Bytes::mib(64));
/// The least memory that stays free, for the driver and for the measurements.
const RESERVE: Bytes = Bytes::gib(1);
/// The threads of a block: one warp, of which one thread measures.
const THREADS: u32 = 32;
/// The lines that each block of a launch under a mask times, once each: that takes some ten microseconds, in which the
/// GPU places all blocks for which there is room.
const MASKED_LINES: usize = 64;

/// A GPU of this machine. It holds most of the GPU's free memory as long as it lives, because address bits up to the
/// highest decide; it belongs to the thread that opened it, whose current context it sets.
pub struct CudaBench {
    context: Context,
    gpu: GpuInfo,
    memory: Vec<Stretch>,
    vram: Bytes,
    kernel: Kernel,
    /// The shared memory that a block asks for.
    shared: Bytes,
    masks: Option<LaunchMasks>,
    _pieces: Vec<DeviceMemory>,
}

impl CudaBench {
    /// Takes the GPU with this ordinal; `kernel_driver` is the version of the kernel driver, where it is known.
    pub fn open(ordinal: u32, kernel_driver: Option<String>) -> Result<CudaBench, BenchError> {
        let extents = Extents::find().ok_or(BenchError::NoPhysicalAddresses)?;
        let gpu = Driver::start()?.gpu(ordinal)?;
        let info = GpuInfo { name: gpu.name()?, uuid: GpuUuid(gpu.uuid()?), sms: gpu.sms()?, driver: kernel_driver };
        let context = gpu.primary_context()?;
        let shared = shared_memory(gpu)?;
        let ptx = CStr::from_bytes_with_nul(KERNEL.as_bytes()).unwrap_or_default();
        let kernel = context.kernel(ptx, KERNEL_NAME, shared)?;
        let MemoryInfo { free, total } = context.memory_info()?;
        let (pieces, memory) = take_memory(&context, free, extents)?;
        Ok(CudaBench { context, gpu: info, memory, vram: total, kernel, shared, masks: None, _pieces: pieces })
    }

    /// Memory with room for the words.
    fn room_for<W>(&self, words: &[W]) -> Result<DeviceMemory, DriverError> {
        self.context.allocate(Bytes::new(size_of_val(words) as u64))
    }
}

impl Bench for CudaBench {
    fn gpu(&self) -> &GpuInfo {
        &self.gpu
    }

    fn memory(&self) -> &[Stretch] {
        &self.memory
    }

    fn vram(&self) -> Bytes {
        self.vram
    }

    fn latencies(&mut self, blocks: u32, lines: &[DeviceVa], reps: u32) -> Result<Measurement, BenchError> {
        let places: Vec<u64> = lines.iter().map(|line| line.get()).collect();
        let mut measurement =
            Measurement { smids: vec![0; blocks as usize], cycles: vec![0; blocks as usize * lines.len()] };
        if blocks == 0 || lines.is_empty() {
            return Ok(measurement);
        }
        let addresses = self.room_for(&places)?;
        let (out, smids) = (self.room_for(&measurement.cycles)?, self.room_for(&measurement.smids)?);
        let mut count = u32::try_from(lines.len()).expect("lines fit a GPU's 32-bit index");
        let (mut reps, [mut addresses_va, mut out_va, mut smids_va]) =
            (reps, [&addresses, &out, &smids].map(|memory| memory.va().get()));
        let mut arguments: [*mut c_void; 5] = [
            (&raw mut addresses_va).cast(),
            (&raw mut count).cast(),
            (&raw mut reps).cast(),
            (&raw mut out_va).cast(),
            (&raw mut smids_va).cast(),
        ];
        addresses.write(&places)?;
        let shape = Launch { blocks, threads: THREADS, shared: self.shared };
        // SAFETY: the arguments are those of the kernel's signature, in order. The kernel writes `out` and `smids`
        // within their sizes and adds 0 to words of `lines`, which lie in memory that this bench holds; all of it
        // waits for the context's work before it is freed.
        unsafe { self.context.default_stream().launch(&self.kernel, shape, &mut arguments) }?;
        self.context.synchronize()?;
        out.read(&mut measurement.cycles)?;
        smids.read(&mut measurement.smids)?;
        Ok(measurement)
    }

    fn masked(&mut self) -> Result<Result<Box<dyn Masked + '_>, NoMasks>, BenchError> {
        match self.context.gpu().is_under_mps() {
            Some(false) => {}
            Some(true) => return Ok(Err(NoMasks::UnderMps)),
            None => return Ok(Err(NoMasks::PerhapsMps)),
        }
        if self.masks.is_none() {
            self.masks = LaunchMasks::subscribe(&Library::load()?);
        }
        let Some(masks) = self.masks else { return Ok(Err(NoMasks::NotTold)) };
        let mut masked = MaskedBench { bench: self, masks };
        // A mask that takes nothing away shows whether there is a place for it.
        masked.ran_without(TpcBits::default())?;
        Ok(match (masks.unknown(), masks.masked()) {
            (Some(unknown), _) => Err(NoMasks::UnknownDescriptor(unknown)),
            (None, 0) => Err(NoMasks::NotTold),
            (None, _) => Ok(Box::new(masked)),
        })
    }
}

/// A bench whose launches have masks.
struct MaskedBench<'a> {
    bench: &'a mut CudaBench,
    masks: LaunchMasks,
}

impl Masked for MaskedBench<'_> {
    fn ran_without(&mut self, taken: TpcBits) -> Result<Vec<u32>, BenchError> {
        let Some(Stretch { va, bytes, .. }) = self.bench.memory.first().copied() else { return Ok(Vec::new()) };
        let lines = (0..bytes.get() / LINE.get()).take(MASKED_LINES).map(|i| va + Bytes::new(i * LINE.get()));
        let lines: Vec<DeviceVa> = lines.collect();
        self.masks.take(TpcMask::new(taken.0));
        let measured = self.bench.latencies(2 * self.bench.gpu.sms, &lines, 1);
        self.masks.stop();
        Ok(measured?.smids)
    }
}

/// The shared memory that a block asks for so that an SM has room for one block only (or for as few as can be, where a
/// block may not ask for half of it).
fn shared_memory(gpu: Gpu) -> Result<Bytes, DriverError> {
    let kib = Bytes::kib(1);
    let half = Bytes::new(gpu.shared_memory_of_an_sm()?.get() / 2) + kib;
    // What the kernel declares itself counts towards the limit of a block.
    Ok(half.min(gpu.shared_memory_of_a_block()?.saturating_sub(kib)))
}

/// Most of the free memory and what lies behind it, in pieces that are halved where the driver has none as large, or
/// none that lies in VRAM in one piece: of others the physical addresses are not known.
fn take_memory(
    context: &Context,
    free: Bytes,
    extents: Extents,
) -> Result<(Vec<DeviceMemory>, Vec<Stretch>), BenchError> {
    let mut left = free.saturating_sub(RESERVE).saturating_sub(Bytes::new(free.get() / 50));
    let (mut piece, least) = PIECES;
    let (mut pieces, mut memory) = (Vec::new(), Vec::new());
    let mut unknown = None;
    while left >= least && piece >= least {
        let bytes = piece.min(left);
        match context.allocate(bytes) {
            Ok(allocation) => match stretches(extents, &allocation) {
                Ok(found) => {
                    left = left - bytes;
                    memory.extend(found);
                    pieces.push(allocation);
                }
                Err(error) => {
                    piece = Bytes::new(bytes.get() / 2);
                    unknown = Some(error);
                }
            },
            Err(error) if error.is_out_of_memory() => piece = Bytes::new(bytes.get() / 2),
            Err(error) => return Err(error.into()),
        }
    }
    if pieces.is_empty() { Err(unknown.unwrap_or(BenchError::NoMemory { free })) } else { Ok((pieces, memory)) }
}

/// The stretches of VRAM behind a piece of memory.
fn stretches(extents: Extents, piece: &DeviceMemory) -> Result<Vec<Stretch>, BenchError> {
    let (va, bytes) = (piece.va(), piece.bytes());
    let found = extents.behind(va, bytes).ok_or(BenchError::UnknownRange { va, bytes })?;
    let stretch = |extent: Extent| Stretch {
        va: DeviceVa::new(extent.va),
        bytes: Bytes::new(extent.bytes),
        phys: PhysAddr::new(extent.phys),
    };
    Ok(found.into_iter().map(stretch).collect())
}
