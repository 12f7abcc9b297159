//! The types that memory between processes may consist of, and the macro that declares them with a fixed layout.

use crate::sync::{AtomicU32, AtomicU64};

/// A type that may lie in memory that other processes read and write at any moment.
///
/// The compiler refuses what is no atomic:
///
/// ```compile_fail
/// fn lies_in_shared_memory<T: region::Shared>() {}
/// lies_in_shared_memory::<[u64; 4]>();
/// ```
///
/// # Safety
/// The type consists of atomics of fixed width and of nothing else, padding aside: so all bits in it are some value, a
/// write by another process is no data race, and all zeros are what a fresh region holds.
pub unsafe trait Shared: Sized {
    /// One with nothing in it, as a fresh region has it: for tests.
    #[cfg(not(loom))]
    fn zeroed() -> Box<Self> {
        // SAFETY: zero is a value of every atomic, and there is nothing else in a shared type.
        Box::new(unsafe { std::mem::zeroed() })
    }
}

// SAFETY: an atomic of fixed width.
unsafe impl Shared for AtomicU32 {}
// SAFETY: an atomic of fixed width.
unsafe impl Shared for AtomicU64 {}
// SAFETY: several of what is shared, without anything between them.
unsafe impl<T: Shared, const N: usize> Shared for [T; N] {}

/// Declares a shared structure. The compiler checks that each field is [`Shared`] and lies at the offset that stands before
/// it, and that the whole has the size that stands behind the name.
macro_rules! shared {
    ($(#[$meta:meta])* $vis:vis struct $name:ident: $size:expr $(, align $align:tt)? => {
        $($(#[$doc:meta])* $at:literal $field_vis:vis $field:ident: $ty:ty,)*
    }) => {
        $(#[$meta])*
        #[repr(C $(, align($align))?)]
        $vis struct $name {
            $($(#[$doc])* $field_vis $field: $ty,)*
        }

        // SAFETY: `each_is_shared` does not compile unless every field is shared.
        unsafe impl $crate::shared::Shared for $name {}

        const _: () = {
            const fn each_is_shared<T: $crate::shared::Shared>() {}
            $(each_is_shared::<$ty>();)*
            // Loom's atomics are larger.
            #[cfg(not(loom))]
            {
                $(assert!(core::mem::offset_of!($name, $field) == $at);)*
                assert!(size_of::<$name>() == $size);
            }
        };
    };
}
pub(crate) use shared;
