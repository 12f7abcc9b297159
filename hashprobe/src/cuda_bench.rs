//! A real GPU as a bench: memory from the CUDA driver, physical addresses from `libmissile.so`.

use crate::driver::Driver;
use crate::{Bench, BenchError, GpuInfo, GpuUuid, Measurement, Stretch};
use abi::cuda::{CUDA_ERROR_OUT_OF_MEMORY, CUcontext, CUdevice, CUdeviceptr, CUfunction, CUmodule, CUstream};
use abi::export::{EXTENTS_SYMBOL, Extent, ExtentsFn};
use core::ffi::{CStr, c_int, c_uint, c_void};
use core::ptr;
use std::rc::Rc;
use units::{Bytes, DeviceVa, PhysAddr};

/// The kernel, for the driver's own compiler.
const KERNEL: &str = concat!(include_str!("../ptx/latency.ptx"), "\0");
const KERNEL_NAME: &CStr = c"missile_latency";

// Attributes, under cuda.h's numbers.
const MULTIPROCESSOR_COUNT: c_int = 16;
const MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: c_int = 81;
const MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: c_int = 97;
const FUNC_MAX_DYNAMIC_SHARED_SIZE_BYTES: c_int = 8;

/// The largest and the smallest piece in which memory is taken.
const PIECES: (Bytes, Bytes) = (Bytes::gib(16), Bytes::mib(64));
/// The least memory that stays free, for the driver and for the measurements.
const RESERVE: Bytes = Bytes::gib(1);

/// A GPU of this machine. It holds most of the GPU's free memory as long as it lives, because address bits up to the
/// highest decide; it belongs to the thread that opened it, whose current context it sets.
pub struct CudaBench {
    driver: Rc<Driver>,
    gpu: GpuInfo,
    memory: Vec<Stretch>,
    vram: Bytes,
    kernel: CUfunction,
    shared_bytes: c_uint,
    // Freed in this order.
    _pieces: Vec<Allocation>,
    _context: PrimaryContext,
}

impl CudaBench {
    /// Takes the GPU with this ordinal; `kernel_driver` is the version of the kernel driver, where it is known.
    pub fn open(ordinal: u32, kernel_driver: Option<String>) -> Result<CudaBench, BenchError> {
        let extents = extents_function().ok_or(BenchError::NoPhysicalAddresses)?;
        let driver = Rc::new(Driver::load()?);
        let device = find_device(&driver, ordinal)?;
        let gpu = describe(&driver, device, kernel_driver)?;
        let context = PrimaryContext::enter(&driver, device)?;
        let (kernel, shared_bytes) = load_kernel(&driver, device)?;
        let (free, vram) = memory_info(&driver)?;
        let (pieces, memory) = take_memory(&driver, free, extents)?;
        Ok(CudaBench { driver, gpu, memory, vram, kernel, shared_bytes, _pieces: pieces, _context: context })
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
        let addresses = Allocation::of(&self.driver, Bytes::new(size_of_val(&places[..]) as u64))?;
        let out = Allocation::of(&self.driver, Bytes::new(size_of_val(&measurement.cycles[..]) as u64))?;
        let smids = Allocation::of(&self.driver, Bytes::new(size_of_val(&measurement.smids[..]) as u64))?;
        let mut count = c_uint::try_from(lines.len()).expect("lines fit a GPU's 32-bit index");
        let (mut reps, mut addresses_va, mut out_va, mut smids_va) = (reps, addresses.va, out.va, smids.va);
        let mut arguments: [*mut c_void; 5] = [
            (&raw mut addresses_va).cast(),
            (&raw mut count).cast(),
            (&raw mut reps).cast(),
            (&raw mut out_va).cast(),
            (&raw mut smids_va).cast(),
        ];
        // SAFETY: each device allocation has the size of the host slice that it is copied from or to. The arguments
        // are those of the kernel's signature, in order, and outlive the launch. The kernel writes `out` and `smids`
        // within their sizes and adds 0 to words of `lines`, which lie in memory that this bench holds.
        unsafe {
            self.driver.copy_to_device(addresses.va, places.as_ptr().cast(), size_of_val(&places[..]))?;
            self.driver.launch(
                self.kernel,
                blocks,
                1,
                1,
                32,
                1,
                1,
                self.shared_bytes,
                CUstream::NULL,
                arguments.as_mut_ptr(),
                ptr::null_mut(),
            )?;
            self.driver.synchronize()?;
            let (cycles, ids) = (&mut measurement.cycles[..], &mut measurement.smids[..]);
            self.driver.copy_from_device(cycles.as_mut_ptr().cast(), out.va, size_of_val(cycles))?;
            self.driver.copy_from_device(ids.as_mut_ptr().cast(), smids.va, size_of_val(ids))?;
        }
        Ok(measurement)
    }
}

