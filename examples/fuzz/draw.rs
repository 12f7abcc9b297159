//! Arguments: each drawn by the parameter's type and name, valid, stale, null or illegal.
//!
//! What C itself forbids is not drawn: host memory shorter than what the call may copy, a host address that is nobody's,
//! a wait that never ends. Everything else is.

use crate::driver::plain;
use crate::hosts::Hosts;
use crate::pools::{Held, Of, Pools};
use crate::random::Random;
use crate::scratch::Scratch;
use crate::table::{ROWS, Row};
use std::ffi::{CString, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

/// Sizes of allocations and of pages.
pub const PAGE: u64 = 4096;
const HUGE: u64 = 2 << 20;
/// The most that one allocation gets that the driver can give.
pub const MOST: u64 = 8 << 20;
/// Beyond every GPU's memory.
const TOO_MUCH: [u64; 3] = [1 << 40, 1 << 62, u64::MAX];
/// Device addresses that the simulated driver never gave, and that are nobody's on the host either.
const NOBODYS: [u64; 4] = [1, 0xDEAD_BEEF_0000, u64::MAX, 1 << 63];
/// Handles that are none.
const NO_HANDLE: [u64; 5] = [3, 0xDEAD_0000, 0x10_0001, u64::MAX, 1 << 63];
const VERSIONS: [u64; 9] = [0, 2000, 3020, 4000, 7050, 11_000, 12_080, 13_000, i32::MAX as u64];

/// How often a host function ran.
pub static RAN: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" fn host_function(_: *mut c_void) {
    RAN.fetch_add(1, Ordering::Relaxed);
}

unsafe extern "C" fn callback(_: *mut c_void, _: u32, _: *mut c_void) {
    RAN.fetch_add(1, Ordering::Relaxed);
}

unsafe extern "C" fn recaptured(
    _: *mut c_void,
    _: *mut c_void,
    _: *const c_void,
    _: *const c_void,
    _: u32,
) -> abi::cuda::CUresult {
    RAN.fetch_add(1, Ordering::Relaxed);
    0
}

/// The arguments of one call, as they were drawn.
#[derive(Default)]
pub struct Draft {
    pub arguments: Vec<u64>,
    /// The stream, where there is one.
    pub stream: Option<u64>,
    /// The bytes from the last device or host address to the end of its memory, the least of them.
    pub room: Option<u64>,
    /// How many addresses of live device memory there are, and how many of the host's.
    pub devices: u32,
    pub hosts: u32,
    /// The graph that the call is about, and the kernel.
    pub graph: Option<u64>,
    pub kernel: Option<u64>,
    /// The addresses drawn.
    pub ends: Vec<u64>,
    /// The last size drawn, and the host address that a copy goes to.
    pub bytes: u64,
    pub host_target: Option<u64>,
    /// Addresses at which the call is to write a handle, and the kind of each.
    pub answers: Vec<(Of, u64)>,
}

/// Draws arguments.
pub struct Draw {
    pub random: Random,
    pub pools: Pools,
    pub scratch: Scratch,
    pub hosts: Hosts,
    pub names: Vec<CString>,
    /// The kernels that fill memory with a number.
    pub fills: Vec<u64>,
    pub draft: Draft,
}

impl Draw {
    /// A source of arguments for this seed.
    pub fn new(seed: u64) -> Draw {
        let known = ROWS.iter().map(|row| plain(row.name));
        let unknown = ["", "cu", "cuNothing", "cuMemAlloc_v9", "cuCtxSynchronize", "printf"];
        let names = known.chain(unknown).filter_map(|name| CString::new(name).ok()).collect();
        let (random, pools, scratch) = (Random::new(seed), Pools::default(), Scratch::new());
        Draw { random, pools, scratch, hosts: Hosts::default(), names, fills: Vec::new(), draft: Draft::default() }
    }

    /// Draws the arguments of a call into the draft.
    pub fn draft(&mut self, row: &Row) {
        self.scratch.clear();
        self.draft = Draft::default();
        for &(name, ty) in row.parameters {
            // The compiler's text of a type may have a space behind the star.
            let target = ty.strip_prefix('*').map(str::trim_start);
            let argument = match target.and_then(|it| it.strip_prefix("mut ").or(it.strip_prefix("const "))) {
                Some(target) => self.pointer(row, name, target),
                None => self.value(row, name, ty),
            };
            self.draft.arguments.push(argument);
        }
    }

