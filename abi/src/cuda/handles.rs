//! Handles of the driver's objects: numbers to everybody but the driver, each kind with a type of its own.

use core::ffi::c_void;

/// A kind of handle.
pub trait Handle: Copy + Ord + core::hash::Hash + core::fmt::Debug + 'static {
    /// The handle that the driver gave out as this number.
    fn numbered(number: usize) -> Self;
    /// The number that the driver gave out.
    fn number(self) -> usize;
}

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(transparent)]
        pub struct $name(*mut c_void);

        // SAFETY: nothing is reached through a handle but by the driver, which takes any thread's.
        unsafe impl Send for $name {}
        // SAFETY: as above; the handle itself never changes.
        unsafe impl Sync for $name {}

        impl $name {
            /// The handle of no object.
            pub const NULL: Self = Self(core::ptr::null_mut());

            /// The handle that the driver gave out as this number.
            #[inline]
            pub const fn from_addr(number: usize) -> Self {
                Self(core::ptr::without_provenance_mut(number))
            }

            /// The number that the driver gave out.
            #[inline]
            pub fn addr(self) -> usize {
                self.0.addr()
            }

            /// Whether it is the handle of no object.
            #[inline]
            pub const fn is_null(self) -> bool {
                self.0.is_null()
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::NULL
            }
        }

        impl Handle for $name {
            fn numbered(number: usize) -> Self {
                Self::from_addr(number)
            }

            fn number(self) -> usize {
                self.addr()
            }
        }

        const _: () = assert!(size_of::<$name>() == 8);
    )*};
}

handles! {
    /// A context.
    CUcontext;
    /// A stream, or one of the special handles null, [`CUstream::LEGACY`] and [`CUstream::PER_THREAD`].
    CUstream;
    /// A module: loaded code.
    CUmodule;
    /// A function of a module: a GPU kernel.
    CUfunction;
    /// An event.
    CUevent;
    /// A graph, as it is built.
    CUgraph;
    /// A node of a graph.
    CUgraphNode;
    /// An executable graph.
    CUgraphExec;
    /// An array: memory in the texture units' layout.
    CUarray;
    /// An array with its smaller copies.
    CUmipmappedArray;
    /// A pool of stream-ordered memory.
    CUmemoryPool;
    /// A green context: some of a device's SMs.
    CUgreenCtx;
    /// A description of the resources for a green context.
    CUdevResourceDesc;
}

impl CUstream {
    /// The legacy default stream (cuda.h: `CU_STREAM_LEGACY`).
    pub const LEGACY: Self = Self::from_addr(1);
    /// The calling thread's default stream (cuda.h: `CU_STREAM_PER_THREAD`).
    pub const PER_THREAD: Self = Self::from_addr(2);
}

/// Physical memory, or a multicast object (cuda.h: an unsigned long long, not a pointer).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct CUmemGenericAllocationHandle(pub u64);

impl Handle for CUmemGenericAllocationHandle {
    fn numbered(number: usize) -> Self {
        Self(number as u64)
    }

    fn number(self) -> usize {
        self.0 as usize
    }
}