/// Memory of the GPU, freed on drop.
struct Allocation {
    driver: Rc<Driver>,
    va: CUdeviceptr,
}

impl Allocation {
    fn of(driver: &Rc<Driver>, bytes: Bytes) -> Result<Allocation, BenchError> {
        let mut va = 0;
        // SAFETY: `va` is a place for an address.
        unsafe { driver.allocate(&mut va, bytes.as_usize()) }?;
        Ok(Allocation { driver: Rc::clone(driver), va })
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: the address came from `cuMemAlloc` and nothing uses it any more. A failure leaves the memory to
        // the end of the context, which follows.
        let _ = unsafe { self.driver.free(self.va) };
    }
}

/// The device's primary context, current in this thread; given back on drop.
struct PrimaryContext {
    driver: Rc<Driver>,
    device: CUdevice,
}

impl PrimaryContext {
    fn enter(driver: &Rc<Driver>, device: CUdevice) -> Result<PrimaryContext, BenchError> {
        let mut context = CUcontext::NULL;
        // SAFETY: `context` is a place for a handle.
        unsafe { driver.retain_context(&mut context, device) }?;
        let entered = PrimaryContext { driver: Rc::clone(driver), device };
        // SAFETY: the context was retained just now.
        unsafe { driver.set_context(context) }?;
        Ok(entered)
    }
}

impl Drop for PrimaryContext {
    fn drop(&mut self) {
        // SAFETY: the context was retained once by `enter`; a null context leaves none current.
        let _ = unsafe { self.driver.set_context(CUcontext::NULL) };
        // SAFETY: as above. A failure is the driver's shutting down, which ends the context as well.
        let _ = unsafe { self.driver.release_context(self.device) };
    }
}

fn find_device(driver: &Driver, ordinal: u32) -> Result<CUdevice, BenchError> {
    let (mut count, mut device) = (0, 0);
    // SAFETY: `count` is a place for a number.
    unsafe {
        driver.init(0)?;
        driver.device_count(&mut count)?;
    }
    let count = u32::try_from(count).unwrap_or(0);
    let index = c_int::try_from(ordinal).ok().filter(|_| ordinal < count);
    let index = index.ok_or(BenchError::NoSuchGpu { index: ordinal, count })?;
    // SAFETY: `device` is a place for a handle.
    unsafe { driver.device(&mut device, index) }?;
    Ok(device)
}

fn describe(driver: &Driver, device: CUdevice, kernel_driver: Option<String>) -> Result<GpuInfo, BenchError> {
    let (mut name, mut uuid) = ([0u8; 256], [0u8; 16]);
    // SAFETY: the driver writes at most 256 bytes, NUL included.
    unsafe { driver.device_name(name.as_mut_ptr().cast(), 256, device) }?;
    // SAFETY: a CUuuid is 16 bytes.
    unsafe { driver.device_uuid(&mut uuid, device) }?;
    let sms = attribute(driver, device, MULTIPROCESSOR_COUNT)?;
    let name = CStr::from_bytes_until_nul(&name).unwrap_or_default().to_string_lossy().into_owned();
    Ok(GpuInfo { name, uuid: GpuUuid(uuid), sms, driver: kernel_driver })
}

fn attribute(driver: &Driver, device: CUdevice, attribute: c_int) -> Result<u32, BenchError> {
    let mut value = 0;
    // SAFETY: `value` is a place for a number.
    unsafe { driver.device_attribute(&mut value, attribute, device) }?;
    Ok(u32::try_from(value).unwrap_or(0))
}

