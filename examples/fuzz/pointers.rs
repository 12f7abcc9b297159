//! Arguments that are pointers: to room for an answer, to arrays, to structures, to names.

use crate::draw::{Draw, PAGE};
use crate::pools::Of;
use crate::table::Row;
use abi::cuda::*;

/// How many entries the arrays have that are drawn.
const ENTRIES: usize = 8;

impl Draw {
    /// A pointer to what `target` names.
    pub fn pointer(&mut self, row: &Row, name: &str, target: &str) -> u64 {
        let address = match (row.class, row.kind, name, target) {
            // A host address, which the copy's size goes with.
            ("copy", _, "src" | "dst", "c_void") => return self.host_end(name == "dst"),
            ("alloc", "host", "p", _) => return self.registered(),
            ("free", "host", "p", _) => return self.pinned(row),
            ("info", _, "addr", _) => return self.mapped(),
            ("export", _, "ptr", _) => return self.device(),
            // A handle or an address that the call answers with.
            (_, _, _, "CUdeviceptr") if row.class != "copy" => self.answer(row, Of::Device),
            (_, _, _, "CUstream") => self.answer(row, Of::Stream),
            (_, _, _, "CUcontext") => self.answer(row, Of::Context),
            (_, _, "clone" | "graph", "CUgraph") => self.answer(row, Of::Graph),
            (_, _, "node", "CUgraphNode") => self.answer(row, Of::Node),
            (_, _, _, "CUgraphExec") => self.answer(row, Of::Exec),
            (_, _, _, "CUmemoryPool") => self.answer(row, Of::Pool),
            (_, _, _, "CUmemGenericAllocationHandle") => self.answer(row, Of::Physical),
            (_, _, "pp", _) => self.answer(row, Of::Pinned),
            // Arrays.
            (_, _, "dsts" | "srcs" | "dptrs", _) => self.unified_array(),
            (_, _, "sizes", _) => self.sizes_array(),
            (_, _, "attr_indices" | "location_indices", _) => self.scratch.put(&[0, 1, 2, 3, 4, 5, 6, 7]),
            (_, _, "attributes", _) => self.attribute_array(),
            (_, _, "data", target) if target.starts_with('*') => self.room_array(),
            (_, _, "dependencies" | "from" | "to", "CUgraphNode") => self.node_array(),
            (_, _, "location" | "locations", _) => self.location_array(),
            // Structures and names.
            (_, _, "symbol", _) => return self.name(),
            (_, _, _, "CUDA_MEMCPY2D") => self.rectangle(),
            (_, _, _, "CUDA_MEMCPY3D") => self.solid(),
            (_, _, _, "CUDA_MEMCPY3D_PEER") => self.peer_solid(),
            (_, _, "prop", "CUmemAllocationProp") => self.allocation_property(row),
            (_, _, _, "CUlaunchConfig") => self.launch_config(),
            ("launch", _, "params", _) => self.kernel_params(),
            ("launch", _, "extra", _) => return self.kernel_extra(),
            (_, _, _, "c_void") => return self.opaque(row, name),
            // Room for an answer that is a number.
            _ => self.scratch.room(16),
        };
        if self.random.chance(5) { 0 } else { address }
    }

    /// Room for a handle or an address.
    fn answer(&mut self, row: &Row, of: Of) -> u64 {
        let at = self.scratch.room(2);
        let of = match (row.class, row.kind) {
            ("alloc", "mapping") => Some(Of::Reserved),
            ("alloc", "legacy") | ("info", "legacy") => None,
            // Handles that the client has already.
            ("info", _) if of != Of::Physical => None,
            ("context", "retain" | "current") => None,
            _ => Some(of),
        };
        self.draft.answers.extend(of.map(|of| (of, at)));
        at
    }

    /// Memory to register: the client's own.
    fn registered(&mut self) -> u64 {
        match self.random.below(10) {
            0 => 0,
            1 => self.device(),
            _ => self.hosts.to_register(self.random.below(256) * PAGE),
        }
    }

    /// Host memory to give back: never what the client still uses.
    fn pinned(&mut self, row: &Row) -> u64 {
        let of = if row.name == "cuMemFreeHost" { Of::Pinned } else { Of::Registered };
        match self.random.below(10) {
            0..7 => self.pools.pick(of, &mut self.random).map_or(0, |held| held.handle),
            7 => 0,
            8 => self.live_device(),
            _ => self.random.of(&[1, u64::MAX]),
        }
    }

