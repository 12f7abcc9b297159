//! Copies between host and device in the order of a stream.

use crate::gate;
use abi::cuda::{CU_STREAM_LEGACY, CU_STREAM_PER_THREAD, CUdeviceptr, CUresult, CUstream};
use region::Direction;
use std::ffi::c_void;
use units::Bytes;

macro_rules! stream_copies {
    ($($direction:ident $null:ident $name:ident($dst:ty, $src:ty);)*) => {
        $(
            /// # Safety
            /// As the driver function of this name.
            #[allow(non_snake_case)]
            pub(crate) unsafe fn $name(
                real: unsafe extern "C" fn($dst, $src, usize, CUstream) -> CUresult,
                dst: $dst,
                src: $src,
                bytes: usize,
                stream: CUstream,
            ) -> CUresult {
                // The gate's own calls must mean the same stream as this spelling does by null.
                let named = if stream.is_null() { $null as CUstream } else { stream };
                gate::in_stream(Direction::$direction, Bytes::new(bytes as u64), named, |piece| {
                    // SAFETY: the piece lies within the range that the caller gave.
                    unsafe { real(piece.of(dst), piece.of(src), piece.len(), stream) }
                })
            }
        )*
    };
}

stream_copies! {
    H2d CU_STREAM_LEGACY cuMemcpyHtoDAsync_v2(CUdeviceptr, *const c_void);
    H2d CU_STREAM_PER_THREAD cuMemcpyHtoDAsync_v2_ptsz(CUdeviceptr, *const c_void);
    D2h CU_STREAM_LEGACY cuMemcpyDtoHAsync_v2(*mut c_void, CUdeviceptr);
    D2h CU_STREAM_PER_THREAD cuMemcpyDtoHAsync_v2_ptsz(*mut c_void, CUdeviceptr);
}
