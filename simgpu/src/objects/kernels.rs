//! Behaviours of kernels on the simulated GPU.
//!
//! The simulator runs no PTX. A program says in its PTX how each of its kernels behaves, with a comment in front of the entry
//! that a real driver passes over: `// simgpu: spin`. What a kernel is called is the program's affair.

use super::pages::{self, Sides};
use super::{latency, residents};
use crate::machine::Machine;
use crate::os::Fault;
use crate::timing::kernels::{MAX_SIDES, Work};
use abi::qmd::TpcMask;
use units::{Bytes, DeviceVa, Nanos};

/// A behaviour that a kernel can have, by the name that PTX gives it, with the kernel's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// `fill(u64 base, u64 words, u32 value)`: word `i` becomes `value + i`.
    Fill,
    /// `checksum(u64 base, u64 words, u64 out)`: `*out`, 64 bits, becomes the sum of the words.
    Checksum,
    /// `latency(u64 addrs, u32 count, u32 reps, u64 out, u64 smids)`: see [`latency`].
    Latency,
    /// `stream(u64 base, u64 bytes, u32 passes, u32 cycles_per_kib, u64 sink)`: reads, and computes that many cycles for
    /// each KiB.
    Stream,
    /// `spin(u64 cycles)`: computes.
    Spin,
    /// `hold(u64 word)`: has every SM until the 32-bit word is no longer 0.
    Hold,
}

impl Behaviour {
    /// The behaviour of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "fill" => Behaviour::Fill,
            "checksum" => Behaviour::Checksum,
            "latency" => Behaviour::Latency,
            "stream" => Behaviour::Stream,
            "spin" => Behaviour::Spin,
            "hold" => Behaviour::Hold,
            _ => return None,
        })
    }

    /// The sizes of its parameters in bytes.
    pub(crate) fn sizes(self) -> &'static [usize] {
        match self {
            Behaviour::Fill => &[8, 8, 4],
            Behaviour::Checksum => &[8, 8, 8],
            Behaviour::Latency => &[8, 4, 4, 8, 8],
            Behaviour::Stream => &[8, 8, 4, 4, 8],
            Behaviour::Spin => &[8],
            Behaviour::Hold => &[8],
        }
    }
}

/// A kernel with its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) behaviour: Behaviour,
    pub(crate) arguments: [u64; Call::ARGUMENTS],
    pub(crate) blocks: u64,
}

impl Call {
    /// Whether it has every SM until it is told to go.
    pub(crate) fn holds(&self) -> bool {
        self.behaviour == Behaviour::Hold
    }

    /// The most parameters that a kernel has.
    pub(crate) const ARGUMENTS: usize = 5;

    /// Does to memory what the kernel does on the SMs that a mask leaves; returns what it takes.
    pub(crate) fn perform(&self, machine: &Machine, mask: TpcMask) -> Result<Work, Fault> {
        let spec = machine.spec();
        let places = spec.sms_under(mask);
        let sms = self.blocks.min(places.len() as u64) as u32;
        let [a, b, c, d, e] = self.arguments;
        let base = DeviceVa::new(a);
        let nothing = [Bytes::ZERO; MAX_SIDES];
        let (cycles, bytes): (f64, Sides) = match self.behaviour {
            Behaviour::Fill => (0.0, fill(machine, base, b, c as u32)?),
            Behaviour::Checksum => (0.0, checksum(machine, base, b, DeviceVa::new(c))?),
            Behaviour::Latency => {
                let arrays = latency::Arrays { addresses: base, out: DeviceVa::new(d), smids: DeviceVa::new(e) };
                let cycles = latency::measure(machine, &arrays, (b as u32, c as u32), (self.blocks, &places))?;
                (cycles, nothing)
            }
            Behaviour::Stream => {
                let once = pages::sides(machine, base, Bytes::new(b))?;
                let bytes = once.map(|side| Bytes::new(side.get().saturating_mul(c)));
                let share = b as f64 * c as f64 / 1024.0 / f64::from(sms);
                (share * d as f64, bytes)
            }
            Behaviour::Spin => (a as f64, nothing),
            Behaviour::Hold => {
                residents::hold(machine, base)?;
                (0.0, nothing)
            }
        };
        let compute = Nanos::new((cycles * 1e3 / f64::from(spec.clock_mhz)) as u64);
        Ok(Work { sms, mask, compute, bytes })
    }
}

/// A stretch of 32-bit words.
fn stretch(base: DeviceVa, words: u64) -> Result<Bytes, Fault> {
    let bytes = words.checked_mul(4).map(Bytes::new).filter(|&bytes| base.checked_add(bytes).is_some());
    bytes.ok_or(Fault { va: base })
}

fn fill(machine: &Machine, base: DeviceVa, words: u64, value: u32) -> Result<Sides, Fault> {
    let sides = pages::sides(machine, base, stretch(base, words)?)?;
    let mut buffer = Vec::with_capacity(CHUNK as usize * 4);
    for first in (0..words).step_by(CHUNK as usize) {
        buffer.clear();
        for word in first..words.min(first + CHUNK) {
            buffer.extend(value.wrapping_add(word as u32).to_le_bytes());
        }
        pages::write(machine, base + Bytes::new(first * 4), &buffer)?;
    }
    Ok(sides)
}

fn checksum(machine: &Machine, base: DeviceVa, words: u64, out: DeviceVa) -> Result<Sides, Fault> {
    let sides = pages::sides(machine, base, stretch(base, words)?)?;
    let mut buffer = vec![0; CHUNK as usize * 4];
    let mut sum = 0u64;
    for first in (0..words).step_by(CHUNK as usize) {
        let part = &mut buffer[..(words - first).min(CHUNK) as usize * 4];
        pages::read(machine, base + Bytes::new(first * 4), part)?;
        let (chunks, _) = part.as_chunks::<4>();
        sum = chunks.iter().fold(sum, |sum, word| sum.wrapping_add(u64::from(u32::from_le_bytes(*word))));
    }
    pages::write(machine, out, &sum.to_le_bytes())?;
    Ok(sides)
}

/// How many words are handled at a time.
const CHUNK: u64 = 1 << 16;
