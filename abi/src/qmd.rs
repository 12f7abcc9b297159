//! Launch descriptors (QMD), as the driver shows them to subscribers of an internal callback, and the masks of TPCs in them.
//!
//! Nothing of this is in cuda.h. Measured on an H200 with driver 580.159.04: the table of functions, the callback, and the
//! mask in descriptors of version 4.0. The mask's place in other versions is what NVIDIA's class headers say (open-gpu-doc,
//! `classes/compute/cl????qmd.h`, where a field is named by its bits); so a mask must be seen to hold before it is relied on.

use core::ffi::{c_int, c_void};
use core::fmt;
use core::ptr::NonNull;

/// The TPCs that a launch may not run on: a set bit takes one away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct TpcMask(pub u128);

impl TpcMask {
    /// The mask that takes nothing away.
    pub const NONE: TpcMask = TpcMask(0);

    /// The mask that takes these bits away.
    pub const fn new(bits: u128) -> Self {
        TpcMask(bits)
    }

    /// The mask that leaves these bits only. Where no TPC answers to any of them, a launch under it never ends.
    pub const fn all_but(left: u128) -> Self {
        TpcMask(!left)
    }

    /// The bits that it takes away.
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// The bits that it leaves.
    pub const fn left(self) -> u128 {
        !self.0
    }

    /// Whether it leaves nothing.
    pub const fn is_full(self) -> bool {
        self.0 == u128::MAX
    }

    /// Whether it takes nothing away.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The mask that takes away what either of two takes away.
    pub const fn and(self, other: TpcMask) -> Self {
        TpcMask(self.0 | other.0)
    }
}

/// The UUID of the driver's table of functions for subscribers (`cuGetExportTable`). The table's first word is its size in
/// bytes.
pub const SUBSCRIBERS: [u8; 16] =
    [0x2C, 0x8E, 0x0A, 0xD8, 0x07, 0x10, 0xAB, 0x4E, 0x90, 0xDD, 0x54, 0x71, 0x9F, 0xE5, 0xF7, 0x4B];
/// The word of the table that is a [`SubscribeFn`].
pub const SUBSCRIBE: usize = 3;
/// The word of the table that is an [`EnableFn`].
pub const ENABLE: usize = 6;
/// The domain of the callbacks about descriptors.
pub const DOMAIN: c_int = 0xB;
/// The callback about a descriptor that is complete and not yet the GPU's.
pub const LAUNCH: c_int = 1;

/// A subscriber's function: `(user, domain, id, parameters)`.
pub type CallbackFn = unsafe extern "C" fn(*mut c_void, c_int, c_int, *const c_void);
/// `subscribe(place for the handle, function, user)` returns a `CUresult`.
pub type SubscribeFn = unsafe extern "C" fn(*mut u32, CallbackFn, *mut c_void) -> c_int;
/// `enable(1 or 0, handle, domain, id)` returns a `CUresult`.
pub type EnableFn = unsafe extern "C" fn(u32, u32, c_int, c_int) -> c_int;

/// The word of the callback's parameters that points to the descriptor. The first word is their size in bytes.
pub const DESCRIPTOR: usize = 4;

/// The descriptor that a callback is about; `None` where its parameters end before it or it is null.
///
/// # Safety
/// `parameters` is null or what the driver gave a subscriber with [`DOMAIN`] and [`LAUNCH`].
pub unsafe fn descriptor(parameters: *const c_void) -> Option<NonNull<u8>> {
    let words: *const *mut u8 = parameters.cast();
    if words.is_null() || !words.is_aligned() {
        return None;
    }
    // SAFETY: the function's contract: parameters begin with their size in 32 bits.
    let bytes = unsafe { words.cast::<u32>().read() } as usize;
    let has = bytes >= (DESCRIPTOR + 1) * size_of::<usize>();
    // SAFETY: as above, and they reach to the end of this word.
    if has { NonNull::new(unsafe { words.add(DESCRIPTOR).read() }) } else { None }
}

/// A descriptor of a version in which no place of a mask is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownQmd {
    /// Byte 72: the version up to 4.x, with the major number in the upper half.
    pub at_72: u8,
    /// Byte 58: the version from 5.0 on.
    pub at_58: u8,
}

impl fmt::Display for UnknownQmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a launch descriptor of an unknown version ({:#04x} at byte 72, {:#04x} at 58)",
            self.at_72, self.at_58
        )
    }
}

impl core::error::Error for UnknownQmd {}

/// The place of the mask in descriptors of one version.
#[derive(Debug, PartialEq, Eq)]
pub struct Form {
    /// The byte that holds the version, its major number in the upper half.
    version_at: usize,
    version: u8,
    /// The first byte of the mask.
    mask_at: usize,
    /// The number of its words of 32 bits.
    words: usize,
    /// The byte of the word of which the highest bit says that the mask counts; `None` where it always does.
    valid_at: Option<usize>,
}

const fn early(version: u8) -> Form {
    Form { version_at: VERSION, version, mask_at: 84, words: 2, valid_at: None }
}

/// The byte of the version up to 4.x (bits 576 to 583 in the headers).
const VERSION: usize = 72;
/// The byte of the version from 5.0 on (bits 464 to 471).
const LATE_VERSION: usize = 58;
/// The highest bit of a word.
const VALID: u32 = 1 << 31;