    fn value(&mut self, row: &Row, name: &str, ty: &str) -> u64 {
        match ty {
            "CUstream" => self.stream(),
            "CUdevice" => self.random.of(&[0, 0, 0, 0, 0, 0, 1, u64::MAX, i32::MAX as u64]),
            "CUdeviceptr" => self.device_argument(row, name),
            "CUcontext" => self.handle(Of::Context),
            "CUfunction" => self.kernel(),
            "CUevent" => self.handle(Of::Event),
            "CUgraph" => self.graph(),
            "CUgraphNode" => self.node(),
            "CUgraphExec" => self.exec(),
            "CUmemoryPool" => self.handle(Of::Pool),
            "CUmemGenericAllocationHandle" => self.physical(),
            "CUhostFn" => self.optional(host_function as *const () as u64),
            "CUstreamCallback" => self.optional(callback as *const () as u64),
            "CUgraphRecaptureCallback" => self.optional(recaptured as *const () as u64),
            "CUmemLocation" => self.location(),
            "usize" => self.size(row, name),
            "c_uint" | "c_int" | "u64" => self.number(row, name),
            _ => self.handle(Of::Other),
        }
    }

    /// Null in few cases, else the address.
    pub fn optional(&mut self, address: u64) -> u64 {
        if self.random.chance(6) { 0 } else { address }
    }

    /// The function of a graph's host node.
    pub fn callback_of_graphs(&mut self) -> u64 {
        self.optional(host_function as *const () as u64)
    }

    /// A handle: most often one that lives.
    pub fn handle(&mut self, of: Of) -> u64 {
        let held = match self.random.below(100) {
            0..80 => self.pools.pick(of, &mut self.random).map(|held| held.handle),
            80..88 => self.pools.pick_stale(of, &mut self.random),
            88..94 => None,
            // Another kind's.
            _ => self.pools.pick(Of::Event, &mut self.random).map(|held| held.handle),
        };
        held.unwrap_or_else(|| if self.random.chance(50) { 0 } else { self.random.of(&NO_HANDLE) })
    }

    /// A stream, noted in the draft.
    pub fn stream(&mut self) -> u64 {
        let stream = match self.random.below(100) {
            0..28 => 0,
            28..36 => 1,
            36..46 => 2,
            _ => self.handle(Of::Stream),
        };
        self.draft.stream = Some(stream);
        stream
    }

    /// A kernel, whose arguments are drawn afterwards.
    pub fn kernel(&mut self) -> u64 {
        let kernel = self.handle(Of::Function);
        self.draft.kernel = Some(kernel);
        kernel
    }

    /// A graph, whose nodes are drawn afterwards most often.
    fn graph(&mut self) -> u64 {
        let graph = self.handle(Of::Graph);
        self.draft.graph = Some(graph);
        graph
    }

    /// A graph made ready, whose nodes are drawn afterwards most often.
    fn exec(&mut self) -> u64 {
        let exec = self.handle(Of::Exec);
        let made = self.pools.live(Of::Exec).iter().find(|held| held.handle == exec);
        self.draft.graph = made.map(|held| held.bytes);
        exec
    }

    /// A node: of the graph that was drawn before, where there is one.
    pub fn node(&mut self) -> u64 {
        let graph = self.draft.graph.filter(|_| self.random.chance(85));
        let nodes = self.pools.live(Of::Node).iter().filter(|held| Some(held.bytes) == graph);
        let nodes: Vec<u64> = nodes.map(|held| held.handle).collect();
        if nodes.is_empty() { self.handle(Of::Node) } else { self.random.of(&nodes) }
    }

    fn physical(&mut self) -> u64 {
        match self.pools.pick(Of::Physical, &mut self.random) {
            Some(held) if self.random.chance(85) => {
                self.note_room(held.bytes);
                held.handle
            }
            _ => self.handle(Of::Physical),
        }
    }

    fn note_room(&mut self, room: u64) {
        self.draft.room = Some(self.draft.room.map_or(room, |other| other.min(room)));
    }

    fn device_argument(&mut self, row: &Row, name: &str) -> u64 {
        match (row.class, row.kind) {
            ("copy", "unified" | "unified_async" | "batch") => self.unified(),
            ("alloc", "mapping") if name == "addr" => self.random.of(&[0, 0, 0x7000_0000_0000]),
            ("alloc" | "free", "mapping") => self.reserved(),
            ("free", _) => self.base(),
            _ => self.device(),
        }
    }

