//! The structures of batched copies.

use core::ffi::c_uint;

/// `CUmemcpy3DOperand`: an address (cuda.h: `CU_MEMCPY_OPERAND_TYPE_POINTER`).
pub const CU_MEMCPY_OPERAND_TYPE_POINTER: c_uint = 1;

/// One end of a box in a batch (cuda.h: `CUmemcpy3DOperand`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CUmemcpy3DOperand {
    /// [`CU_MEMCPY_OPERAND_TYPE_POINTER`], or an array.
    pub r#type: c_uint,
    /// For an address: itself, its row length, its layer height and a hint. For an array: itself and an offset.
    pub op: [u64; 4],
}

/// One copy of a batch (cuda.h: `CUDA_MEMCPY3D_BATCH_OP`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CUDA_MEMCPY3D_BATCH_OP {
    /// The source.
    pub src: CUmemcpy3DOperand,
    /// The destination.
    pub dst: CUmemcpy3DOperand,
    /// Bytes a line, lines, slices.
    pub extent: [usize; 3],
    /// When the source may be read.
    pub srcAccessOrder: c_uint,
    /// Hints.
    pub flags: c_uint,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<CUmemcpy3DOperand>() == 40 && offset_of!(CUmemcpy3DOperand, op) == 8);
    assert!(size_of::<CUDA_MEMCPY3D_BATCH_OP>() == 112 && offset_of!(CUDA_MEMCPY3D_BATCH_OP, extent) == 80);
};