/// The versions that have a known place for a mask. Not here: 0.6, which has none; 4.1, whose mask goes on at another
/// place past 128 TPCs; 5.1, whose header has a bit that says that the mask counts, but no mask.
static FORMS: [Form; 10] = [
    // cla0c0qmd.h (Kepler)
    early(0x16),
    // cla1c0qmd.h, clb0c0qmd.h, clb1c0qmd.h, clc0c0qmd.h (Kepler to Pascal)
    early(0x17),
    // clc0c0qmd.h, clc1c0qmd.h (Pascal)
    early(0x20),
    early(0x21),
    // clc3c0qmd.h, clc4c0qmd.h (Volta)
    early(0x22),
    // clc5c0qmd.h, clc6c0qmd.h (Turing, Ampere)
    early(0x23),
    // clc6c0qmd.h, clc7c0qmd.h (Ampere)
    early(0x24),
    // clc6c0qmd.h, clc7c0qmd.h, clc9c0qmd.h (Ampere, Ada, which has eight more bits elsewhere for TPCs from 64 on)
    early(0x30),
    // clcbc0qmd.h (Hopper), and measured
    Form { version_at: VERSION, version: 0x40, mask_at: 304, words: 4, valid_at: Some(0) },
    // clcdc0qmd.h, clcec0qmd.h (Blackwell)
    Form { version_at: LATE_VERSION, version: 0x50, mask_at: 280, words: 4, valid_at: Some(16) },
];

impl Form {
    /// The form of a descriptor.
    ///
    /// From 5.0 on the version is elsewhere, and byte 72 is part of a payload's upper half, which is 0 in practice; where it
    /// is not, the version is taken for unknown.
    ///
    /// # Safety
    /// The descriptor is the driver's own, so 256 bytes or more, and as many as its version has.
    pub unsafe fn of(qmd: NonNull<u8>) -> Result<&'static Form, UnknownQmd> {
        // SAFETY: the function's contract; both bytes are among the first 256.
        let (at_72, at_58) = unsafe { (qmd.add(VERSION).read(), qmd.add(LATE_VERSION).read()) };
        let known = FORMS.iter().find(|form| match form.version_at {
            VERSION => form.version == at_72,
            _ => at_72 == 0 && form.version == at_58,
        });
        known.ok_or(UnknownQmd { at_72, at_58 })
    }

    /// Whether this project measured it.
    pub const fn is_measured(&self) -> bool {
        self.version == 0x40
    }

    /// The bits of a mask for which a descriptor of this form has no place.
    pub const fn beyond(&self) -> u128 {
        if self.words == 4 { 0 } else { u128::MAX << (self.words * 32) }
    }

    /// The mask that a descriptor has; `None` where it takes nothing away.
    ///
    /// # Safety
    /// The descriptor is of this form.
    pub unsafe fn mask(&self, qmd: NonNull<u8>) -> Option<TpcMask> {
        // SAFETY: the function's contract: the form's places lie within the descriptor.
        let word = |at: usize| unsafe { qmd.add(at).cast::<u32>().read_unaligned() };
        if self.valid_at.is_some_and(|at| word(at) & VALID == 0) {
            return None;
        }
        let bits = (0..self.words).fold(0, |bits, at| bits | u128::from(word(self.mask_at + at * 4)) << (at * 32));
        (bits != 0).then_some(TpcMask(bits))
    }

    /// Gives a descriptor a mask.
    ///
    /// # Safety
    /// The descriptor is of this form, and nobody else uses it.
    pub unsafe fn set_mask(&self, qmd: NonNull<u8>, mask: TpcMask) {
        for at in 0..self.words {
            let word = (mask.0 >> (at * 32)) as u32;
            // SAFETY: the function's contract: the form's places lie within the descriptor.
            unsafe { qmd.add(self.mask_at + at * 4).cast::<u32>().write_unaligned(word) };
        }
        if let Some(at) = self.valid_at {
            // SAFETY: as above.
            unsafe {
                let word = qmd.add(at).cast::<u32>();
                word.write_unaligned(word.read_unaligned() | VALID);
            }
        }
    }
}

/// Gives a descriptor a mask; one of an unknown version is left as it is.
///
/// # Safety
/// The descriptor is the driver's own, so as long as its version has it, and nobody else uses it.
pub unsafe fn set_mask(qmd: NonNull<u8>, mask: TpcMask) -> Result<(), UnknownQmd> {
    // SAFETY: the function's contract.
    let form = unsafe { Form::of(qmd) }?;
    // SAFETY: the form is the descriptor's, and the function's contract.
    unsafe { form.set_mask(qmd, mask) };
    Ok(())
}

/// The mask of a descriptor; `None` where it takes nothing away.
///
/// # Safety
/// The descriptor is as [`Form::of`] demands.
pub unsafe fn mask(qmd: NonNull<u8>) -> Result<Option<TpcMask>, UnknownQmd> {
    // SAFETY: the function's contract.
    let form = unsafe { Form::of(qmd) }?;
    // SAFETY: the form is the descriptor's.
    Ok(unsafe { form.mask(qmd) })
}

#[cfg(test)]
mod tests;