/// The kernel, and how much shared memory a block asks for so that an SM has room for one block only (or for as few
/// as can be, where a block may not ask for half of it).
fn load_kernel(driver: &Driver, device: CUdevice) -> Result<(CUfunction, c_uint), BenchError> {
    let (mut module, mut kernel) = (CUmodule::NULL, CUfunction::NULL);
    // SAFETY: the image is PTX text that ends in NUL, the name a C string, both handles have a place.
    unsafe {
        driver.load_module(&mut module, KERNEL.as_ptr().cast())?;
        driver.module_function(&mut kernel, module, KERNEL_NAME.as_ptr())?;
    }
    let kib = 1024;
    let half = attribute(driver, device, MAX_SHARED_MEMORY_PER_MULTIPROCESSOR)? / 2 + kib;
    // What the kernel declares itself counts towards the limit of a block.
    let limit = attribute(driver, device, MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?.saturating_sub(kib);
    let shared = half.min(limit);
    let value = c_int::try_from(shared).unwrap_or(c_int::MAX);
    // SAFETY: the kernel is one of this context.
    unsafe { driver.set_function_attribute(kernel, FUNC_MAX_DYNAMIC_SHARED_SIZE_BYTES, value) }?;
    Ok((kernel, shared))
}

/// How much memory is free, and how much there is.
fn memory_info(driver: &Driver) -> Result<(Bytes, Bytes), BenchError> {
    let (mut free, mut total) = (0, 0);
    // SAFETY: both are places for numbers.
    unsafe { driver.memory_info(&mut free, &mut total) }?;
    Ok((Bytes::new(free as u64), Bytes::new(total as u64)))
}

/// Most of the free memory and what lies behind it, in pieces that are halved where the driver has none as large, or
/// none that lies in VRAM in one piece: of others the physical addresses are not known.
fn take_memory(
    driver: &Rc<Driver>,
    free: Bytes,
    extents: ExtentsFn,
) -> Result<(Vec<Allocation>, Vec<Stretch>), BenchError> {
    let mut left = free.saturating_sub(RESERVE).saturating_sub(Bytes::new(free.get() / 50));
    let (mut piece, least) = PIECES;
    let (mut pieces, mut memory) = (Vec::new(), Vec::new());
    let mut unknown = None;
    while left >= least && piece >= least {
        let bytes = piece.min(left);
        match Allocation::of(driver, bytes) {
            Ok(allocation) => match stretches(extents, allocation.va, bytes) {
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
            Err(BenchError::Call { code: CUDA_ERROR_OUT_OF_MEMORY, .. }) => piece = Bytes::new(bytes.get() / 2),
            Err(error) => return Err(error),
        }
    }
    if pieces.is_empty() { Err(unknown.unwrap_or(BenchError::NoMemory { free })) } else { Ok((pieces, memory)) }
}

/// `missile_extents`, where this process runs with `libmissile.so`.
fn extents_function() -> Option<ExtentsFn> {
    // SAFETY: the name is a C string; looking up a symbol has no other condition.
    let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, EXTENTS_SYMBOL.as_ptr()) };
    // SAFETY: a symbol of this name is libmissile.so's, whose type the abi crate states; null is `None`.
    unsafe { core::mem::transmute::<*mut c_void, Option<ExtentsFn>>(symbol) }
}

/// What lies behind a range.
fn stretches(extents: ExtentsFn, va: CUdeviceptr, bytes: Bytes) -> Result<Vec<Stretch>, BenchError> {
    let mut found = vec![Extent::default(); 64];
    loop {
        // SAFETY: the function writes at most `found.len()` extents to `found`.
        let count = unsafe { extents(va, bytes.get(), found.as_mut_ptr(), found.len()) };
        let count = usize::try_from(count).map_err(|_| BenchError::UnknownRange { va: DeviceVa::new(va), bytes })?;
        if count <= found.len() {
            found.truncate(count);
            let stretch = |e: Extent| Stretch {
                va: DeviceVa::new(e.va),
                bytes: Bytes::new(e.bytes),
                phys: PhysAddr::new(e.phys),
            };
            return Ok(found.into_iter().map(stretch).collect());
        }
        found.resize(count, Extent::default());
    }
}
