//! Places: where a byte lies in VRAM, and where a GPU's program sees it.

use crate::Bytes;
use core::fmt;
use core::ops::{Add, Sub};

macro_rules! place {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The place `n` bytes from the start of its space.
            pub const fn new(n: u64) -> Self {
                $name(n)
            }

            /// The plain number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// Whether this is a multiple of `unit` (false for a zero unit).
            pub const fn is_aligned(self, unit: Bytes) -> bool {
                Bytes::new(self.0).is_multiple_of(unit)
            }

            /// The place `offset` further on, or `None` past the end of the space.
            pub const fn checked_add(self, offset: Bytes) -> Option<Self> {
                match self.0.checked_add(offset.get()) {
                    Some(n) => Some($name(n)),
                    None => None,
                }
            }
        }

        impl Add<Bytes> for $name {
            type Output = $name;
            fn add(self, offset: Bytes) -> $name {
                $name(self.0 + offset.get())
            }
        }

        impl Sub for $name {
            type Output = Bytes;
            fn sub(self, other: $name) -> Bytes {
                Bytes::new(self.0 - other.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

place! {
    /// A physical address in a GPU's VRAM, as `NV_MEMORY_ALLOCATION_PARAMS.offset` reports it.
    PhysAddr
}

place! {
    /// A virtual address in a GPU address space, as CUDA hands it out.
    DeviceVa
}