    /// A reservation's address; sizes drawn afterwards are most often its size.
    fn reserved(&mut self) -> u64 {
        match self.pools.pick(Of::Reserved, &mut self.random) {
            Some(Held { handle, bytes }) if self.random.chance(85) => {
                self.note_room(bytes);
                handle
            }
            _ => self.base(),
        }
    }

    /// The first address of device memory.
    fn base(&mut self) -> u64 {
        match self.random.below(100) {
            0..70 => self.pools.pick(Of::Device, &mut self.random).map_or(0, |held| held.handle),
            70..85 => self.pools.pick_stale(Of::Device, &mut self.random).unwrap_or(0),
            85..92 => self.device(),
            _ => self.random.of(&NOBODYS),
        }
    }

    /// An address that the call takes for the device's.
    pub fn device(&mut self) -> u64 {
        match self.random.below(100) {
            0..84 => self.live_device(),
            84..88 => 0,
            88..93 => self.pools.pick_stale(Of::Device, &mut self.random).unwrap_or(0),
            93..95 => self.pools.pick(Of::Device, &mut self.random).map_or(0, |held| held.handle + held.bytes),
            95..97 => self.host(),
            _ => self.random.of(&NOBODYS),
        }
    }

    /// An address within device memory that lives.
    pub fn live_device(&mut self) -> u64 {
        let Some(held) = self.pools.pick(Of::Device, &mut self.random) else { return 0 };
        let offset = match self.random.below(10) {
            0..6 => 0,
            6 => PAGE,
            7 => held.bytes / 2,
            8 => held.bytes - 1,
            _ => self.random.below(held.bytes),
        };
        let offset = offset.min(held.bytes - 1);
        self.note_room(held.bytes - offset);
        self.draft.devices += 1;
        self.draft.ends.push(held.handle + offset);
        held.handle + offset
    }

    /// An address that tells by itself what it is of. One that is nobody's the driver would take for the host's.
    pub fn unified(&mut self) -> u64 {
        match self.random.below(100) {
            0..70 => self.live_device(),
            70..90 => self.host(),
            90..95 => self.pools.pick_stale(Of::Device, &mut self.random).unwrap_or(0),
            _ => 0,
        }
    }

    /// An address in the client's host memory with room for the largest allocation.
    pub fn host(&mut self) -> u64 {
        let offset = match self.random.below(4) {
            0 | 1 => 0,
            2 => PAGE * self.random.below(64),
            _ => self.random.below(Hosts::OFFSETS),
        };
        let (address, room) = self.hosts.at(self.random.below(3), offset);
        self.draft.hosts += 1;
        self.draft.ends.push(address);
        self.note_room(room.min(MOST));
        address
    }

    /// The source or the target of a copy that is on the host.
    pub fn host_end(&mut self, is_target: bool) -> u64 {
        match self.random.below(100) {
            0..5 => 0,
            // Device memory in the place of the host's.
            5..8 => self.live_device(),
            8..10 => self.pools.pick_stale(Of::Device, &mut self.random).unwrap_or(0),
            _ => {
                let address = self.host();
                if is_target {
                    self.draft.host_target = Some(address);
                }
                address
            }
        }
    }

    /// A size that two ends of a copy may have.
    pub fn copy_size(&mut self) -> u64 {
        let room = self.draft.room.unwrap_or(PAGE);
        let size = match self.random.below(100) {
            0..40 => room,
            40..55 => 1 + self.random.below(PAGE),
            55..65 => PAGE,
            65..73 => HUGE,
            73..80 => 2 * HUGE,
            80..85 => 0,
            85..90 => room + 1,
            90..94 => room + HUGE,
            94..97 => 1 << 30,
            _ => self.random.of(&TOO_MUCH),
        };
        // Ends that overlap have no result to compare: no order of the bytes is promised.
        let apart = match self.draft.ends[..] {
            [one, other] if one != other => one.abs_diff(other),
            _ => u64::MAX,
        };
        let size = if apart < MOST { size.min(apart) } else { size };
        // Without a range of the device's that the driver could look up, the host's is all that there is.
        if self.draft.devices == 0 && self.draft.hosts > 0 { size.min(room) } else { size }
    }

