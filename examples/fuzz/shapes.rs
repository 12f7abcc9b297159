//! Structures: shapes of copies, properties of memory, parameters of graph nodes.

use crate::draw::{Draw, MOST, PAGE};
use crate::pools::Of;
use crate::table::Row;
use abi::cuda::*;
use std::ffi::{c_uint, c_void};

/// Two numbers in one word.
fn pair(low: u64, high: u64) -> u64 {
    (low & 0xFFFF_FFFF) | high << 32
}

/// One end of a shaped copy.
struct End {
    kind: c_uint,
    host: u64,
    device: u64,
    array: u64,
    x: usize,
    y: usize,
    z: usize,
    pitch: usize,
    lines: usize,
}

impl Draw {
    fn end(&mut self, is_source: bool) -> End {
        let kind = self.random.of(&[1, 1, 2, 2, 2, 2, 2, 4, 4, 3, 0, 5]);
        let mut end = End { kind, host: 0, device: 0, array: 0, x: 0, y: 0, z: 0, pitch: 0, lines: 0 };
        match kind {
            CU_MEMORYTYPE_HOST => end.host = self.host_end(!is_source),
            CU_MEMORYTYPE_DEVICE => end.device = self.device(),
            CU_MEMORYTYPE_UNIFIED => end.device = self.unified(),
            _ => end.array = self.handle(Of::Other),
        }
        // Sampling knows lines only.
        self.draft.host_target = None;
        end.x = self.random.of(&[0, 0, 0, 1, 256]);
        end.y = self.random.of(&[0, 0, 0, 1, 2]);
        end.z = self.random.of(&[0, 0, 0, 1]);
        end.pitch = self.random.of(&[0, 0, 512, 4096, 65_536]);
        end.lines = self.random.of(&[0, 0, 1, 16]);
        end
    }

    /// Width, height and depth: small, or where the driver has a range of the device's to check, sometimes not.
    fn extent(&mut self) -> [usize; 3] {
        let wild = self.draft.devices > 0 && self.draft.hosts == 0 && self.random.chance(10);
        let one = |draw: &mut Draw, usual: &[usize]| {
            if wild && draw.random.chance(50) {
                draw.random.of(&[1 << 40, usize::MAX, MOST as usize])
            } else {
                draw.random.of(usual)
            }
        };
        let width = one(self, &[0, 1, 300, 300, 512, 512, 4096, 4096, 65_536]);
        [width, one(self, &[0, 1, 1, 2, 16]), one(self, &[0, 1, 1, 1, 3])]
    }

    /// The description of a rectangle's copy.
    pub fn rectangle(&mut self) -> u64 {
        let (from, to) = (self.end(true), self.end(false));
        let [width, height, _] = self.extent();
        self.scratch.put_struct(CUDA_MEMCPY2D {
            srcXInBytes: from.x,
            srcY: from.y,
            srcMemoryType: from.kind,
            srcHost: from.host as usize as *const c_void,
            srcDevice: from.device,
            srcArray: CUarray::from_addr(from.array as usize),
            srcPitch: from.pitch,
            dstXInBytes: to.x,
            dstY: to.y,
            dstMemoryType: to.kind,
            dstHost: to.host as usize as *mut c_void,
            dstDevice: to.device,
            dstArray: CUarray::from_addr(to.array as usize),
            dstPitch: to.pitch,
            WidthInBytes: width,
            Height: height,
        })
    }

    /// The description of a box's copy.
    pub fn solid(&mut self) -> u64 {
        let copy = self.solid_copy();
        self.scratch.put_struct(copy)
    }

    fn solid_copy(&mut self) -> CUDA_MEMCPY3D {
        let (from, to) = (self.end(true), self.end(false));
        let [width, height, depth] = self.extent();
        let odd = if self.random.chance(3) { 8 } else { 0 };
        CUDA_MEMCPY3D {
            srcXInBytes: from.x,
            srcY: from.y,
            srcZ: from.z,
            srcLOD: 0,
            srcMemoryType: from.kind,
            srcHost: from.host as usize as *const c_void,
            srcDevice: from.device,
            srcArray: CUarray::from_addr(from.array as usize),
            reserved0: odd as *mut c_void,
            srcPitch: from.pitch,
            srcHeight: from.lines,
            dstXInBytes: to.x,
            dstY: to.y,
            dstZ: to.z,
            dstLOD: 0,
            dstMemoryType: to.kind,
            dstHost: to.host as usize as *mut c_void,
            dstDevice: to.device,
            dstArray: CUarray::from_addr(to.array as usize),
            reserved1: std::ptr::null_mut(),
            dstPitch: to.pitch,
            dstHeight: to.lines,
            WidthInBytes: width,
            Height: height,
            Depth: depth,
        }
    }