    fn mapped(&mut self) -> u64 {
        match self.random.below(3) {
            0 => self.host(),
            1 => self.pools.pick(Of::Reserved, &mut self.random).map_or(0, |held| held.handle + PAGE),
            _ => self.device(),
        }
    }

    /// Words that are drawn one by one.
    fn array(&mut self, mut entry: impl FnMut(&mut Draw) -> u64) -> u64 {
        let words: [u64; ENTRIES] = std::array::from_fn(|_| entry(self));
        self.scratch.put(&words)
    }

    fn unified_array(&mut self) -> u64 {
        self.array(Draw::unified)
    }

    /// Sizes for batches, in which ends of copies are put together that were drawn apart.
    fn sizes_array(&mut self) -> u64 {
        self.array(|draw| match draw.random.below(10) {
            0 => 0,
            1 => 1 << 20,
            2..5 => PAGE,
            _ => 1 + draw.random.below(512),
        })
    }

    fn attribute_array(&mut self) -> u64 {
        self.array(|draw| {
            let attribute = |draw: &mut Draw| draw.random.of(&[1u64, 2, 3, 8, 9, 11, 12, 5, 6, 7, 13, 20]);
            let wrong = u64::from(draw.random.chance(3)) * 999;
            attribute(draw) | (attribute(draw) | wrong) << 32
        })
    }

    fn room_array(&mut self) -> u64 {
        self.array(|draw| {
            let room = draw.scratch.room(4);
            if draw.random.chance(3) { 0 } else { room }
        })
    }

    fn node_array(&mut self) -> u64 {
        self.array(Draw::node)
    }

    fn location_array(&mut self) -> u64 {
        self.array(Draw::location)
    }

    /// The name of a function, or something else.
    fn name(&mut self) -> u64 {
        if self.random.chance(3) {
            return 0;
        }
        let index = self.random.below(self.names.len() as u64) as usize;
        self.names[index].as_ptr() as u64
    }

    fn launch_config(&mut self) -> u64 {
        let stream = self.stream();
        let mut side = || self.random.of(&[1, 1, 1, 1, 1, 2, 32, 0, u32::MAX]);
        let config = CUlaunchConfig {
            gridDimX: side(),
            gridDimY: 1,
            gridDimZ: side(),
            blockDimX: side(),
            blockDimY: side(),
            blockDimZ: 1,
            sharedMemBytes: 0,
            hStream: CUstream::from_addr(stream as usize),
            attrs: std::ptr::null_mut(),
            numAttrs: u32::from(self.random.chance(5)),
        };
        self.scratch.put_struct(config)
    }

    /// The numbers that the kernels take: memory to work on, words, memory for the answer or a value.
    fn kernel_arguments(&mut self) -> [u64; 5] {
        let room = self.draft.room;
        // An address that is not there ends the context, so that little else would happen.
        let at = if self.random.chance(1) { self.device() } else { self.live_device() };
        self.draft.room = None;
        let answer = self.live_device() & !7;
        let words = self.draft.room.unwrap_or(0) / 8;
        self.draft.room = room;
        let most =
            self.pools.live(Of::Device).iter().find(|held| (held.handle..held.handle + held.bytes).contains(&at));
        let most = most.map_or(0, |held| (held.handle + held.bytes - at) / 4);
        let fills = self.draft.kernel.is_some_and(|kernel| self.fills.contains(&kernel));
        // What fills memory is to be the same number with every driver, and no address.
        let answer = if fills {
            self.random.below(1 << 20)
        } else if words == 0 {
            at
        } else {
            answer
        };
        [at, self.random.of(&[most, most.min(1000), 1.min(most), 0]), answer, 0, 0]
    }

    /// Arguments by an array of pointers.
    pub fn kernel_params(&mut self) -> u64 {
        let at = self.kernel_arguments();
        let at = self.scratch.put(&at);
        let places: [u64; 5] = std::array::from_fn(|index| at + index as u64 * 8);
        self.scratch.put(&places)
    }

    /// Arguments by one buffer; most often none, as they may not be given in both ways.
    pub fn kernel_extra(&mut self) -> u64 {
        if self.random.chance(85) {
            return 0;
        }
        let arguments = self.kernel_arguments();
        let buffer = self.scratch.put(&arguments);
        let length = self.random.of(&[24, 20, 40, 8, 0]);
        let length = self.scratch.put(&[length]);
        self.scratch.put(&[1, buffer, 2, length, 0])
    }
}