    fn size(&mut self, row: &Row, name: &str) -> u64 {
        let size = match (row.class, name) {
            ("copy", "bytes" | "size") => self.copy_size(),
            ("alloc", "bytes") if row.name.starts_with("cuMemHostRegister") => self.random.of(&[0, 1, PAGE, HUGE]),
            ("alloc", "bytes") => self.allocation(),
            ("alloc" | "free", "size") => match (self.draft.room, self.random.below(10)) {
                (Some(room), 0..7) => room,
                _ => self.random.of(&[HUGE, HUGE, HUGE, 2 * HUGE, 0, 1, PAGE, HUGE + 1, TOO_MUCH[0], u64::MAX]),
            },
            (_, "width") => self.random.of(&[0, 1, 333, PAGE, 65_536, HUGE, u64::MAX]),
            (_, "height") => self.random.of(&[0, 1, 1, 3, u64::MAX]),
            (_, "count" | "attr_count" | "location_count") => self.count(),
            (_, "log_bytes") => self.random.of(&[0, 1, 64]),
            (_, "offset" | "alignment") => self.random.of(&[0, 0, 0, 0, HUGE, 1, PAGE, u64::MAX]),
            (_, "value" | "keep") => self.random.of(&[0, 1, PAGE, 1 << 20, u64::MAX]),
            _ => self.random.of(&[0, 1, PAGE, HUGE, u64::MAX]),
        };
        self.draft.bytes = match name {
            "height" => self.draft.bytes.saturating_mul(size),
            "bytes" | "size" | "width" => size,
            _ => self.draft.bytes,
        };
        size
    }

    /// How much to allocate; what is more than [`MOST`] no GPU has.
    fn allocation(&mut self) -> u64 {
        match self.random.below(100) {
            0..35 => self.random.of(&[HUGE, HUGE, 2 * HUGE, 2 * HUGE, 3 * HUGE]),
            35..55 => 1 + self.random.below(64 * PAGE),
            55..70 => PAGE * (1 + self.random.below(32)),
            70..80 => HUGE + 1 + self.random.below(HUGE),
            80..88 => self.random.of(&[1, 3, 511, 513]),
            88..94 => 0,
            _ => self.random.of(&TOO_MUCH),
        }
    }

    /// A number of entries. Arrays drawn have 8, and more than any array may have is refused unread.
    pub fn count(&mut self) -> u64 {
        self.random.of(&[0, 0, 0, 1, 1, 1, 1, 2, 3, 8, u64::MAX])
    }

    fn number(&mut self, row: &Row, name: &str) -> u64 {
        match name {
            "flags" if row.class == "resolver" => self.random.of(&[0, 0, 1, 2, 3, 4, u64::MAX]),
            "flags" => self.random.of(&[0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 8, 64, u64::MAX]),
            "version" => self.random.of(&VERSIONS),
            "gx" | "bx" => self.random.of(&[1, 1, 1, 2, 32, 256, 1024, 0, u64::MAX]),
            "gy" | "gz" | "by" | "bz" => self.random.of(&[1, 1, 1, 1, 1, 1, 1, 1, 2, 0, u64::MAX]),
            "shared" => self.random.of(&[0, 0, 0, 0, 0, 1024, 232_448, 232_449, u64::MAX]),
            "bytes" => self.random.of(&[0, 1, PAGE, HUGE, u64::MAX]),
            "count" => self.count(),
            "element" => self.random.of(&[4, 8, 16, 0, 3]),
            "limit" | "attr" | "attribute" => self.random.of(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 15, 20, 21, 999]),
            "kind" => self.random.of(&[1, 1, 1, 0, 2, 8, u64::MAX]),
            "mode" | "option" => self.random.of(&[0, 1, 2, 3, u64::MAX]),
            "priority" => self.random.of(&[0, 1, -1i64 as u64, -5i64 as u64, i32::MIN as u64]),
            "device" | "dst" => self.random.of(&[0, 0, 1, u64::MAX]),
            "offset" | "mem_offset" | "multicast_offset" | "size" => self.random.of(&[0, 1, HUGE, u64::MAX]),
            _ => self.random.of(&[0, 1, 2, 3, 16, u64::MAX]),
        }
    }

    /// A place, as one word.
    pub fn location(&mut self) -> u64 {
        self.random.of(&[1, 1, 1, 1, 1, 0, 2, 9, 1 | 1 << 32, 1 | 0xFFFF_FFFF << 32])
    }
}
