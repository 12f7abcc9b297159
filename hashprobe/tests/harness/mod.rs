//! A made-up GPU whose lines are near or far by a rule that the test states.
#![allow(dead_code, reason = "each test file uses its part")]

use fastrand::Rng;
use hashprobe::{Bench, BenchError, GpuInfo, GpuUuid, Measurement, Stretch};
use units::{Bytes, DeviceVa, PhysAddr};

pub const SIDE_MASK: u64 = 0x1C_BD6A_B000;
pub const UUID: GpuUuid = GpuUuid([0x5A; 16]);

/// The difference of a virtual address and its physical one.
const VA_BASE: u64 = 0x7000_0000_0000;

pub struct MadeUpGpu {
    info: GpuInfo,
    memory: Vec<Stretch>,
    /// The side of a physical address.
    side: Box<dyn Fn(u64) -> bool>,
    /// The cycles that a far line costs more than a near one.
    pub far_extra: u32,
    /// How likely one try meets other work, which costs it 170 cycles.
    pub disturbance: f64,
    /// How much one latency differs from another of the same kind.
    pub jitter: u32,
    /// One line in so many looks near or far by chance, however often it is timed; 0 for none.
    pub unruly: u64,
    /// The SMs that blocks are put on, in turn.
    pub smids: Vec<u32>,
    /// The tries a line of each measurement so far.
    pub asked: Vec<(u32, usize, u32)>,
    rng: Rng,
}

impl MadeUpGpu {
    pub fn with_side(side: impl Fn(u64) -> bool + 'static) -> MadeUpGpu {
        let info = GpuInfo { name: "made-up".into(), uuid: UUID, sms: 12, driver: Some("580.1.00".into()) };
        let stretch =
            |phys: u64, bytes| Stretch { va: DeviceVa::new(VA_BASE + phys), bytes, phys: PhysAddr::new(phys) };
        let memory = vec![stretch(70 << 30, Bytes::gib(66)), stretch(0x1_2340_0000, Bytes::gib(48))];
        let (smids, rng) = ((0..12).collect(), Rng::with_seed(7));
        let (side, far_extra, disturbance, jitter, unruly, asked) = (Box::new(side), 170, 0.0, 64, 0, Vec::new());
        MadeUpGpu { info, memory, side, far_extra, disturbance, jitter, unruly, smids, asked, rng }
    }

    pub fn with_mask(mask: u64) -> MadeUpGpu {
        MadeUpGpu::with_side(move |address| (address & mask).count_ones() % 2 == 1)
    }

    /// Keeps the first bytes of its memory only.
    pub fn keep(&mut self, bytes: Bytes) {
        self.memory.truncate(1);
        self.memory[0].bytes = bytes;
    }

    /// The side of an SM: every other pair.
    pub fn side_of_sm(smid: u32) -> u32 {
        smid / 2 % 2
    }
}

impl Bench for MadeUpGpu {
    fn gpu(&self) -> &GpuInfo {
        &self.info
    }

    fn memory(&self) -> &[Stretch] {
        &self.memory
    }

    fn vram(&self) -> Bytes {
        Bytes::gib(128)
    }

    fn latencies(&mut self, blocks: u32, lines: &[DeviceVa], reps: u32) -> Result<Measurement, BenchError> {
        self.asked.push((blocks, lines.len(), reps));
        let disturbed = self.disturbance.powi(reps as i32);
        let mut measurement = Measurement::default();
        // The SMs that answer change from launch to launch.
        for block in self.asked.len()..self.asked.len() + blocks as usize {
            let smid = self.smids[block % self.smids.len()];
            measurement.smids.push(smid);
            for line in lines {
                let far = (self.side)(line.get() - VA_BASE) != (MadeUpGpu::side_of_sm(smid) == 1);
                let unruly = self.unruly != 0 && (line.get() / 128).is_multiple_of(self.unruly);
                let far = if unruly { self.rng.bool() } else { far };
                let extra = if far { self.far_extra } else { 0 };
                let disturbance = if self.rng.f64() < disturbed { 170 } else { 0 };
                measurement.cycles.push(256 + self.rng.u32(0..self.jitter) + extra + disturbance);
            }
        }
        Ok(measurement)
    }
}
