//! Kernel launches: counted, and forwarded.

use crate::life;
use abi::cuda::{CUfunction, CUlaunchConfig, CUresult, CUstream};
use std::ffi::{c_uint, c_void};

macro_rules! counted_launches {
    ($($name:ident($($arg:ident: $ty:ty),*);)*) => {
        $(
            /// # Safety
            /// As the driver function of this name.
            #[allow(non_snake_case, clippy::too_many_arguments)]
            #[inline]
            pub(crate) unsafe fn $name(real: unsafe extern "C" fn($($ty),*) -> CUresult, $($arg: $ty),*) -> CUresult {
                life::count(|tenant| &tenant.launches);
                // SAFETY: the caller's own arguments.
                unsafe { real($($arg),*) }
            }
        )*
    };
}

counted_launches! {
    cuLaunchKernel(f: CUfunction, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, shared: c_uint, stream: CUstream, params: *mut *mut c_void, extra: *mut *mut c_void);
    cuLaunchKernel_ptsz(f: CUfunction, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, shared: c_uint, stream: CUstream, params: *mut *mut c_void, extra: *mut *mut c_void);
    cuLaunchKernelEx(config: *const CUlaunchConfig, f: CUfunction, params: *mut *mut c_void, extra: *mut *mut c_void);
    cuLaunchKernelEx_ptsz(config: *const CUlaunchConfig, f: CUfunction, params: *mut *mut c_void, extra: *mut *mut c_void);
}
