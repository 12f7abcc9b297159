//! Filling device memory with a value.

use crate::objects::Outcome;
use crate::objects::command::Command;
use crate::objects::current::{self, DefaultStream};
use crate::objects::fill::{Area, Fill};
use abi::cuda::*;
use std::ffi::{c_uchar, c_uint, c_ushort};

/// Like the real driver's, a fill is asynchronous to the host even without a stream.
fn fill(dst: CUdeviceptr, pattern: &[u8], area: Area, stream: CUstream, default: DefaultStream) -> Outcome {
    let stream = current::stream(stream, default)?;
    match Fill::new(dst, pattern, area)? {
        Some(fill) => stream.submit(Command::Fill(fill)).map(drop),
        None => Ok(()),
    }
}

/// Declares the fills with elements of one size.
macro_rules! fills {
    ($(
        $value:ty: $now:ident / $now_twin:ident, $later:ident / $later_twin:ident,
        $now_2d:ident / $now_2d_twin:ident, $later_2d:ident / $later_2d_twin:ident;
    )*) => {
        export! {
            $(
                fn $now/$now_twin[default](dst: CUdeviceptr, value: $value, count: usize) {
                    fill(dst, &value.to_le_bytes(), Area { pitch: 0, width: count, height: 1 }, CUstream::NULL, default)
                }

                fn $later/$later_twin[default](dst: CUdeviceptr, value: $value, count: usize, stream: CUstream) {
                    fill(dst, &value.to_le_bytes(), Area { pitch: 0, width: count, height: 1 }, stream, default)
                }

                fn $now_2d/$now_2d_twin[default](
                    dst: CUdeviceptr,
                    pitch: usize,
                    value: $value,
                    width: usize,
                    height: usize,
                ) {
                    fill(dst, &value.to_le_bytes(), Area { pitch, width, height }, CUstream::NULL, default)
                }

                fn $later_2d/$later_2d_twin[default](
                    dst: CUdeviceptr,
                    pitch: usize,
                    value: $value,
                    width: usize,
                    height: usize,
                    stream: CUstream,
                ) {
                    fill(dst, &value.to_le_bytes(), Area { pitch, width, height }, stream, default)
                }
            )*
        }
    };
}

fills! {
    c_uchar: cuMemsetD8_v2 / cuMemsetD8_v2_ptds, cuMemsetD8Async / cuMemsetD8Async_ptsz,
        cuMemsetD2D8_v2 / cuMemsetD2D8_v2_ptds, cuMemsetD2D8Async / cuMemsetD2D8Async_ptsz;
    c_ushort: cuMemsetD16_v2 / cuMemsetD16_v2_ptds, cuMemsetD16Async / cuMemsetD16Async_ptsz,
        cuMemsetD2D16_v2 / cuMemsetD2D16_v2_ptds, cuMemsetD2D16Async / cuMemsetD2D16Async_ptsz;
    c_uint: cuMemsetD32_v2 / cuMemsetD32_v2_ptds, cuMemsetD32Async / cuMemsetD32Async_ptsz,
        cuMemsetD2D32_v2 / cuMemsetD2D32_v2_ptds, cuMemsetD2D32Async / cuMemsetD2D32Async_ptsz;
}
