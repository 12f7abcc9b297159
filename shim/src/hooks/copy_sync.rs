//! Blocking copies between host and device.

use crate::gate;
use abi::cuda::{CUdeviceptr, CUresult};
use region::Direction;
use std::ffi::c_void;
use units::Bytes;

macro_rules! blocking_copies {
    ($($direction:ident $name:ident($dst:ty, $src:ty);)*) => {
        $(
            /// # Safety
            /// As the driver function of this name.
            #[allow(non_snake_case)]
            pub(crate) unsafe fn $name(
                real: unsafe extern "C" fn($dst, $src, usize) -> CUresult,
                dst: $dst,
                src: $src,
                bytes: usize,
            ) -> CUresult {
                gate::blocking(Direction::$direction, Bytes::new(bytes as u64), |piece| {
                    // SAFETY: the piece lies within the range that the caller gave.
                    unsafe { real(piece.of(dst), piece.of(src), piece.len()) }
                })
            }
        )*
    };
}

blocking_copies! {
    H2d cuMemcpyHtoD_v2(CUdeviceptr, *const c_void);
    H2d cuMemcpyHtoD_v2_ptds(CUdeviceptr, *const c_void);
    D2h cuMemcpyDtoH_v2(*mut c_void, CUdeviceptr);
    D2h cuMemcpyDtoH_v2_ptds(*mut c_void, CUdeviceptr);
}