    /// The description of a box's copy from one context to another.
    pub fn peer_solid(&mut self) -> u64 {
        let it = self.solid_copy();
        let (from, to) = (self.handle(Of::Context), self.handle(Of::Context));
        self.scratch.put_struct(CUDA_MEMCPY3D_PEER {
            srcXInBytes: it.srcXInBytes,
            srcY: it.srcY,
            srcZ: it.srcZ,
            srcLOD: it.srcLOD,
            srcMemoryType: it.srcMemoryType,
            srcHost: it.srcHost,
            srcDevice: it.srcDevice,
            srcArray: it.srcArray,
            srcContext: CUcontext::from_addr(from as usize),
            srcPitch: it.srcPitch,
            srcHeight: it.srcHeight,
            dstXInBytes: it.dstXInBytes,
            dstY: it.dstY,
            dstZ: it.dstZ,
            dstLOD: it.dstLOD,
            dstMemoryType: it.dstMemoryType,
            dstHost: it.dstHost,
            dstDevice: it.dstDevice,
            dstArray: it.dstArray,
            dstContext: CUcontext::from_addr(to as usize),
            dstPitch: it.dstPitch,
            dstHeight: it.dstHeight,
            WidthInBytes: it.WidthInBytes,
            Height: it.Height,
            Depth: it.Depth,
        })
    }

    /// Properties of memory to make, or room for the answer.
    pub fn allocation_property(&mut self, row: &Row) -> u64 {
        if row.name == "cuMemGetAllocationPropertiesFromHandle" {
            return self.scratch.room(16);
        }
        let words = self.properties();
        self.scratch.put(&words)
    }

    /// The words of a `CUmemAllocationProp`: pinned memory of the device in most cases.
    fn properties(&mut self) -> [u64; 4] {
        let kind = self.random.of(&[1, 1, 1, 1, 1, 1, 1, 0, 2]);
        let handles = self.random.of(&[0, 0, 0, 0, 0, 0, 0, 1, 8]);
        [pair(kind, handles), self.location(), 0, 0]
    }

    fn pool_properties(&mut self) -> [u64; 11] {
        let mut words = [0; 11];
        words[..4].copy_from_slice(&self.properties());
        words[3] = self.random.of(&[0, 0, 0, MOST, 1]);
        words
    }

    /// A structure that the table does not name.
    pub fn opaque(&mut self, row: &Row, name: &str) -> u64 {
        let words: Vec<u64> = match name {
            "props" => self.pool_properties().into(),
            "map" | "desc" if row.class == "alloc" && row.kind != "array" => {
                vec![self.location(), self.random.of(&[3, 3, 3, 3, 0, 1, 9])]
            }
            "edges" if !self.random.chance(10) => return 0,
            "attrs" | "attr" => [self.random.of(&[1, 1, 2, 3, 0, 9]), 0, 0].repeat(8),
            "ops" | "op" => return self.operations(),
            "launches" => self.multi_launch(),
            "memset" => self.fill_node().into(),
            "params" => self.node_params(row),
            "value" => [self.random.of(&[0, 0, 1, 1 << 20, u64::MAX])].repeat(8),
            "data" => return self.scratch.room(4),
            _ => {
                let of = [0, 0, 1, 1, 2, 64, PAGE, u64::MAX, pair(1, 1)];
                (0..16).map(|_| self.random.of(&of)).collect()
            }
        };
        let at = self.scratch.put(&words);
        if self.random.chance(5) { 0 } else { at }
    }

    /// Copies of boxes for a batch: each from and to an address of any kind, small.
    fn operations(&mut self) -> u64 {
        let mut words = Vec::new();
        for _ in 0..8 {
            for _ in 0..2 {
                let kind = self.random.of(&[1, 1, 1, 1, 1, 1, 2, 0]);
                let row = self.random.of(&[0, 0, 512, 65_536]);
                words.extend([kind, self.unified(), row, self.random.of(&[0, 0, 1, 16]), 0]);
            }
            words.extend([1 + self.random.below(512), self.random.of(&[1, 1, 2, 16, 0]), self.random.of(&[1, 1, 2])]);
            words.push(pair(self.random.of(&[1, 1, 1, 2, 3, 0]), self.random.of(&[0, 0, 0, 1, 2])));
        }
        self.scratch.put(&words)
    }

