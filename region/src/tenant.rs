//! A tenant's description of itself.

use crate::groups::Groups;
use crate::shared::shared;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::terms::{Class, Engine, GPUS};
use crate::why::Passed;

shared! {
    /// A tenant's description of itself. Written by the tenant alone, and cleared under the slot's lock.
    pub struct Tenant: 880 => {
        /// [`Class`]; 0 until the tenant has filled in its part.
        0 pub class: AtomicU32,
        /// Its weight among its class, 1 to 10000.
        4 pub weight: AtomicU32,
        /// Its colour, or `u32::MAX` for none.
        8 pub color: AtomicU32,
        /// [`crate::ColorState`].
        12 pub color_state: AtomicU32,
        /// The number of SMs that it is confined to, 0 for all.
        16 pub sms: AtomicU32,
        /// 1 where its copies are governed.
        20 pub copies: AtomicU32,
        /// The program's name, NUL-padded.
        24 pub name: [AtomicU64; 4],
        /// Bytes allocated on the tenant's colour.
        56 pub colored_bytes: AtomicU64,
        /// Bytes allocated in governed calls that stayed as the driver made them.
        64 pub uncolored_bytes: AtomicU64,
        /// Bytes moved, for each GPU, by [`crate::Direction`].
        72 pub moved: [[AtomicU64; 2]; GPUS],
        /// Bytes copied from one place of device memory to another.
        200 pub on_device: AtomicU64,
        /// Kernels launched.
        208 pub launches: AtomicU64,
        /// Graphs launched.
        216 pub graph_launches: AtomicU64,
        /// UVM maps held ([`crate::Layout::charge_maps`]).
        224 pub maps: AtomicU64,
        /// Its channel groups, by GPU and [`Engine`].
        232 pub groups: [[Groups; 2]; GPUS],
        /// Calls that reached the driver without passing the library, as far as they were noticed.
        616 pub bypassed: AtomicU64,
        /// The driver's function through which the last of them came, NUL-padded.
        624 pub bypassed_by: [AtomicU64; 4],
        /// Calls that passed through, by reason.
        656 pub passed: Passed,
        /// Launches that waited for latency-sensitive tenants.
        848 pub holds: AtomicU64,
        /// Nanoseconds for which they waited, one after another.
        856 pub held: AtomicU64,
        /// Launches that went on after the longest wait.
        864 pub let_go: AtomicU64,
        /// Its target in thousandths of its p99 alone, 0 for none.
        872 pub target: AtomicU32,
        876 reserved: AtomicU32,
    }
}

/// Writes a text, cut to 32 bytes.
fn write_text(words: &[AtomicU64; 4], text: &[u8]) {
    let mut bytes = [0; 32];
    let used = text.len().min(bytes.len());
    bytes[..used].copy_from_slice(&text[..used]);
    for (word, chunk) in words.iter().zip(bytes.chunks_exact(8)) {
        word.store(u64::from_le_bytes(std::array::from_fn(|i| chunk[i])), Ordering::Relaxed);
    }
}

/// Reads a text; bytes that are not printable ASCII come out as `?`.
fn read_text(words: &[AtomicU64; 4]) -> String {
    words
        .iter()
        .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes())
        .take_while(|&byte| byte != 0)
        .map(|byte| if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '?' })
        .collect()
}

impl Tenant {
    /// Tenant: writes the program's name, cut to 32 bytes.
    pub fn set_name(&self, name: &[u8]) {
        write_text(&self.name, name);
    }

    /// The program's name; bytes that are not printable ASCII come out as `?`.
    pub fn name(&self) -> String {
        read_text(&self.name)
    }

    /// Tenant: counts a call that reached the driver past the library through `function`.
    pub fn bypassed(&self, function: &[u8]) {
        write_text(&self.bypassed_by, function);
        self.bypassed.fetch_add(1, Ordering::Relaxed);
    }

    /// The function through which the last such call came; empty where there was none.
    pub fn bypassed_by(&self) -> String {
        read_text(&self.bypassed_by)
    }

    /// The tenant's class, once it has filled in its part with a class that exists.
    pub fn class(&self) -> Option<Class> {
        Class::from_code(self.class.load(Ordering::Acquire))
    }

    /// Its channel groups on an engine of a GPU.
    pub fn groups(&self, gpu: usize, engine: Engine) -> &Groups {
        &self.groups[gpu][engine as usize]
    }

    /// The tenant's weight, brought into 1 to 10000.
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed).clamp(1, 10_000)
    }

    /// Under the slot's lock: nothing of a former tenant stays.
    pub(crate) fn clear(&self) {
        for word in [&self.target, &self.class, &self.weight, &self.color, &self.color_state, &self.sms, &self.copies] {
            word.store(0, Ordering::Relaxed);
        }
        let counters = [
            &self.colored_bytes,
            &self.uncolored_bytes,
            &self.on_device,
            &self.launches,
            &self.graph_launches,
            &self.maps,
            &self.bypassed,
            &self.holds,
            &self.held,
            &self.let_go,
        ];
        let texts = self.name.iter().chain(&self.bypassed_by);
        for word in counters.into_iter().chain(texts).chain(self.moved.iter().flatten()) {
            word.store(0, Ordering::Relaxed);
        }
        self.groups.iter().flatten().for_each(Groups::clear);
        self.passed.clear();
    }
}
