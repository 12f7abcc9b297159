//! One tenant's place in the region.

use crate::claim::Claim;
use crate::layout::GPUS;
use crate::order::{Engine, Groups, Orders};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::why::Passed;

/// The two directions of the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Direction {
    /// Host to device.
    H2d = 0,
    /// Device to host.
    D2h = 1,
}

impl Direction {
    /// Both.
    pub const ALL: [Direction; 2] = [Direction::H2d, Direction::D2h];

    /// `h2d` or `d2h`.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::H2d => "h2d",
            Direction::D2h => "d2h",
        }
    }
}

macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl $name {
            /// The number that stands for it in the region.
            pub const fn code(self) -> u32 {
                match self { $($name::$variant => $code,)* }
            }

            /// What the number means; a number that means nothing gives `None`.
            pub const fn from_code(code: u32) -> Option<Self> {
                match code { $($code => Some($name::$variant),)* _ => None }
            }

            /// The word for it, in variables, JSON and messages.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

coded! {
    /// What a tenant is to the others.
    Class {
        /// Latency-sensitive: goes first.
        Ls = 1 "ls",
        /// Best-effort: takes what is left.
        Be = 2 "be",
    }
}

coded! {
    /// Whether a tenant's memory is coloured, and if not, why.
    ColorState {
        /// Nothing was allocated yet that could be.
        Pending = 0 "pending",
        /// Coloured.
        On = 1 "on",
        /// Switched off by the operator.
        Off = 2 "off",
        /// There is no table for the GPU.
        NoTable = 3 "no table that colours this GPU: run `missile probe`, or see `missile doctor`",
        /// The driver's kernel interface is not one that Missile knows.
        UnknownDriver = 4 "driver version not known to Missile",
        /// The colour asked for is not one of the table's.
        NoSuchColor = 5 "the table has no such colour",
        /// The pager's self-test failed.
        SelfTestFailed = 6 "re-backing did not pass its self-test",
        /// The kernel answered a map call with something unexpected.
        MapFailed = 7 "the kernel refused a map call",
        /// Other GPUs have access to its memory, and see the driver's own pages only.
        SharedWithPeers = 9 "other GPUs have access to its memory",
        /// Colours are sides of the L2 here, and none was asked for.
        NotAsked = 10 "colours are sides of the L2 on this GPU, which cost more than they bring: `--color on` asks for them",
        /// The process came to the driver by a way that the library does not see.
        Bypassed = 8 "not governed: the driver was initialised past the library",
    }
}

/// The region has no free slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotFull;

/// What a tenant says of itself. Written by the tenant alone; the arbiter clears it when the tenant is gone.
#[repr(C)]
pub struct Tenant {
    /// [`Class`]; 0 until the tenant has filled in its part.
    pub class: AtomicU32,
    /// Its weight among its class, 1 to 10000.
    pub weight: AtomicU32,
    /// Its colour, or `u32::MAX` for none.
    pub color: AtomicU32,
    /// [`ColorState`].
    pub color_state: AtomicU32,
    /// How many SMs it is confined to, 0 for all.
    pub sms: AtomicU32,
    /// 1 where its copies are governed.
    pub copies: AtomicU32,
    /// The program's name, NUL-padded.
    pub name: [AtomicU64; 4],
    /// Bytes allocated on the tenant's colour.
    pub colored_bytes: AtomicU64,
    /// Bytes allocated in governed calls that stayed as the driver made them.
    pub uncolored_bytes: AtomicU64,
    /// Bytes moved, by [`Direction`], for each GPU.
    pub moved: [[AtomicU64; 2]; GPUS],
    /// Bytes copied from one place of device memory to another.
    pub on_device: AtomicU64,
    /// Kernels launched.
    pub launches: AtomicU64,
    /// Graphs launched.
    pub graph_launches: AtomicU64,
    /// UVM maps held ([`crate::Layout::charge_maps`]).
    pub maps: AtomicU64,
    /// Its channel groups, by GPU and [`Engine`].
    pub groups: [[Groups; 2]; GPUS],
    /// Calls that reached the driver without passing the library, as far as they were noticed.
    pub bypassed: AtomicU64,
    /// The driver's function through which the last of them came, NUL-padded.
    pub bypassed_by: [AtomicU64; 4],
    /// Calls that passed through, by reason.
    pub passed: Passed,
}

/// One tenant's place.
#[repr(C, align(4096))]
pub struct Slot {
    /// Who holds it.
    pub(crate) claim: Claim,
    /// What the tenant says of itself.
    pub tenant: Tenant,
    /// The arbiter's orders to it.
    pub orders: Orders,
}

impl Slot {
    /// The process that holds the slot.
    pub fn pid(&self) -> Option<u32> {
        self.claim.holder()
    }

    /// Tenant: takes the slot if it is free.
    pub fn claim(&self, pid: u32) -> bool {
        self.claim.take(pid)
    }

    /// Arbiter: frees the slot of a tenant that is gone, with all that it held.
    pub fn release(&self) {
        let tenant = &self.tenant;
        for word in [&tenant.class, &tenant.weight, &tenant.color, &tenant.color_state, &tenant.sms, &tenant.copies] {
            word.store(0, Ordering::Relaxed);
        }
        let counters = [
            &tenant.colored_bytes,
            &tenant.uncolored_bytes,
            &tenant.on_device,
            &tenant.launches,
            &tenant.graph_launches,
            &tenant.maps,
            &tenant.bypassed,
        ];
        let texts = tenant.name.iter().chain(&tenant.bypassed_by);
        for word in counters.into_iter().chain(texts).chain(tenant.moved.iter().flatten()) {
            word.store(0, Ordering::Relaxed);
        }
        tenant.groups.iter().flatten().for_each(Groups::clear);
        self.orders.clear();
        tenant.passed.clear();
        self.claim.free();
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
}

impl crate::Layout {
    /// Tenant: takes a free slot for the process and returns its index. Does not wait and takes no lock.
    pub fn join(&self, pid: u32) -> Result<usize, SlotFull> {
        self.slots.iter().position(|slot| slot.claim(pid)).ok_or(SlotFull)
    }
}