    fn multi_launch(&mut self) -> Vec<u64> {
        let (function, params) = (self.kernel(), self.kernel_params());
        let blocks = self.random.of(&[1, 1, 2, 0]);
        vec![function, pair(blocks, 1), pair(1, 32), pair(1, 1), 0, self.stream(), params]
    }

    fn fill_node(&mut self) -> [u64; 5] {
        let at = self.device() & !3;
        let element = self.random.of(&[1, 2, 4, 4, 3]);
        [
            at,
            4096,
            pair(self.random.below(256), element),
            self.random.of(&[1, 64, 1024, 0]),
            self.random.of(&[1, 1, 2, 0]),
        ]
    }

    fn kernel_node(&mut self) -> Vec<u64> {
        let (function, params, extra) = (self.kernel(), self.kernel_params(), self.kernel_extra());
        let (params, extra) = if extra == 0 { (params, 0) } else { (0, extra) };
        let context = if self.random.chance(80) { 0 } else { self.handle(Of::Context) };
        let blocks = self.random.of(&[1, 1, 1, 2, 0]);
        vec![function, pair(blocks, 1), pair(1, 32), pair(1, 1), 0, params, extra, 0, context]
    }

    fn host_node(&mut self) -> Vec<u64> {
        vec![self.callback_of_graphs(), 0]
    }

    /// Writes of words, and waits only for what was written just before.
    fn value_node(&mut self) -> Vec<u64> {
        let (at, value) = (self.live_device() & !7, self.random.next());
        let operations = [
            [2, at, value, 0, 0, 0],
            [1, at, value & 0xFFFF_FFFF, 1, 0, 0],
            [self.random.of(&[3, 6, 9]), 0, 0, 0, 0, 0],
        ];
        let operations = self.scratch.put(operations.as_flattened());
        let context = self.handle(Of::Context);
        vec![context, self.random.of(&[0, 1, 2, 2, 3]), operations, self.random.of(&[0, 0, 0, 0, 1])]
    }

    fn allocation_node(&mut self) -> Vec<u64> {
        let mut words = self.pool_properties().to_vec();
        words.extend([0, 0, self.random.of(&[PAGE, 1, 2 << 20, 3 << 20, 0, 1 << 40]), 0]);
        words
    }

    /// Parameters of a graph's node, or of something else that the table calls so.
    fn node_params(&mut self, row: &Row) -> Vec<u64> {
        let is = |part: &str| row.name.contains(part);
        if is("KernelNode") {
            self.kernel_node()
        } else if is("HostNode") {
            self.host_node()
        } else if is("BatchMemOpNode") {
            self.value_node()
        } else if is("MemAllocNode") {
            self.allocation_node()
        } else if is("MemsetNode") {
            self.fill_node().into()
        } else if is("Instantiate") {
            vec![self.random.of(&[0, 0, 0, 1, 2, 4, 8, 16]), self.stream(), 0, 0]
        } else if is("AddNode") || is("NodeSetParams") {
            self.any_node()
        } else {
            vec![self.random.of(&[0, 1, 2]); 16]
        }
    }

    /// The parameters of a node of any kind, as `cuGraphAddNode` takes them: its kind, zeros, the node's own.
    fn any_node(&mut self) -> Vec<u64> {
        let kind = self.random.of(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 99]);
        let own = match kind {
            0 => self.kernel_node(),
            1 => self.copy_node(),
            2 => [self.fill_node().as_slice(), &[self.handle(Of::Context)]].concat(),
            3 => self.host_node(),
            4 => vec![self.handle(Of::Graph)],
            6 | 7 => vec![self.handle(Of::Event)],
            10 => self.allocation_node(),
            11 => vec![self.device()],
            12 => self.value_node(),
            _ => Vec::new(),
        };
        let mut words = vec![kind, 0];
        words.extend(own);
        words.resize(2 + 29 + 1, 0);
        words
    }

    fn copy_node(&mut self) -> Vec<u64> {
        let context = self.handle(Of::Context);
        let copy = self.solid_copy();
        // SAFETY: the structure has no padding that matters: zeroed words take its bytes.
        let words: [u64; size_of::<CUDA_MEMCPY3D>() / 8] = unsafe { std::mem::transmute_copy(&copy) };
        let mut node = vec![0, context];
        node.extend(words);
        node
    }
}
